// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_AGENT_CLIENT_H_
#define WEIR_LAUNCHER_AGENT_CLIENT_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "launcher/agent_protocol.h"

namespace weir {

// The launcher's end of an agent: starts it, gives it commands, takes its events, and sees to its
// end.
//
// While this object lives its pipe holds the agent up: when the launcher dies in whatever way, the
// pipe closes and the agent ends everything. When the agent itself dies, the process groups it had
// started are killed from here; the calling process must be a child subreaper for that
// (BecomeSubreaper()) and have no other children than agents.
//
// Not thread-safe: one thread, the one that called Start().
class AgentClient {
 public:
  // Starts `argv`, a program that calls RunAgent(0, 1), with its stderr appended to `log_path`.
  // From now on the process ignores SIGPIPE.
  static absl::StatusOr<std::unique_ptr<AgentClient>> Start(std::vector<std::string> argv,
                                                            std::string log_path);
  ~AgentClient();  // End() with no grace
  AgentClient(const AgentClient&) = delete;
  AgentClient& operator=(const AgentClient&) = delete;

  // UNAVAILABLE: the agent is gone, or has not read for kSendLimit. Everything it started must be
  // taken for lost.
  absl::Status Send(const AgentCommand& command);

  // Readable when Take() has something to say.
  int fd() const { return out_; }
  // The events at hand; does not wait. INVALID_ARGUMENT events are dropped: an agent is of this
  // build.
  std::vector<AgentEvent> Take();
  // The agent has closed its pipe: no event will come any more.
  bool gone() const { return gone_; }
  pid_t pid() const { return pid_; }
  // How the agent itself ended. REQUIRES: gone(); once.
  ProcessEnd AwaitEnd();

  // Has everything ended: SIGTERM, SIGKILL after `grace`, reaped. Then what the agent has not ended
  // itself is killed from here. Returns the events that came meanwhile. False in `*clean`:
  // something was left. Twice is once.
  std::vector<AgentEvent> End(absl::Duration grace, bool* clean);

  static constexpr absl::Duration kSendLimit = absl::Seconds(5);
  static constexpr absl::Duration kEndLimit = absl::Seconds(5);  // beyond the grace

 private:
  AgentClient(pid_t pid, int in, int out) : pid_(pid), in_(in), out_(out) {}
  bool KillWhatIsLeft();

  const pid_t pid_;
  int in_, out_;
  LineReader events_;
  std::map<std::string, pid_t> living_;  // process groups that were started and have not ended
  bool gone_ = false;
  bool ended_ = false;
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_AGENT_CLIENT_H_
