// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_SUPERVISOR_H_
#define WEIR_LAUNCHER_SUPERVISOR_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "launcher/agent_client.h"
#include "launcher/console.h"
#include "launcher/local_backend.h"
#include "launcher/member.h"
#include "launcher/plan.h"
#include "launcher/progress.h"
#include "launcher/summary.h"
#include "net/coordinator_client.h"

namespace weir {

// One run on this host from its first process to its last.
//
// It starts an agent, has it start the planned processes, follows the job's status at the
// coordinator, and ends the run when every worker has left and ended, when any process ends
// otherwise, when the start takes too long, or when a signal says so: the first ends it in order,
// the second at once. A worker that dies, or whose lease the coordinator saw run out, is started
// again when the coordinator says so, as often and as soon as it says. Whatever happens, nothing
// that it started is left, and the summary says what came of it. While all goes well it calls
// `finish` in between: every worker has left, and the servers still serve.
//
// One thread, the main one, which must have SIGINT, SIGTERM and SIGHUP blocked and must not have
// started another thread yet. `finish` runs on a thread of its own: signals and ends are heard
// meanwhile, and once the servers are gone it ends.
class Supervisor {
 public:
  struct Options {
    std::vector<PlannedProcess> plan;
    RunPlace place;
    std::string job_token;
    std::vector<std::string> agent_argv;
    std::string host;  // of this machine, for people
    absl::Duration start_timeout = absl::Minutes(1);
    uint64_t steps = 0;  // planned, where no worker says it; 0: not known
    // Takes the weights from the servers; fills in the summary's weights_sha256 and test_accuracy.
    // Called at most once, on another thread. Must end when the servers do.
    std::function<absl::Status(const JobStatus& job, RunSummary* summary)> finish;
  };
  struct Outcome {
    RunSummary summary;
    int exit_code = 0;
  };

  Supervisor(Options options, Console* console);
  ~Supervisor();

  Outcome Run();

  // What the run exits with when its start took too long.
  static constexpr int kStartTimedOut = 75;

 private:
  static constexpr absl::Duration kCallLimit = absl::Seconds(2);  // of the coordinator

  struct Process {
    PlannedProcess planned;
    pid_t pid = 0;
    std::optional<ProcessEnd> end;
    uint64_t restarts = 0;     // of its place, when it was started
    bool told = false;         // the coordinator has been told of its end
    bool given_up_on = false;  // its lease has run out: it is being killed
    std::optional<absl::Time> start_again;
  };

  void Start();
  void StartProcesses();
  void Loop();
  void Step(absl::Duration wait);
  void ReadSignals();
  void TakeEvents();
  void OnExit(Process* process);
  void StartProcess(Process* process);
  // supervisor_losses.cc
  absl::StatusOr<LossAnswer> ReportLoss(const Process& process, const std::string& reason);
  void TellLoss(Process* process);
  void ReplaceLost();
  bool LeaseIsOver(const Process& process) const;
  void Watch();
  void WatchJobFailure();
  std::string Culprit() const;
  static MemberRole RoleOf(ProcessRole role);
  absl::Status FetchStatus();
  bool TakeWeights();
  void FinishInOrder();
  void SignalServers();
  void EndInterrupted();
  bool AllEnded(ProcessRole role) const;
  bool HasLeft(const Process& process) const;
  void Fail(const std::string& name, const std::string& reason, int exit);
  void EndEverything(absl::Duration grace);
  bool over() const { return summary_.failure.has_value() || signals_seen_ > 0; }

  const Options options_;
  Console& console_;
  Progress progress_;
  RunPlace place_;
  std::unique_ptr<AgentClient> agent_;
  std::unique_ptr<CoordinatorClient> coordinator_;
  std::map<std::string, Process> processes_;
  RunSummary summary_;
  JobStatus job_;
  bool job_known_ = false;
  bool ending_ = false;  // processes end because they are told to
  int signals_fd_ = -1;
  int signals_seen_ = 0;
  int first_signal_ = 0;
  absl::Time began_, answered_, job_failed_at_ = absl::InfiniteFuture();
  absl::Time status_at_ = absl::InfinitePast();

  // `finish`: what it says is the taker's until `taken_` is notified.
  int taken_fd_ = -1;  // readable then
  RunSummary taken_summary_;
  absl::Status taken_status_;
  absl::Notification taken_;
  std::thread taker_;
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_SUPERVISOR_H_
