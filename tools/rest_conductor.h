// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_CONDUCTOR_H_
#define WEIR_TOOLS_REST_CONDUCTOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace weir {

// How the load test tells its processes what to do next, so that phases of different systems take
// turns while all of them stay up: JSON messages over a Unix socket, which costs no TCP connection
// and, between two phases, no processor time.

// A process that is told. Blocking; one thread.
class Player {
 public:
  // Joins as number `rank` of `group`, with what the conductor is to know of it. Statuses of
  // connect().
  static absl::StatusOr<std::unique_ptr<Player>> Join(const std::string& path,
                                                      const std::string& group, uint32_t rank,
                                                      const nlohmann::json& about);
  ~Player();
  Player(const Player&) = delete;
  Player& operator=(const Player&) = delete;

  // The next command. CANCELLED: the conductor is gone; end. DATA_LOSS: no JSON.
  absl::StatusOr<nlohmann::json> Next();
  // Answers the last command: with a value, or with what went wrong.
  absl::Status Answer(const absl::StatusOr<nlohmann::json>& answer);

 private:
  explicit Player(int fd) : fd_(fd) {}
  const int fd_;
};

// The other end. One thread.
class Conductor {
 public:
  // `path` does not exist; it becomes a socket that only this user may open. `check` is asked five
  // times a second while something is waited for; its error ends the wait.
  static absl::StatusOr<std::unique_ptr<Conductor>> Listen(const std::string& path,
                                                           std::function<absl::Status()> check);
  ~Conductor();
  Conductor(const Conductor&) = delete;
  Conductor& operator=(const Conductor&) = delete;

  // Waits until players 0 to count - 1 of `group` have joined; what they said of themselves, by
  // rank. DEADLINE_EXCEEDED says how many have not. INVALID_ARGUMENT: one that was not expected.
  absl::StatusOr<std::vector<nlohmann::json>> Await(const std::string& group, uint32_t count,
                                                    absl::Time deadline);

  // Tells all players of `group` and waits for all their answers, by rank. INTERNAL: one failed, or
  // is gone; names it. DEADLINE_EXCEEDED.
  absl::StatusOr<std::vector<nlohmann::json>> Ask(const std::string& group,
                                                  const nlohmann::json& command,
                                                  absl::Time deadline);

 private:
  struct Member {
    int fd = -1;
    nlohmann::json about;
  };

  Conductor(int fd, std::function<absl::Status()> check) : fd_(fd), check_(std::move(check)) {}
  absl::Status WaitFor(int fd, absl::Time deadline, const std::string& what);
  absl::Status TakeOne(absl::Time deadline, const std::string& what);

  const int fd_;
  const std::function<absl::Status()> check_;
  std::map<std::string, std::map<uint32_t, Member>> groups_;
};

}  // namespace weir

#endif  // WEIR_TOOLS_REST_CONDUCTOR_H_
