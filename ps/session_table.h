// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_SESSION_TABLE_H_
#define WEIR_PS_SESSION_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/frame.h"
#include "ps/session_credits.h"

namespace weir {

// One connection to this shard.
struct Session {
  enum class State {
    kNew,      // no hello yet
    kOpen,     // its hello was accepted
    kClosing,  // told to close; what still arrives is dropped
  };

  Session(uint64_t session, absl::Time now, const CreditLimits& limits)
      : id(session), opened(now), progress(now), credits(limits) {}

  const uint64_t id;
  const absl::Time opened;
  absl::Time
      progress;  // when the transport last took a frame, or the first of those that wait was queued
  State state = State::kNew;
  SessionRole role = SessionRole::kUnspecified;
  uint64_t worker = 0;
  uint64_t incarnation = 0;
  uint64_t nonce = 0;
  uint32_t lane = 0;
  SessionCredits credits;
  absl::Time timer = absl::InfiniteFuture();  // of the table
};

// What a hello is checked against.
struct HelloRules {
  uint32_t shard = 0;
  JobId job_id{};
  std::string job_token;
};

// OK, or the status to close with: UNIMPLEMENTED (protocol, role), FAILED_PRECONDITION (job,
// shard), UNAUTHENTICATED (token; tokens are compared in constant time and never named). The
// sentence names both sides.
absl::Status CheckHello(const HelloRules& rules, const HelloFrame& hello);

// The sessions of a shard, from open to closed, with their timeouts. Bounded by `max_sessions`.
// Deterministic; no threads; time is handed in.
class SessionTable {
 public:
  struct Options {
    CreditLimits credits;
    uint64_t max_sessions = 0;
    absl::Duration hello_timeout;
    absl::Duration write_timeout;
  };
  explicit SessionTable(const Options& options) : options_(options) {}

  // A new connection. RESOURCE_EXHAUSTED: there are max_sessions already; it is kept, as closing,
  // and must be closed.
  absl::Status Open(uint64_t id, absl::Time now);
  // Null: not known.
  Session* Find(uint64_t id);
  // The connection has ended.
  void Erase(uint64_t id);

  // The hello of `session` was accepted: it is open. Returns the older session of the same (worker,
  // incarnation, lane), if any: it is replaced and must be closed. Readers are never replaced.
  // FAILED_PRECONDITION: that session is the newer one, by its nonce; `session` must be closed.
  absl::StatusOr<std::optional<uint64_t>> Enter(Session* session, const HelloFrame& hello);

  // Those that were not told to close.
  std::vector<uint64_t> Unclosed() const;
  // The open sessions that were told a smaller max_requests.
  std::vector<uint64_t> ToldFewerRequests(uint64_t max_requests) const;

  // It has been told to close.
  void MarkClosing(Session* session);

  // A frame with `bytes` of payload is queued for it; one with `bytes` of payload was taken by the
  // transport.
  void Queue(Session* session, uint64_t bytes, bool is_answer, absl::Time now);
  void Sent(Session* session, uint64_t bytes, absl::Time now);

  // The sessions whose time is over, and the status to close each with: DEADLINE_EXCEEDED, no
  // hello; RESOURCE_EXHAUSTED, it does not read its answers.
  std::vector<std::pair<uint64_t, absl::Status>> Expired(absl::Time now);
  // No session expires before that; InfiniteFuture: none will.
  absl::Time NextDeadline() const {
    return timers_.empty() ? absl::InfiniteFuture() : timers_.begin()->first;
  }

  size_t size() const { return sessions_.size(); }

 private:
  using Place = std::tuple<uint64_t, uint64_t, uint32_t>;  // (worker, incarnation, lane)

  static Place PlaceOf(const Session& session) {
    return {session.worker, session.incarnation, session.lane};
  }
  // When it expires unless something happens.
  absl::Time Deadline(const Session& session) const;
  // Has the session looked at by `when`. A timer may be early, never late.
  void Arm(Session* session, absl::Time when);
  void Disarm(Session* session);
  void LeavePlace(const Session& session);

  const Options options_;
  std::map<uint64_t, Session> sessions_;
  std::map<Place, uint64_t> places_;  // of open sessions of workers
  std::set<std::pair<absl::Time, uint64_t>> timers_;
};

}  // namespace weir

#endif  // WEIR_PS_SESSION_TABLE_H_
