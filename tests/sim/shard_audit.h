// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_SHARD_AUDIT_H_
#define WEIR_TESTS_SIM_SHARD_AUDIT_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ps/shard.h"
#include "tests/sim/clock_audit.h"
#include "tests/sim/world.h"

namespace weir::sim {

// hello.build_id of those who mean no harm.
constexpr char kHonestBuild[] = "sim";

// Watches one shard from outside and holds it to its promises: told of every event before it
// happens, and shown the shard and the effects after it. Knows what a shard may know, and in
// addition what every honest worker has sent (World::pushes) and which weights are right
// (World::reference).
class ShardAudit {
 public:
  ShardAudit(World* world, uint32_t shard) : world_(world), shard_(shard), clocks_(world, shard) {}

  // Before the event.
  void Opened(uint64_t session);
  void Received(uint64_t session, const ClientFrame& frame);
  void Closed(uint64_t session);
  void JobDone(uint64_t job);
  void Installing(uint64_t epoch);
  void Told(const Roster& roster) { clocks_.Told(roster); }

  // After it.
  void Check(const Shard& shard, const Effects& effects);
  // After a layout was installed: nobody waits for the old epoch.
  void CheckInstalled();
  // At the end of the simulation: nobody waits beyond the deadline.
  void CheckQuiet();

 private:
  // A request on its way through the shard.
  struct Asked {
    bool hello = false;
    bool old_epoch = false;
    bool fenced = false;
    bool push = false;
    bool honest_push = false;
    PushKey key;
    uint64_t step = 0;
    PullCondition condition = PullCondition::kAny;
    uint64_t version = 0;  // of the condition
    uint64_t clock = 0;    // ssp: of the reader
    bool leave = false;
    uint64_t reply_bytes = 0;  // asked for and not answered
    absl::Time deadline;
  };
  struct Session {
    bool honest = false;
    bool greeted = false;
    bool closing = false;
    SessionRole role = SessionRole::kUnspecified;
    uint64_t worker = 0;
    uint64_t incarnation = 0;
    uint64_t nonce = 0;
    uint64_t pushed = 0;     // bytes of payload received
    uint64_t released = 0;   // as told last
    HelloReplyFrame stated;  // the limits that it was told
    std::map<uint64_t, Asked> asked;
  };
  struct OutJob {
    uint64_t epoch = 0;
    const SentPush* push = nullptr;  // asp, ssp: whose gradient it folds
  };

  template <typename Sentence>
  bool Expect(Promise promise, bool holds, Sentence sentence) {
    return world_->judge.Expect(promise, holds, [&] { return Sentenced(sentence()); });
  }
  std::string Sentenced(const std::string& what) const;

  void Greet(Session* session, const HelloFrame& hello);
  void Ask(Session* session, const ClientFrame& frame, Asked* asked);
  void AskAtClock(const Session& session, Asked* asked);
  void AskPush(Session* session, const PushFrame& push, Asked* asked);
  void CheckCredits(const Session& session);

  void CheckSlices(const Shard& shard);
  void CheckCommit(size_t local, const SliceSnapshot& slice);
  void CheckAppliedPush(size_t slice, uint64_t version);
  bool Equal(const Payload& payload, size_t slice, uint64_t version) const;

  void CheckSend(const Shard& shard, const Effects::Send& send);
  void CheckClose(const Effects::Close& close);
  void CheckReply(const Shard& shard, Session* session, const Asked& asked,
                  const ServerFrame& frame);
  void CheckPull(const Shard& shard, Session* session, Asked* asked, const PullReplyFrame& reply);
  void CheckPush(const Session& session, const Asked& asked, const PushReplyFrame& reply);
  bool IsTooLate(const SentPush& push) const;
  void CheckFinal(const SentPush& push, const PushReplyFrame& reply, uint64_t current);
  void CheckDuplicate(const SentPush& push, const PushReplyFrame& reply, uint64_t current);
  uint64_t Current(size_t slice) const;

  World* const world_;
  const uint32_t shard_;
  ClockAudit clocks_;  // ssp
  uint64_t epoch_ = 0;
  bool installing_ = false;
  std::map<uint64_t, Session> sessions_;
  std::map<uint64_t, uint64_t> newest_;  // incarnation, by worker
  std::map<std::pair<uint64_t, uint64_t>, uint64_t>
      confirmed_;  // by (worker, incarnation): sequences below
  std::map<std::pair<uint64_t, uint64_t>, uint64_t>
      nonces_;  // the newest, by (worker, incarnation)
  std::map<uint64_t, OutJob> jobs_;
  const OutJob* done_ = nullptr;  // the job that this event ends
  std::vector<size_t> slices_;    // in the layout, by the shard's own position
  std::vector<uint64_t> versions_;
  std::vector<bool> begun_;
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_SHARD_AUDIT_H_
