// SPDX-License-Identifier: Apache-2.0
#include "launcher/agent_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "launcher/child_process.h"
#include "launcher/descendants.h"

namespace weir {
namespace {

int Milliseconds(absl::Duration d) {
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(d) + 1, 0, 1000000));
}

// Whether `fd` becomes ready for `events` until `end`.
bool WaitFor(int fd, short events, absl::Time end) {
  pollfd one{fd, events, 0};
  int ready;
  do {
    ready = poll(&one, 1, Milliseconds(std::max(end - absl::Now(), absl::ZeroDuration())));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AgentClient>> AgentClient::Start(std::vector<std::string> argv,
                                                                std::string log_path) {
  signal(SIGPIPE, SIG_IGN);  // an agent that is gone shows in the status of Send
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return absl::ResourceExhaustedError(strerror(errno));
  if (pipe2(out, O_CLOEXEC) != 0) {
    const int error = errno;
    close(in[0]);
    close(in[1]);
    return absl::ResourceExhaustedError(strerror(error));
  }
  ProcessSpec spec;
  spec.argv = std::move(argv);
  spec.log_path = std::move(log_path);
  spec.stdin_fd = in[0];
  spec.stdout_fd = out[1];
  spec.die_with_parent = false;  // it ends in order when the pipe closes
  absl::StatusOr<pid_t> pid = StartProcess(spec);
  close(in[0]);
  close(out[1]);
  if (!pid.ok()) {
    close(in[1]);
    close(out[0]);
    return pid.status();
  }
  fcntl(in[1], F_SETFL, O_NONBLOCK);
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  return std::unique_ptr<AgentClient>(new AgentClient(*pid, in[1], out[0]));
}

AgentClient::~AgentClient() {
  bool clean;
  End(absl::ZeroDuration(), &clean);
  close(out_);
}

absl::Status AgentClient::Send(const AgentCommand& command) {
  const std::string line = EncodeAgentCommand(command);
  if (line.size() > kMaxAgentLine) {
    return absl::InvalidArgumentError(absl::StrCat("a command of ", line.size(), " bytes for ",
                                                   command.name, ", at most ", kMaxAgentLine));
  }
  const absl::Time end = absl::Now() + kSendLimit;
  // An agent that is killed closes its pipes one after the other: this one may still take bytes.
  const bool open = in_ >= 0 && !gone_;
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t size = open ? write(in_, line.data() + written, line.size() - written) : -1;
    if (size > 0) {
      written += size;
    } else if (!open || (errno != EAGAIN && errno != EINTR) || !WaitFor(in_, POLLOUT, end)) {
      return absl::UnavailableError(
          absl::StrCat("the agent (process ", pid_, ") takes no command"));
    }
  }
  return absl::OkStatus();
}

std::vector<AgentEvent> AgentClient::Take() {
  if (!gone_) gone_ = !events_.ReadFrom(out_);
  std::vector<AgentEvent> events;
  std::string line;
  while (events_.Next(&line)) {
    absl::StatusOr<AgentEvent> event = DecodeAgentEvent(line);
    if (!event.ok()) continue;
    if (event->kind == AgentEvent::Kind::kStarted) living_[event->name] = event->pid;
    if (event->kind == AgentEvent::Kind::kExited) living_.erase(event->name);
    events.push_back(*std::move(event));
  }
  return events;
}

ProcessEnd AgentClient::AwaitEnd() {
  int status = 0;
  pid_t pid;
  do {
    pid = waitpid(pid_, &status, 0);
  } while (pid < 0 && errno == EINTR);
  return ProcessEnd::FromWaitStatus(status);
}

std::vector<AgentEvent> AgentClient::End(absl::Duration grace, bool* clean) {
  *clean = true;
  std::vector<AgentEvent> events;
  if (ended_) return events;
  ended_ = true;
  AgentCommand shutdown;
  shutdown.grace = grace;
  if (Send(shutdown).ok()) {
    const absl::Time end = absl::Now() + grace + kEndLimit;
    while (!gone_ && WaitFor(out_, POLLIN, end)) {
      for (AgentEvent& event : Take()) events.push_back(std::move(event));
    }
  }
  close(in_);
  in_ = -1;
  for (AgentEvent& event : Take()) events.push_back(std::move(event));
  *clean = KillWhatIsLeft();
  return events;
}

// The groups the agent had started and has not reaped; then itself, and all that became children of
// this process.
bool AgentClient::KillWhatIsLeft() {
  for (const auto& [name, group] : living_) kill(-group, SIGKILL);
  living_.clear();
  return KillAndReapChildren(absl::Seconds(2));
}

}  // namespace weir
