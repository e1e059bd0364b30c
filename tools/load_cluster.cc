// SPDX-License-Identifier: Apache-2.0
#include "tools/load_cluster.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "launcher/child_process.h"
#include "launcher/local_backend.h"
#include "launcher/run_directory.h"
#include "launcher/topology_print.h"
#include "tools/load_memory_use.h"

namespace weir {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(200);
constexpr absl::Duration kGrace = absl::Seconds(5);
constexpr size_t kTokenBytes = 32;
constexpr size_t kMaxMarkBytes = 4096;  // of a line; a longer one is none of ours
constexpr int kLogLines = 30;

// Processor seconds that `pid` has used; 0 when it is gone.
double CpuSecondsOf(pid_t pid) {
  clockid_t clock;
  timespec used{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

std::string Hex(const std::string& bytes) {
  std::string text;
  for (unsigned char c : bytes) absl::StrAppend(&text, absl::Hex(c, absl::kZeroPad2));
  return text;
}

}  // namespace

LoadCluster::LoadCluster(ClusterSpec spec) : spec_(std::move(spec)) {}

LoadCluster::~LoadCluster() {
  for (int fd : {marks_fds_[0], marks_fds_[1], signals_fd_}) {
    if (fd >= 0) close(fd);
  }
}

BlockedSignals::BlockedSignals() {
  sigemptyset(&set_);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set_, number);
  sigprocmask(SIG_BLOCK, &set_, &before_);
}

BlockedSignals::~BlockedSignals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

absl::Status LoadCluster::Run(const BlockedSignals& signals) {
  deadline_ = absl::Now() + spec_.limit;
  absl::Status status = absl::OkStatus();
  signals_fd_ = signalfd(-1, &signals.set(), SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_fd_ < 0 || pipe2(marks_fds_, O_CLOEXEC | O_NONBLOCK) != 0)
    status = absl::ErrnoToStatus(errno, "load test: no descriptor");
  const auto before = ReadTcpCountsOf(spec_.namespaces);
  if (status.ok()) status = before.status();
  if (status.ok()) status = Start();
  while (status.ok() && !WorkersEnded()) status = Loop();
  const auto after = ReadTcpCountsOf(spec_.namespaces);
  if (status.ok()) status = after.status();
  if (status.ok()) opened_ = Since(*before, *after);
  TakeMarks();
  EndAll(kGrace);
  for (Process& process : processes_) {
    if (process.planned.role != ProcessRole::kCoordinator) usage_.push_back(process.usage);
  }
  return status;
}

std::string LoadCluster::LogPath(const PlannedProcess& planned) const {
  return absl::StrCat(spec_.run_dir, "/", planned.name, ".log");
}

absl::Status LoadCluster::Start() {
  const std::vector<PlannedProcess> plan = MakePlan(spec_.topology);
  for (const PlannedProcess& planned : plan) {
    if (planned.host == "localhost" || planned.host == "127.0.0.1") continue;
    return absl::UnimplementedError(
        absl::StrCat("the topology places ", planned.name, " on the host '", planned.host,
                     "': not yet; load workers run on localhost today"));
  }
  coordinator_ = spec_.connect;
  absl::Status status = absl::OkStatus();
  if (StartsServers()) {
    status = WriteFile(absl::StrCat(spec_.run_dir, "/topology.yaml"), ResolvedYaml(spec_.topology),
                       0644);
    if (status.ok())
      status =
          WriteFile(absl::StrCat(spec_.run_dir, "/token"), Hex(RandomBytes(kTokenBytes)), 0600);
  } else if (!spec_.peer.empty()) {
    status = StartPeer();
  }
  processes_.reserve(plan.size() + 1);
  for (const PlannedProcess& planned : plan) {
    if (!status.ok()) return status;
    if (StartsServers() || planned.role == ProcessRole::kWorker) status = StartOne(planned);
  }
  return status;
}

// Coordinator and servers of a job of this load test's own.
bool LoadCluster::StartsServers() const {
  return spec_.connect.empty() && spec_.peer.empty() && !spec_.workers_only;
}

absl::Status LoadCluster::StartPeer() {
  PlannedProcess planned;
  planned.role = ProcessRole::kServer;
  planned.name = "peer";
  AgentCommand command;
  command.argv = spec_.peer;
  return Spawn(planned, command, /*says_ready=*/true);
}

absl::Status LoadCluster::StartOne(const PlannedProcess& planned) {
  RunPlace place;
  place.program_dir = spec_.program_dir;
  place.run_dir = spec_.run_dir;
  place.token_file = StartsServers() ? absl::StrCat(spec_.run_dir, "/token") : spec_.token_file;
  place.coordinator = coordinator_;
  place.threads_are_set = getenv("OMP_NUM_THREADS") != nullptr;
  return Spawn(planned, StartCommand(planned, place), planned.role == ProcessRole::kCoordinator);
}

absl::Status LoadCluster::Spawn(const PlannedProcess& planned, const AgentCommand& command,
                                bool says_ready) {
  const ProcessSeat seat = spec_.seat ? spec_.seat(planned) : ProcessSeat{};
  ProcessSpec spec;
  spec.argv = seat.prefix;
  spec.argv.insert(spec.argv.end(), command.argv.begin(), command.argv.end());
  if (!seat.host.empty() && planned.role != ProcessRole::kWorker)
    spec.argv.push_back(absl::StrCat("--host=", seat.host));
  spec.env = command.env;
  spec.env.insert(spec.env.end(), spec_.env.begin(), spec_.env.end());
  spec.directory = command.directory;
  spec.log_path = LogPath(planned);
  if (planned.role == ProcessRole::kWorker && planned.rank == 0) spec.stdout_fd = marks_fds_[1];
  int ready_fd = -1;
  const auto pid = StartProcess(spec, says_ready ? &ready_fd : nullptr);
  if (!pid.ok()) return pid.status();
  processes_.push_back(Process{planned, *pid});
  processes_.back().usage.name = planned.name;
  processes_.back().usage.role = planned.role;
  if (!says_ready) return absl::OkStatus();
  absl::Status status = AwaitReady(&processes_.back(), ready_fd);
  close(ready_fd);
  return status;
}

// Reads the line in which the first process says where it listens.
absl::Status LoadCluster::AwaitReady(Process* first, int ready_fd) {
  std::string line;
  while (!absl::StrContains(line, "\n")) {
    pollfd fds[] = {{ready_fd, POLLIN, 0}, {signals_fd_, POLLIN, 0}};
    poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(kLook)));
    char bytes[256];
    const ssize_t got = read(ready_fd, bytes, sizeof(bytes));
    if (got > 0) line.append(bytes, static_cast<size_t>(got));
    if (absl::Status status = TakeEvents(); !status.ok()) return status;
    if (got == 0 || line.size() > kMaxMarkBytes || absl::Now() > deadline_) {
      return absl::InternalError(absl::StrCat(first->planned.name, " did not start:\n",
                                              LastLines(LogPath(first->planned), kLogLines)));
    }
  }
  coordinator_ = line.substr(0, line.find('\n'));
  return absl::OkStatus();
}

absl::Status LoadCluster::Loop() {
  pollfd fds[] = {{marks_fds_[0], POLLIN, 0}, {signals_fd_, POLLIN, 0}};
  poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(kLook)));
  TakeMarks();
  if (absl::Status status = TakeEvents(); !status.ok()) return status;
  if (absl::Now() < deadline_) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("the load test did not end within ", absl::FormatDuration(spec_.limit)));
}

// Signals, and ends of processes.
absl::Status LoadCluster::TakeEvents() {
  signalfd_siginfo info{};
  while (read(signals_fd_, &info, sizeof(info)) == sizeof(info)) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) continue;
    signal_ = number;
    return absl::CancelledError("interrupted: nothing was measured");
  }
  return Reap();
}

absl::Status LoadCluster::Reap() {
  absl::Status first = absl::OkStatus();
  // Workers first: when one fails, the job fails, and the servers end too.
  for (auto it = processes_.rbegin(); it != processes_.rend(); ++it) {
    Process& process = *it;
    int wait_status = 0;
    if (process.end || waitpid(process.pid, &wait_status, WNOHANG) != process.pid) continue;
    process.end = ProcessEnd::FromWaitStatus(wait_status);
    const bool expected = process.planned.role == ProcessRole::kWorker && process.end->ok();
    if (expected || !first.ok()) continue;
    first = absl::InternalError(absl::StrCat(process.planned.name, " ended with ",
                                             process.end->Describe(), ":\n",
                                             LastLines(LogPath(process.planned), kLogLines)));
  }
  return first;
}

void LoadCluster::TakeMarks() {
  char bytes[512];
  for (ssize_t got; (got = read(marks_fds_[0], bytes, sizeof(bytes))) > 0;) {
    marks_.append(bytes, static_cast<size_t>(got));
    for (size_t end; (end = marks_.find('\n')) != std::string::npos;) {
      Mark(marks_.substr(0, end));
      marks_.erase(0, end + 1);
    }
    if (marks_.size() > kMaxMarkBytes) marks_.clear();
  }
}

void LoadCluster::Mark(const std::string& line) {
  for (Process& process : processes_) {
    if (process.end) continue;
    if (line == kLoadBegins) {
      process.cpu_at_begin = CpuSecondsOf(process.pid);
    } else if (line == kLoadMemory) {
      process.usage.early_peak_rss_bytes = PeakRssBytes(process.pid);
    } else if (line == kLoadEnds) {
      process.usage.cpu_seconds = CpuSecondsOf(process.pid) - process.cpu_at_begin;
      process.usage.peak_rss_bytes = PeakRssBytes(process.pid);
    }
  }
}

bool LoadCluster::WorkersEnded() const {
  return std::all_of(processes_.begin(), processes_.end(), [](const Process& process) {
    return process.planned.role != ProcessRole::kWorker || process.end;
  });
}

// SIGTERM to what is left, and after `grace` SIGKILL to its group.
void LoadCluster::EndAll(absl::Duration grace) {
  for (Process& process : processes_) {
    if (!process.end) kill(process.pid, SIGTERM);
  }
  const absl::Time last = absl::Now() + grace;
  const auto left = [this] {
    (void)Reap();  // whatever they end with now, they were told to
    return std::any_of(processes_.begin(), processes_.end(),
                       [](const Process& process) { return !process.end; });
  };
  while (left() && absl::Now() < last) {
    pollfd fd = {signals_fd_, POLLIN, 0};
    poll(&fd, 1, 20);
    signalfd_siginfo info{};
    while (read(signals_fd_, &info, sizeof(info)) == sizeof(info)) {
    }
  }
  for (Process& process : processes_) {
    if (process.end) continue;
    kill(-process.pid, SIGKILL);
    int wait_status = 0;
    while (waitpid(process.pid, &wait_status, 0) < 0 && errno == EINTR) {
    }
    process.end = ProcessEnd::FromWaitStatus(wait_status);
  }
}

}  // namespace weir
