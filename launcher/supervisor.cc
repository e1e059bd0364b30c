// SPDX-License-Identifier: Apache-2.0
#include "launcher/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "launcher/coordinator_codec.h"
#include "launcher/descendants.h"
#include "launcher/member_checks.h"
#include "launcher/run_directory.h"

namespace weir {
namespace {

constexpr absl::Duration kStatusInterval = absl::Milliseconds(200);
constexpr absl::Duration kSilenceLimit = absl::Seconds(30);  // of the coordinator
constexpr absl::Duration kCulpritLimit = absl::Seconds(3);   // for a member that failed to end
constexpr absl::Duration kStopLimit = absl::Seconds(10);     // for servers that were told to stop
constexpr absl::Duration kInterruptGrace = absl::Seconds(3);
constexpr absl::Duration kKillGrace = absl::Seconds(2);
constexpr int kReportedLines = 20;
constexpr char kAgentName[] = "agent";

int Milliseconds(absl::Duration d) {
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(d), 0, 1000));
}

}  // namespace

Supervisor::Supervisor(Options options, Console* console)
    : options_(std::move(options)), console_(*console), place_(options_.place) {}

Supervisor::~Supervisor() {
  if (signals_fd_ >= 0) close(signals_fd_);
  if (taken_fd_ >= 0) close(taken_fd_);
}

Supervisor::Outcome Supervisor::Run() {
  began_ = answered_ = absl::Now();
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  signals_fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  BecomeSubreaper();
  Start();
  if (!over()) Loop();
  if (!over()) FinishInOrder();
  if (signals_seen_ > 0 && !summary_.failure.has_value()) EndInterrupted();
  EndEverything(signals_seen_ > 1 ? absl::ZeroDuration() : kKillGrace);
  if (taker_.joinable()) taker_.join();

  Outcome outcome;
  summary_.job = job_;
  summary_.wall = absl::Now() - began_;
  if (summary_.failure.has_value()) {
    summary_.status = RunSummary::Status::kFailed;
    outcome.exit_code = summary_.failure->exit;
  } else if (signals_seen_ > 0) {
    summary_.status = RunSummary::Status::kInterrupted;
    outcome.exit_code = 128 + first_signal_;
  } else {
    summary_.status = RunSummary::Status::kOk;
  }
  outcome.summary = summary_;
  return outcome;
}

void Supervisor::Start() {
  absl::StatusOr<std::unique_ptr<AgentClient>> agent = AgentClient::Start(
      options_.agent_argv, absl::StrCat(place_.run_dir, "/", kAgentName, ".log"));
  if (!agent.ok()) return Fail(kAgentName, std::string(agent.status().message()), 127);
  agent_ = *std::move(agent);
  for (const PlannedProcess& planned : options_.plan) {
    if (planned.role != ProcessRole::kCoordinator) continue;
    processes_[planned.name].planned = planned;
    StartProcess(&processes_[planned.name]);
  }
  while (!over() && place_.coordinator.empty()) {
    Step(kStatusInterval);
    if (absl::Now() - began_ > options_.start_timeout) {
      Fail("coordinator", "it was not ready in time", kStartTimedOut);
    }
  }
  if (!over()) StartProcesses();
}

// All at once: servers and workers find each other through the coordinator.
void Supervisor::StartProcesses() {
  coordinator_ = std::make_unique<CoordinatorClient>(place_.coordinator);
  for (const PlannedProcess& planned : options_.plan) {
    if (planned.role == ProcessRole::kCoordinator) continue;
    processes_[planned.name].planned = planned;
    StartProcess(&processes_[planned.name]);
  }
}

void Supervisor::StartProcess(Process* process) {
  absl::Status sent = agent_->Send(StartCommand(process->planned, place_));
  if (!sent.ok()) Fail(kAgentName, std::string(sent.message()), 1);
}

void Supervisor::Loop() {
  while (!over() && !(job_.finished && AllEnded(ProcessRole::kWorker))) {
    Step(kStatusInterval);
    Watch();
  }
}

// Waits for something to happen, at most `wait`, and takes it in.
void Supervisor::Step(absl::Duration wait) {
  // (When the weights are taken there is no more to wait for in that.)
  pollfd fds[3] = {{signals_fd_, POLLIN, 0},
                   {agent_->fd(), POLLIN, 0},
                   {taken_.HasBeenNotified() ? -1 : taken_fd_, POLLIN, 0}};
  poll(fds, 3, Milliseconds(wait));
  ReadSignals();
  TakeEvents();
}

void Supervisor::ReadSignals() {
  signalfd_siginfo info;
  while (read(signals_fd_, &info, sizeof(info)) == sizeof(info)) {
    if (++signals_seen_ == 1) first_signal_ = static_cast<int>(info.ssi_signo);
  }
}

void Supervisor::TakeEvents() {
  for (const AgentEvent& event : agent_->Take()) {
    auto it = processes_.find(event.name);
    if (it == processes_.end()) continue;
    Process& process = it->second;
    switch (event.kind) {
      case AgentEvent::Kind::kStarted:
        process.pid = event.pid;
        if (process.restarts > 0) {
          console_.Say(absl::StrCat(event.name, " runs again, as process ", event.pid, ".\n"));
        }
        break;
      case AgentEvent::Kind::kReady:
        if (process.planned.role == ProcessRole::kCoordinator) place_.coordinator = event.text;
        break;
      case AgentEvent::Kind::kFailed:
        process.end = ProcessEnd{false, 127};
        Fail(event.name, event.text, 127);
        break;
      case AgentEvent::Kind::kExited:
        process.end = event.end;
        OnExit(&process);
        break;
    }
  }
  if (agent_->gone() && !ending_) {
    const ProcessEnd end = agent_->AwaitEnd();
    Fail(kAgentName, end.Describe(), std::max(1, end.ExitCode()));
  }
}

void Supervisor::OnExit(Process* process) {
  if (ending_ || over()) return;
  const PlannedProcess& planned = process->planned;
  const std::string how = process->end->Describe();
  if (planned.role == ProcessRole::kCoordinator) {
    // It ends too when the job has failed and everybody has left.
    const std::string culprit = Culprit();
    if (!culprit.empty()) return Fail(culprit, job_.failure, 1);
    return Fail(planned.name, how, std::max(1, process->end->ExitCode()));
  }
  const absl::Status heard = FetchStatus();
  const std::string culprit = Culprit();
  // The job had failed already, and told this process to stop.
  if (!culprit.empty() && culprit != planned.name) return;
  if (planned.role == ProcessRole::kServer)
    return Fail(planned.name, how, std::max(1, process->end->ExitCode()));
  if (!process->end->ok()) return TellLoss(process);
  // Not heard: whether it has left shows later, if only when its lease is over.
  if (heard.ok() && !HasLeft(*process)) {
    Fail(planned.name,
         absl::StrCat(how, ", but it had not left the job: a worker's last call is Leave"), 1);
  }
}

MemberRole Supervisor::RoleOf(ProcessRole role) {
  return role == ProcessRole::kServer ? MemberRole::kServer : MemberRole::kWorker;
}

bool Supervisor::HasLeft(const Process& process) const {
  return std::any_of(job_.members.begin(), job_.members.end(), [&](const MemberStatus& member) {
    return member.role == RoleOf(process.planned.role) &&
           member.rank == static_cast<uint32_t>(process.planned.rank) &&
           member.state == MemberState::kLeft;
  });
}

absl::Status Supervisor::FetchStatus() {
  v1::GetStatusRequest request;
  request.mutable_job()->set_job_token(options_.job_token);
  absl::StatusOr<v1::GetStatusReply> reply = coordinator_->GetStatus(request, kCallLimit);
  status_at_ = absl::Now();
  if (!reply.ok()) return reply.status();
  absl::StatusOr<JobStatus> status = FromProto(*reply);
  if (!status.ok()) return status.status();
  job_ = *std::move(status);
  if (job_.steps == 0) job_.steps = options_.steps;
  job_known_ = true;
  answered_ = absl::Now();
  return absl::OkStatus();
}

void Supervisor::Watch() {
  if (absl::Now() - status_at_ >= kStatusInterval) FetchStatus().IgnoreError();
  if (over()) return;
  const absl::Time now = absl::Now();
  if (now - answered_ > kSilenceLimit) {
    return Fail("coordinator",
                absl::StrCat("it has not answered for ", absl::FormatDuration(kSilenceLimit)), 1);
  }
  if (!job_known_) return;
  WatchJobFailure();
  ReplaceLost();
  if (over()) return;
  console_.Status(progress_.Line(job_, now), now);
  if (!job_.layout_ready && !job_.finished && now - began_ > options_.start_timeout) {
    const auto missing = std::find_if(
        job_.members.begin(), job_.members.end(),
        [](const MemberStatus& member) { return member.state == MemberState::kExpected; });
    Fail(missing == job_.members.end() ? "coordinator" : ProcessName(*missing),
         absl::StrCat("the start took more than ", absl::FormatDuration(options_.start_timeout),
                      ": the run ", MissingMembers(job_)),
         kStartTimedOut);
  }
}

// The coordinator says that the job has failed: the member it names is about to end, or hangs.
void Supervisor::WatchJobFailure() {
  if (job_.failure.empty()) return;
  if (job_failed_at_ == absl::InfiniteFuture()) job_failed_at_ = absl::Now();
  if (absl::Now() - job_failed_at_ < kCulpritLimit) return;
  const std::string culprit = Culprit();
  Fail(culprit.empty() ? "coordinator" : culprit, job_.failure, 1);
}

// The process whose failure the coordinator reports; empty: none, or none that is known.
std::string Supervisor::Culprit() const {
  const MemberStatus* member = FailedMember(job_);
  return member == nullptr ? "" : ProcessName(*member);
}

bool Supervisor::AllEnded(ProcessRole role) const {
  return std::all_of(processes_.begin(), processes_.end(), [&](const auto& entry) {
    const Process& process = entry.second;
    return process.planned.role != role ||
           (process.end.has_value() && !process.start_again.has_value());
  });
}

// False: the run was over before the weights were taken.
bool Supervisor::TakeWeights() {
  taken_fd_ = eventfd(0, EFD_CLOEXEC);
  taker_ = std::thread([this, job = job_] {
    taken_status_ = options_.finish(job, &taken_summary_);
    taken_.Notify();
    eventfd_write(taken_fd_, 1);
  });
  while (!over() && !taken_.HasBeenNotified()) {
    Step(kStatusInterval);
    Watch();
  }
  Step(absl::ZeroDuration());
  if (over()) return false;  // a process that ended is the better reason
  summary_ = taken_summary_;
  if (taken_status_.ok()) return true;
  Fail("launcher", absl::StrCat("the weights could not be saved: ", taken_status_.message()), 1);
  return false;
}

// Every worker has left and ended: takes the weights, then tells the servers to stop, and hears
// their totals.
void Supervisor::FinishInOrder() {
  console_.Status(progress_.Line(job_, absl::Now()), absl::Now());
  if (!TakeWeights()) return;
  ending_ = true;
  v1::StopRequest stop;
  stop.mutable_job()->set_job_id(std::string(job_.job_id.begin(), job_.job_id.end()));
  stop.mutable_job()->set_job_token(options_.job_token);
  stop.set_reason("every worker has left");
  const absl::Status told = coordinator_->Stop(stop, kCallLimit);
  if (told.ok()) SignalServers();
  const absl::Time end = absl::Now() + kStopLimit;
  while (told.ok() && signals_seen_ == 0 && !AllEnded(ProcessRole::kServer) && !agent_->gone() &&
         absl::Now() < end) {
    Step(kStatusInterval);
  }
  if (agent_->gone()) {  // nobody is left to tell how the servers end
    const ProcessEnd agent_end = agent_->AwaitEnd();
    return Fail(kAgentName, agent_end.Describe(), std::max(1, agent_end.ExitCode()));
  }
  const absl::Status heard = FetchStatus();
  for (const auto& [name, process] : processes_) {
    if (process.planned.role != ProcessRole::kServer || HasLeft(process)) continue;
    console_.SayWrong(absl::StrCat(
        name, " did not leave in order (", process.end ? process.end->Describe() : "it goes on",
        ", ", (told.ok() ? heard : told).ToString(), "): its totals are as last heard.\n"));
  }
}

// They leave in order now, not only when their next heartbeat tells them that the job is over.
void Supervisor::SignalServers() {
  for (const auto& [name, process] : processes_) {
    if (process.planned.role != ProcessRole::kServer || process.end.has_value()) continue;
    AgentCommand command;
    command.kind = AgentCommand::Kind::kSignal;
    command.name = name;
    command.signal = SIGTERM;
    agent_->Send(command).IgnoreError();  // what it does not hear, the heartbeat tells
  }
}

void Supervisor::EndInterrupted() {
  ending_ = true;
  console_.Say(absl::StrCat("Ending in order; once more to end at once.\n"));
  if (coordinator_ == nullptr || !job_known_) return;
  v1::StopRequest stop;
  stop.mutable_job()->set_job_id(std::string(job_.job_id.begin(), job_.job_id.end()));
  stop.mutable_job()->set_job_token(options_.job_token);
  stop.set_reason("interrupted");
  const absl::Status told = coordinator_->Stop(stop, kCallLimit);
  const absl::Time end = absl::Now() + kInterruptGrace;
  while (told.ok() && signals_seen_ == 1 && absl::Now() < end &&
         !(AllEnded(ProcessRole::kServer) && AllEnded(ProcessRole::kWorker))) {
    Step(kStatusInterval);
  }
  if (signals_seen_ == 1) FetchStatus().IgnoreError();
}

void Supervisor::Fail(const std::string& name, const std::string& reason, int exit) {
  if (over()) return;
  RunFailure failure;
  failure.name = name;
  failure.role = name;
  failure.host = options_.host;
  failure.exit = exit;
  failure.reason = reason;
  failure.log_path = absl::StrCat(place_.run_dir, "/", name, ".log");
  auto it = processes_.find(name);
  if (it != processes_.end()) {
    failure.role = std::string(RoleName(it->second.planned.role));
    failure.rank = static_cast<uint32_t>(it->second.planned.rank);
    failure.process_id = static_cast<uint64_t>(it->second.pid);
  } else if (name == kAgentName && agent_ != nullptr) {
    failure.process_id = static_cast<uint64_t>(agent_->pid());
  } else {
    failure.log_path.clear();
  }
  summary_.failure = failure;
  if (coordinator_ == nullptr || !job_known_) return;
  FetchStatus().IgnoreError();
  if (it == processes_.end() || it->second.planned.role == ProcessRole::kCoordinator) return;
  ReportLoss(it->second, reason).status().IgnoreError();
}

void Supervisor::EndEverything(absl::Duration grace) {
  ending_ = true;
  coordinator_.reset();  // it ends when its connections do, which an idle client does not notice
  if (agent_ == nullptr) return;
  bool clean = false;
  agent_->End(grace, &clean);
  if (!clean) console_.SayWrong("Some processes of the run could not be ended.\n");
  if (!summary_.failure.has_value()) return;
  const RunFailure& failure = *summary_.failure;
  console_.SayWrong(FailureReport(
      failure, failure.log_path.empty() ? "" : LastLines(failure.log_path, kReportedLines)));
}

}  // namespace weir
