// SPDX-License-Identifier: Apache-2.0
#include <gflags/gflags.h>
#include <glog/logging.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "launcher/coordinator_service.h"
#include "launcher/flags.h"
#include "launcher/job_of_process.h"
#include "launcher/member_checks.h"
#include "launcher/process_flags.h"
#include "launcher/progress.h"
#include "launcher/run_directory.h"
#include "launcher/run_results.h"
#include "launcher/verbs.h"
#include "net/server_host.h"

namespace weir {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(200);
constexpr absl::Duration kTellInterval = absl::Seconds(5);
constexpr absl::Duration kSavingInterval = absl::Milliseconds(20);
constexpr absl::Duration kLeaveLimit =
    absl::Seconds(15);  // after a failure: a lease, and then some
constexpr absl::Duration kLingerLimit = absl::Seconds(2);
constexpr absl::Duration kInterruptedLimit =
    absl::Milliseconds(1500);  // the agent's patience is 2 s

// The weights on their way into the run's directory, on a thread of their own: signals are heard
// meanwhile. Ends when the servers do.
class Saving {
 public:
  Saving(const JobStatus& job, const std::string& token, const std::string& run_dir)
      : thread_([=] {
          status_ = SaveWeights(job, token, run_dir, nullptr, &summary_);
          ended_.Notify();
        }) {}
  ~Saving() { thread_.join(); }

  bool Await(absl::Duration limit) { return ended_.WaitForNotificationWithTimeout(limit); }
  // REQUIRES: Await() was true.
  const absl::Status& status() const { return status_; }
  const RunSummary& summary() const { return summary_; }

 private:
  RunSummary summary_;
  absl::Status status_;
  absl::Notification ended_;
  std::thread thread_;  // last: it uses all others
};

// Serves until the job is over; with --run_dir saves what came of it.
class Coordinator {
 public:
  // `signals` end it, and are blocked.
  Coordinator(Membership::Options options, std::string run_dir, const sigset_t& signals)
      : signals_(signals),
        token_(options.job_token),
        run_dir_(std::move(run_dir)),
        began_(absl::Now()),
        service_(std::move(options)) {}
  ~Coordinator() {
    if (host_ != nullptr) host_->Shutdown(absl::Seconds(1));
  }

  absl::Status Listen() {
    ServerHost::Options options;
    options.address = absl::StrCat(FLAGS_host, ":", FLAGS_port);
    options.has_token = !token_.empty();
    options.services = {service_.service()};
    absl::StatusOr<std::unique_ptr<ServerHost>> host = ServerHost::Start(options);
    if (!host.ok()) return host.status();
    host_ = *std::move(host);
    host_->SetServing(true);
    LOG(INFO) << "coordinator on " << host_->address();
    SayReady(host_->address());
    return absl::OkStatus();
  }

  // Returns the exit code.
  int Serve() {
    const int code = ServeToTheEnd();
    Warn();
    return code;
  }

 private:
  int ServeToTheEnd() {
    for (;;) {
      Warn();
      if (const int signal = TakeSignal(kLookInterval)) return Interrupted(signal);
      const JobStatus job = service_.Status();
      if (!job.failure.empty()) return Failed();
      if (job.finished && !job.stopping && !run_dir_.empty()) return Finished(job);
      if (service_.AwaitEnd(absl::ZeroDuration())) return Ended(job);
      Tell(job);
    }
  }

  void Warn() {
    for (const std::string& warning : service_.TakeWarnings()) LOG(WARNING) << warning;
  }

  // Logs whom the job waits for, or how far it is: when that has changed, every kTellInterval.
  void Tell(const JobStatus& job) {
    const absl::Time now = absl::Now();
    const std::string line = progress_.Line(job, now);
    if (line == told_ || now - told_at_ < kTellInterval) return;
    LOG(INFO) << line;
    told_ = line;
    told_at_ = now;
  }

  // The signal that tells this process to end, when it comes within `wait`; 0: none.
  int TakeSignal(absl::Duration wait) {
    const timespec limit = absl::ToTimespec(wait);
    return std::max(0, sigtimedwait(&signals_, nullptr, &limit));
  }

  // Waits for everybody to leave, no longer than until a signal, and `limit`.
  void AwaitLeavers(absl::Duration limit) {
    const absl::Time end = absl::Now() + limit;
    while (absl::Now() < end && TakeSignal(absl::ZeroDuration()) == 0 &&
           !service_.AwaitEnd(kLookInterval)) {
    }
  }

  // Everybody has left, without this process's doing: whoever watches the job, as `weir run` does,
  // reads its last totals meanwhile.
  int Ended(const JobStatus& job) {
    if (job.stopping) Conclude(RunSummary::Status::kInterrupted, {});
    TakeSignal(kLingerLimit);
    return 0;
  }

  int Interrupted(int signal) {
    service_.Stop("the coordinator was told to end");
    service_.AwaitEnd(kInterruptedLimit);
    Conclude(RunSummary::Status::kInterrupted, {});
    return run_dir_.empty() ? 0 : 128 + signal;
  }

  // The servers end when they are told to, and what reads them with them; a server that does
  // nothing any more does not keep this process.
  int InterruptedSaving(int signal, Saving* saving) {
    const int code = Interrupted(signal);
    if (saving->Await(kInterruptedLimit)) return code;
    fflush(nullptr);
    _exit(code);
  }

  int Failed() {
    LOG(ERROR) << "the job has failed: " << service_.Status().failure;
    AwaitLeavers(kLeaveLimit);
    RunSummary summary;
    summary.failure = FailureOf(service_.Status());
    Conclude(RunSummary::Status::kFailed, std::move(summary));
    TakeSignal(kLingerLimit);  // `weir run` reads meanwhile whose failure it is
    return 1;
  }

  int Finished(const JobStatus& job) {
    LOG(INFO) << "every worker has left: saves the weights";
    Saving saving(job, token_, run_dir_);
    while (!saving.Await(absl::ZeroDuration())) {
      if (const int signal = TakeSignal(kSavingInterval)) return InterruptedSaving(signal, &saving);
    }
    const absl::Status saved = saving.status();
    RunSummary summary = saving.summary();
    service_.Stop("every worker has left");
    AwaitLeavers(kLeaveLimit);
    if (!saved.ok()) {
      LOG(ERROR) << "the weights could not be saved: " << saved.message();
      summary.failure = RunFailure{"coordinator", "coordinator", 0, HostName()};
      summary.failure->reason = std::string(saved.message());
    }
    Conclude(saved.ok() ? RunSummary::Status::kOk : RunSummary::Status::kFailed,
             std::move(summary));
    return saved.ok() ? 0 : 1;
  }

  // The member that the job's failure names.
  static RunFailure FailureOf(const JobStatus& job) {
    RunFailure failure{"coordinator", "coordinator", 0, HostName()};
    failure.reason = job.failure;
    if (const MemberStatus* member = FailedMember(job)) {
      failure.name = ProcessName(*member);
      failure.role = member->role == MemberRole::kServer ? "ps" : "worker";
      failure.rank = member->rank;
      failure.host = member->host;
      failure.process_id = member->process_id;
    }
    return failure;
  }

  void Conclude(RunSummary::Status status, RunSummary summary) {
    if (run_dir_.empty()) return;
    summary.status = status;
    summary.job = service_.Status();
    summary.wall = absl::Now() - began_;
    absl::Status written = WriteSummary(run_dir_, summary);
    if (!written.ok()) LOG(ERROR) << written.message();
    fputs(FinalTable(summary, run_dir_).c_str(), stdout);
  }

  const sigset_t signals_;
  const std::string token_, run_dir_;
  const absl::Time began_;
  Progress progress_;
  std::string told_;
  absl::Time told_at_ = absl::InfinitePast();
  CoordinatorService service_;
  std::unique_ptr<ServerHost> host_;
};

int Coordinate(const std::string& program, Topology topology) {
  absl::StatusOr<std::string> token = TokenOfProcess();
  if (!token.ok()) return ExitWith(program, token.status().message(), kExitUsage);
  absl::StatusOr<Membership::Options> options = JobOfProcess(&topology, *token);
  if (!options.ok()) return ExitWith(program, options.status().message(), kExitBadTopology);
  std::string run_dir;
  if (!FLAGS_run_dir.empty()) {
    absl::StatusOr<std::string> made = MakeRunDirectory(FLAGS_run_dir, topology.name, absl::Now());
    if (!made.ok())
      return ExitWith(program, made.status().message(), ExitOfRunDirectory(made.status()));
    run_dir = *made;
  }

  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);  // before any thread: all inherit it
  Coordinator coordinator(*std::move(options), run_dir, signals);
  absl::Status listening = coordinator.Listen();
  if (!listening.ok()) return ExitWith(program, listening.message(), 1);
  return coordinator.Serve();
}

}  // namespace

int CmdCoordinator(const std::string& program, const std::vector<std::string>& words) {
  FlagTable table;
  table.usage = program + " --topology=FILE | --servers=N --workers=N  [flags]";
  table.about =
      "The process that knows who is in a job. Servers and workers, started on any machines with\n"
      "--coordinator=HOST:PORT, join it. With --run_dir it saves the weights and a summary when "
      "every worker has\n"
      "left, stops the servers, and ends.";
  table.flags = {"topology", "servers", "workers", "host", "port", "token_file", "run_dir"};
  table.repeated = "set";
  table.repeated_help = "set a key of the topology, as in --set consistency.mode=asp";
  absl::StatusOr<CommandLine> line = ParseCommandLine(table, words);
  if (!line.ok()) return ExitWith(program, line.status().message(), kExitUsage);
  if (line->help) {
    fputs(HelpText(table).c_str(), stdout);
    return 0;
  }
  if (FLAGS_topology.empty() && FLAGS_servers <= 0) {
    return ExitWith(program, "--topology=FILE or --servers=N is missing", kExitUsage);
  }
  std::optional<Topology> topology = TopologyOfProcess(line->repeated);
  if (!topology) return kExitBadTopology;
  return Coordinate(program, *std::move(topology));
}

}  // namespace weir
