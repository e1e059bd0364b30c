// SPDX-License-Identifier: Apache-2.0
#include "launcher/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "launcher/agent_protocol.h"
#include "launcher/child_process.h"
#include "launcher/descendants.h"

namespace weir {
namespace {

constexpr absl::Duration kKillLimit = absl::Seconds(2);  // for the kernel to end what was killed
constexpr size_t kMaxReadyLine = 4096;

class Agent {
 public:
  Agent(int in, int out) : in_(in), out_(out) {}
  int Run();

 private:
  struct Process {
    pid_t pid = 0;
    int ready_fd = -1;
    LineReader ready{kMaxReadyLine};
  };

  void Prepare();
  void Wait();
  void ReadCommands();
  void Obey(const AgentCommand& command);
  void Start(const AgentCommand& command);
  void ReadSignals();
  void ReadReady(const std::string& name, Process* process);
  void Reap();
  void Report(const AgentEvent& event);
  void BeginShutdown(absl::Duration grace);

  int in_, out_;
  int signals_ = -1;
  LineReader commands_;
  std::map<std::string, Process> processes_;
  bool ending_ = false;
  bool in_open_ = true;
  absl::Time kill_at_;
};

void Agent::Prepare() {
  BecomeSubreaper();
  // Only the agent holds the pipes: when it dies, the launcher sees them close.
  in_ = fcntl(in_, F_DUPFD_CLOEXEC, 3);
  out_ = fcntl(out_, F_DUPFD_CLOEXEC, 3);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  close(null);
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  fcntl(in_, F_SETFL, fcntl(in_, F_GETFL) | O_NONBLOCK);
}

int Agent::Run() {
  Prepare();
  while (!ending_ || (!processes_.empty() && absl::Now() < kill_at_)) Wait();
  // Those that are left, and whatever they have left behind.
  SignalChildren(SIGKILL);
  const absl::Time end = absl::Now() + kKillLimit;
  while (!processes_.empty() && absl::Now() < end) {
    kill_at_ = end;
    Wait();
  }
  const bool clean = KillAndReapChildren(kKillLimit);
  close(signals_);
  return clean ? 0 : 1;
}

void Agent::Wait() {
  std::vector<pollfd> fds = {{signals_, POLLIN, 0}, {in_open_ ? in_ : -1, POLLIN, 0}};
  std::vector<std::string> names;
  for (const auto& [name, process] : processes_) {
    if (process.ready_fd < 0) continue;
    fds.push_back({process.ready_fd, POLLIN, 0});
    names.push_back(name);
  }
  int timeout = -1;
  if (ending_) {
    const int64_t left = absl::ToInt64Milliseconds(kill_at_ - absl::Now()) + 1;
    timeout = static_cast<int>(std::clamp<int64_t>(left, 0, kAgentGraceMs));
  }
  if (poll(fds.data(), fds.size(), timeout) < 0) return;
  // What a process said comes before the news of its end.
  for (size_t i = 0; i < names.size(); ++i) {
    if (fds[i + 2].revents != 0) ReadReady(names[i], &processes_[names[i]]);
  }
  if (fds[0].revents != 0) ReadSignals();
  if (fds[1].revents != 0) ReadCommands();
}

void Agent::ReadSignals() {
  signalfd_siginfo info;
  while (read(signals_, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGTERM) BeginShutdown(absl::Milliseconds(kAgentGraceMs));
  }
  Reap();
}

void Agent::ReadCommands() {
  in_open_ = commands_.ReadFrom(in_);
  std::string line;
  while (commands_.Next(&line)) {
    absl::StatusOr<AgentCommand> command = DecodeAgentCommand(line);
    if (command.ok()) {
      Obey(*command);
      continue;
    }
    Report({AgentEvent::Kind::kFailed, "", 0,
            absl::StrCat("the agent does not understand a command: ", command.status().message())});
    in_open_ = false;
  }
  if (!in_open_) BeginShutdown(absl::Milliseconds(kAgentGraceMs));
}

void Agent::Obey(const AgentCommand& command) {
  switch (command.kind) {
    case AgentCommand::Kind::kStart:
      Start(command);
      return;
    case AgentCommand::Kind::kSignal: {
      auto it = processes_.find(command.name);
      if (it != processes_.end()) kill(-it->second.pid, command.signal);
      return;
    }
    case AgentCommand::Kind::kShutdown:
      BeginShutdown(command.grace);
      return;
  }
}

void Agent::Start(const AgentCommand& command) {
  AgentEvent event{AgentEvent::Kind::kFailed, command.name};
  if (ending_) {
    event.text = "the agent is ending";
  } else if (processes_.count(command.name) > 0) {
    event.text = absl::StrCat("a process named ", command.name, " runs already");
  } else if (processes_.size() >= kMaxAgentProcesses) {
    event.text = absl::StrCat("an agent starts at most ", kMaxAgentProcesses, " processes");
  } else {
    ProcessSpec spec;
    spec.argv = command.argv;
    spec.env = command.env;
    spec.directory = command.directory;
    spec.log_path = command.log_path;
    int ready = -1;
    absl::StatusOr<pid_t> pid = StartProcess(spec, command.wants_ready ? &ready : nullptr);
    if (pid.ok()) {
      Process& process = processes_[command.name];
      process.pid = *pid;
      process.ready_fd = ready;
      event.kind = AgentEvent::Kind::kStarted;
      event.pid = *pid;
    } else {
      event.text = std::string(pid.status().message());
    }
  }
  Report(event);
}

void Agent::ReadReady(const std::string& name, Process* process) {
  const bool open = process->ready.ReadFrom(process->ready_fd);
  std::string line;
  const bool told = process->ready.Next(&line);
  if (told) Report({AgentEvent::Kind::kReady, name, process->pid, line});
  if (!told && open) return;
  close(process->ready_fd);
  process->ready_fd = -1;
}

// Reaps what has ended: processes by name, and orphans that became children of the agent.
void Agent::Reap() {
  for (;;) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    auto it = std::find_if(processes_.begin(), processes_.end(),
                           [&](const auto& entry) { return entry.second.pid == info.si_pid; });
    // While its leader is not reaped the number of a group belongs to nobody else.
    if (it != processes_.end()) {
      if (it->second.ready_fd >= 0) ReadReady(it->first, &it->second);
      kill(-info.si_pid, SIGKILL);
    }
    int status = 0;
    waitpid(info.si_pid, &status, 0);
    if (it == processes_.end()) continue;
    if (it->second.ready_fd >= 0) close(it->second.ready_fd);
    const std::string name = it->first;
    processes_.erase(it);
    Report({AgentEvent::Kind::kExited, name, info.si_pid, "", ProcessEnd::FromWaitStatus(status)});
  }
}

void Agent::Report(const AgentEvent& event) {
  const std::string line = EncodeAgentEvent(event);
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t size = write(out_, line.data() + written, line.size() - written);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;  // the launcher is gone; its end of `in` tells
    written += size;
  }
}

void Agent::BeginShutdown(absl::Duration grace) {
  const absl::Time kill_at = absl::Now() + std::min(grace, absl::Milliseconds(kAgentGraceMs));
  if (ending_) {
    kill_at_ = std::min(kill_at_, kill_at);  // a second order may hurry the first
    return;
  }
  ending_ = true;
  kill_at_ = kill_at;
  SignalChildren(SIGTERM);
}

}  // namespace

int RunAgent(int in, int out) { return Agent(in, out).Run(); }

}  // namespace weir
