// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_COORDINATOR_NODE_H_
#define WEIR_TESTS_SIM_COORDINATOR_NODE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "launcher/membership.h"
#include "tests/sim/world.h"

namespace weir::sim {

// The coordinator: the real Membership behind calls that travel, and of which some or their
// answers are lost: then the caller is told UNAVAILABLE after kCallTimeout. Checks that a place is
// given to one process at a time. (Membership does not number epochs yet: a layout of a newer epoch
// is published past it.)
class CoordinatorNode {
 public:
  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  explicit CoordinatorNode(World* world);

  JobKey key() const;
  void Join(MemberRole role, uint32_t rank, const std::string& address, uint64_t process,
            Done<JoinAnswer> done);
  void Declare(const MemberId& who, Done<uint64_t> done);
  void GetLayout(const MemberId& who, absl::Duration wait, uint64_t newer_than,
                 Done<std::shared_ptr<const Layout>> done);
  void Heartbeat(const MemberId& who, const HeartbeatEvent& event, Done<HeartbeatAnswer> done);
  void Leave(const MemberId& who, Done<bool> done);
  // The agent sees a process end.
  void ReportLoss(uint32_t worker, uint64_t restarts);
  // Times that a lost process was to be replaced in that place.
  uint64_t restarts(uint32_t worker) const;

  // The layout from now on.
  void Publish(std::shared_ptr<const Layout> layout) { published_ = std::move(layout); }
  // The next calls of workers are lost, or their answers.
  void LoseCalls(uint32_t calls) { calls_to_lose_ += calls; }

  const Membership& membership() const { return membership_; }

 private:
  using Place = std::pair<MemberRole, uint32_t>;
  struct Holder {
    uint64_t process = 0;
    uint64_t incarnation = 0;
    absl::Time heard;
    bool gone = false;  // left, or reported lost
  };
  static constexpr absl::Duration kCallTimeout = absl::Seconds(1);

  template <typename T>
  void Call(const char* what, MemberRole role,
            std::function<absl::StatusOr<T>(absl::Time now)> handle, Done<T> done);
  absl::Duration Delay();
  bool Lost(MemberRole role);
  absl::StatusOr<JoinAnswer> HandleJoin(const JoinEvent& event, absl::Time now);
  void AfterEvent();

  World* const world_;
  Membership membership_;
  std::map<Place, Holder> holders_;
  std::shared_ptr<const Layout> published_;
  std::map<uint64_t, Done<std::shared_ptr<const Layout>>> waits_;
  uint64_t next_wait_ = 1;
  uint32_t calls_to_lose_ = 0;
  absl::Time timer_ = absl::InfiniteFuture();
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_COORDINATOR_NODE_H_
