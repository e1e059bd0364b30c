// SPDX-License-Identifier: Apache-2.0
#include "ps/session_table.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace weir {
namespace {

absl::string_view AsText(const JobId& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

// In a time that depends on the length of `given` only.
bool SameSecret(const std::string& expected, const std::string& given) {
  unsigned difference = expected.size() == given.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char other = expected.empty() ? 0 : expected[i % expected.size()];
    difference |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

}  // namespace

absl::Status CheckHello(const HelloRules& rules, const HelloFrame& hello) {
  if (hello.protocol_min > kProtocol || hello.protocol_max < kProtocol) {
    return absl::UnimplementedError(absl::StrCat("this shard speaks protocol ", kProtocol,
                                                 ", the client ", hello.protocol_min, " to ",
                                                 hello.protocol_max));
  }
  if (hello.job_id != AsText(rules.job_id)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this shard is of job ", absl::BytesToHexString(AsText(rules.job_id)),
        ", the client of job '", absl::BytesToHexString(hello.job_id.substr(0, 16)), "'"));
  }
  if (!SameSecret(rules.job_token, hello.job_token)) {
    return absl::UnauthenticatedError(
        rules.job_token.empty()   ? "the client brings a job token, this shard's job has none"
        : hello.job_token.empty() ? "this shard asks for the job's token, the client brings none"
                                  : "the client's job token is not the one of this shard's job");
  }
  if (hello.shard != rules.shard) {
    return absl::FailedPreconditionError(
        absl::StrCat("this is shard ", rules.shard, ", the client wants shard ", hello.shard));
  }
  if (hello.role != SessionRole::kWorker && hello.role != SessionRole::kReader) {
    return absl::UnimplementedError(
        absl::StrCat("this shard serves roles ", static_cast<int>(SessionRole::kWorker),
                     " (worker) and ", static_cast<int>(SessionRole::kReader),
                     " (reader), the client says role ", static_cast<int>(hello.role)));
  }
  return absl::OkStatus();
}

absl::Status SessionTable::Open(uint64_t id, absl::Time now) {
  const bool full = sessions_.size() >= options_.max_sessions;
  const auto it = sessions_.try_emplace(id, id, now, options_.credits).first;
  if (full) {
    MarkClosing(&it->second);
    return absl::ResourceExhaustedError(
        absl::StrCat("this shard has ", options_.max_sessions, " sessions, its limit"));
  }
  Arm(&it->second, Deadline(it->second));
  return absl::OkStatus();
}

Session* SessionTable::Find(uint64_t id) {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : &it->second;
}

void SessionTable::Erase(uint64_t id) {
  Session* session = Find(id);
  if (session == nullptr) return;
  MarkClosing(session);
  sessions_.erase(id);
}

absl::StatusOr<std::optional<uint64_t>> SessionTable::Enter(Session* session,
                                                            const HelloFrame& hello) {
  session->role = hello.role;
  session->worker = hello.worker_id;
  session->incarnation = hello.incarnation;
  session->nonce = hello.session_nonce;
  session->lane = hello.lane;
  std::optional<uint64_t> replaced;
  if (session->role == SessionRole::kWorker) {
    const auto [place, is_free] = places_.try_emplace(PlaceOf(*session), session->id);
    if (!is_free) {
      const uint64_t newest = sessions_.at(place->second).nonce;
      if (newest > session->nonce) {
        return absl::FailedPreconditionError(
            absl::StrCat("worker ", session->worker, " incarnation ", session->incarnation,
                         " lane ", session->lane, " has a newer session here, with nonce ", newest,
                         "; this one has ", session->nonce));
      }
      replaced = place->second;
      place->second = session->id;
    }
  }
  session->state = Session::State::kOpen;
  return replaced;
}

std::vector<uint64_t> SessionTable::Unclosed() const {
  std::vector<uint64_t> unclosed;
  for (const auto& [id, session] : sessions_) {
    if (session.state != Session::State::kClosing) unclosed.push_back(id);
  }
  return unclosed;
}

std::vector<uint64_t> SessionTable::ToldFewerRequests(uint64_t max_requests) const {
  std::vector<uint64_t> told;
  for (const auto& [id, session] : sessions_) {
    const bool is_open = session.state == Session::State::kOpen;
    if (is_open && session.credits.max_requests() < max_requests) told.push_back(id);
  }
  return told;
}

void SessionTable::LeavePlace(const Session& session) {
  if (session.state != Session::State::kOpen || session.role != SessionRole::kWorker) return;
  const auto place = places_.find(PlaceOf(session));
  if (place != places_.end() && place->second == session.id) places_.erase(place);
}

void SessionTable::MarkClosing(Session* session) {
  LeavePlace(*session);
  Disarm(session);
  session->state = Session::State::kClosing;
}

void SessionTable::Queue(Session* session, uint64_t bytes, bool is_answer, absl::Time now) {
  if (!session->credits.has_unsent()) session->progress = now;
  session->credits.Queue(bytes, is_answer);
  Arm(session, Deadline(*session));
}

void SessionTable::Sent(Session* session, uint64_t bytes, absl::Time now) {
  session->credits.Sent(bytes);
  session->progress = now;
}

absl::Time SessionTable::Deadline(const Session& session) const {
  if (session.state == Session::State::kNew) return session.opened + options_.hello_timeout;
  if (session.state == Session::State::kOpen && session.credits.has_unsent()) {
    return session.progress + options_.write_timeout;
  }
  return absl::InfiniteFuture();
}

void SessionTable::Arm(Session* session, absl::Time when) {
  if (session->timer <= when) return;
  Disarm(session);
  session->timer = when;
  timers_.emplace(when, session->id);
}

void SessionTable::Disarm(Session* session) {
  if (session->timer == absl::InfiniteFuture()) return;
  timers_.erase({session->timer, session->id});
  session->timer = absl::InfiniteFuture();
}

std::vector<std::pair<uint64_t, absl::Status>> SessionTable::Expired(absl::Time now) {
  std::vector<std::pair<uint64_t, absl::Status>> expired;
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Session* session = Find(timers_.begin()->second);
    Disarm(session);
    const absl::Time deadline = Deadline(*session);
    if (deadline > now) {
      Arm(session, deadline);
    } else if (session->state == Session::State::kNew) {
      expired.emplace_back(session->id,
                           absl::DeadlineExceededError(absl::StrCat(
                               "no hello within ", absl::FormatDuration(options_.hello_timeout))));
    } else {
      expired.emplace_back(session->id, absl::ResourceExhaustedError(absl::StrCat(
                                            "the client has read no answer for ",
                                            absl::FormatDuration(options_.write_timeout))));
    }
  }
  return expired;
}

}  // namespace weir
