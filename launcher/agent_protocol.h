// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_AGENT_PROTOCOL_H_
#define WEIR_LAUNCHER_AGENT_PROTOCOL_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "launcher/process_end.h"

namespace weir {

// What a launcher and an agent say to each other over a pipe: lines of JSON, each at most
// kMaxAgentLine bytes.

constexpr size_t kMaxAgentLine = 1 << 20;

// From the launcher.
//   {"do":"start","name":"ps-0","argv":["weir-ps"],"env":{"WEIR_RANK":"0"},"directory":"","log":"/r/ps-0.log","ready":true}
//   {"do":"signal","name":"ps-0","signal":15}
//   {"do":"shutdown","grace_ms":2000}
struct AgentCommand {
  enum class Kind { kStart, kSignal, kShutdown };
  Kind kind = Kind::kShutdown;
  std::string name;                                      // start, signal
  std::vector<std::string> argv;                         // start
  std::vector<std::pair<std::string, std::string>> env;  // start
  std::string directory;                                 // start
  std::string log_path;                                  // start
  bool wants_ready = false;  // start: give it a pipe on which it says one line
  int signal = 0;            // signal
  absl::Duration grace;      // shutdown: from SIGTERM to SIGKILL
};

// From the agent.
//   {"event":"started","name":"ps-0","pid":4711}
//   {"event":"ready","name":"ps-0","line":"127.0.0.1:40123"}
//   {"event":"exited","name":"ps-0","pid":4711,"exit":0} or "signal":9
//   {"event":"failed","name":"ps-0","reason":"cannot start the program weir-ps: No such file or
//   directory"}
struct AgentEvent {
  enum class Kind { kStarted, kReady, kExited, kFailed };
  Kind kind = Kind::kFailed;
  std::string name;
  int pid = 0;
  std::string text;  // ready: the line; failed: why
  ProcessEnd end;
};

// Each ends with a newline. Text that is not UTF-8 is mended.
std::string EncodeAgentCommand(const AgentCommand& command);
std::string EncodeAgentEvent(const AgentEvent& event);

// INVALID_ARGUMENT: not such a line; the message says what is wrong with it.
absl::StatusOr<AgentCommand> DecodeAgentCommand(absl::string_view line);
absl::StatusOr<AgentEvent> DecodeAgentEvent(absl::string_view line);

// Cuts what comes out of a pipe into lines. Holds at most `limit` bytes of an unfinished line.
class LineReader {
 public:
  explicit LineReader(size_t limit = kMaxAgentLine) : limit_(limit) {}

  // Adds the bytes that `fd`, a non-blocking pipe, has at hand. False: it is closed, or failed, or
  // has sent a line over the limit; then nothing more will come but the lines that are complete.
  bool ReadFrom(int fd);
  bool Add(absl::string_view bytes);

  // The next complete line, without its newline. False: there is none yet.
  bool Next(std::string* line);

 private:
  const size_t limit_;
  std::string bytes_;
  size_t begin_ = 0;
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_AGENT_PROTOCOL_H_
