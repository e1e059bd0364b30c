// SPDX-License-Identifier: Apache-2.0
// The leases that a coordinator gives, on a machine whose clocks are set: see fake_clocks.h.
#include <gtest/gtest.h>

#include "launcher/coordinator_codec.h"
#include "launcher/coordinator_service.h"
#include "net/coordinator_client.h"
#include "net/server_host.h"
#include "tests/core/fake_clocks.h"

namespace weir {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(30);

// A coordinator with one worker, who has joined and is not heard again.
class CoordinatorClockTest : public ::testing::Test {
 protected:
  CoordinatorClockTest() {
    Membership::Options options;
    options.lease = absl::Minutes(1);
    options.replace_within = absl::Hours(24);
    options.restart_workers.limit = 1;
    service = std::make_unique<CoordinatorService>(options);
    ServerHost::Options server;
    server.services = {service->service()};
    auto started = ServerHost::Start(server);
    EXPECT_TRUE(started.ok()) << started.status();
    if (started.ok()) host = *std::move(started);
    client = std::make_unique<CoordinatorClient>(host->address());
    EXPECT_TRUE(JoinAs(1).ok());
  }
  ~CoordinatorClockTest() override { host->Shutdown(absl::ZeroDuration()); }

  // As a process of this number, for the only place of a worker.
  absl::Status JoinAs(uint64_t process_id) {
    v1::JoinRequest request;
    request.set_protocol_min(1);
    request.set_protocol_max(1);
    request.set_role(v1::MEMBER_ROLE_WORKER);
    request.set_has_rank(true);
    request.set_process_id(process_id);
    return client->Join(request, kLimit).status();
  }

  std::unique_ptr<CoordinatorService> service;
  std::unique_ptr<ServerHost> host;
  std::unique_ptr<CoordinatorClient> client;
};

TEST_F(CoordinatorClockTest, AWallClockThatIsSetForwardEndsNoLease) {
  MoveWallClock(absl::Hours(2));
  EXPECT_TRUE(absl::IsAlreadyExists(JoinAs(2)));
  MoveWallClock(-absl::Hours(2));
}

TEST_F(CoordinatorClockTest, AWallClockThatIsSetBackProlongsNoLease) {
  // The coordinator is suspended like everybody, which it forgives unless it is brief.
  absl::Status successor;
  int seconds = 0;
  do {
    SuspendMachine(absl::Seconds(1));
    MoveWallClock(-absl::Hours(2));
    successor = JoinAs(2);
  } while (absl::IsAlreadyExists(successor) && ++seconds < 65);
  EXPECT_TRUE(successor.ok()) << successor;
  EXPECT_GE(seconds, 50);
}

}  // namespace
}  // namespace weir
