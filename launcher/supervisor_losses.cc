// SPDX-License-Identifier: Apache-2.0
// The part of Supervisor that has lost workers replaced. The coordinator decides; this obeys.
#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "launcher/coordinator_codec.h"
#include "launcher/counted.h"
#include "launcher/supervisor.h"

namespace weir {

absl::StatusOr<LossAnswer> Supervisor::ReportLoss(const Process& process,
                                                  const std::string& reason) {
  v1::ReportLossRequest loss;
  loss.mutable_job()->set_job_id(std::string(job_.job_id.begin(), job_.job_id.end()));
  loss.mutable_job()->set_job_token(options_.job_token);
  loss.set_role(static_cast<v1::MemberRole>(RoleOf(process.planned.role)));
  loss.set_rank(static_cast<uint32_t>(process.planned.rank));
  loss.set_restarts(process.restarts);
  loss.set_reason(reason);
  absl::StatusOr<v1::ReportLossReply> reply = coordinator_->ReportLoss(loss, kCallLimit);
  if (!reply.ok()) return reply.status();
  return FromProto(*reply);
}

// A worker has ended otherwise than in order. While the coordinator does not answer, Watch comes
// back to it.
void Supervisor::TellLoss(Process* process) {
  const std::string& name = process->planned.name;
  const std::string how = process->end->Describe();
  const int exit = std::max(1, process->end->ExitCode());
  if (!job_known_) return Fail(name, how, exit);  // nobody could be told: it is the start
  const bool said_so = Culprit() == name;         // it reported why it would end
  const absl::StatusOr<LossAnswer> answer = ReportLoss(*process, how);
  if (!answer.ok()) {
    if (absl::IsUnavailable(answer.status()) || absl::IsDeadlineExceeded(answer.status())) return;
    return Fail(name, absl::StrCat(how, "; ", answer.status().message()), exit);
  }
  process->told = true;
  if (!answer->replace) {
    FetchStatus().IgnoreError();
    const bool more_to_say = said_so || answer->restarts > 0;
    return Fail(name, more_to_say && !job_.failure.empty() ? job_.failure : how, exit);
  }
  process->restarts = answer->restarts;
  process->start_again = absl::Now() + answer->delay;
  console_.SayWrong(
      absl::StrCat(name, " (process ", process->pid, ") ", how, ": it is started again",
                   answer->delay > absl::ZeroDuration()
                       ? absl::StrCat(" in ", absl::FormatDuration(answer->delay))
                       : "",
                   ", for the ", Ordinal(static_cast<int64_t>(answer->restarts)), " time.\n"));
}

void Supervisor::ReplaceLost() {
  if (!job_.failure.empty())
    return;  // who is lost now was told to stop, or is why: WatchJobFailure
  for (auto& [name, process] : processes_) {
    if (over()) return;
    if (process.planned.role != ProcessRole::kWorker) continue;
    if (process.start_again.has_value() && absl::Now() >= *process.start_again) {
      process.start_again.reset();
      process.end.reset();
      process.told = process.given_up_on = false;
      StartProcess(&process);
    } else if (process.end.has_value() && !process.end->ok() && !process.told) {
      TellLoss(&process);
    } else if (!process.end.has_value() && !process.given_up_on && LeaseIsOver(process)) {
      process.given_up_on = true;  // it may live, stopped or cut off: its successor wants its place
      AgentCommand command;
      command.kind = AgentCommand::Kind::kSignal;
      command.name = name;
      command.signal = SIGKILL;
      console_.SayWrong(absl::StrCat(name, " (process ", process.pid,
                                     ") was not heard for a lease: it is killed.\n"));
      absl::Status sent = agent_->Send(command);
      if (!sent.ok()) Fail("agent", std::string(sent.message()), 1);
    }
  }
}

// The coordinator has given this very process up.
bool Supervisor::LeaseIsOver(const Process& process) const {
  return std::any_of(job_.members.begin(), job_.members.end(), [&](const MemberStatus& member) {
    return member.role == MemberRole::kWorker &&
           member.rank == static_cast<uint32_t>(process.planned.rank) &&
           member.state == MemberState::kLost && member.restarts > process.restarts;
  });
}

}  // namespace weir
