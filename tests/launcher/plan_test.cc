// SPDX-License-Identifier: Apache-2.0
#include "launcher/plan.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir {
namespace {

TEST(PlanTest, CoordinatorThenServersThenWorkersEachByRank) {
  Topology topology;
  topology.servers.count = 2;
  topology.servers.shards = 3;
  topology.workers.count = 3;
  std::vector<std::string> names;
  for (const PlannedProcess& process : MakePlan(topology)) {
    names.push_back(process.name);
    EXPECT_EQ(process.host, "localhost");
    EXPECT_TRUE(process.is_weirs_own);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"coordinator", "ps-0", "ps-1", "worker-0", "worker-1",
                                             "worker-2"}));
  const PlannedProcess server = MakePlan(topology)[2];
  EXPECT_EQ(server.role, ProcessRole::kServer);
  EXPECT_EQ(server.rank, 1);
  EXPECT_EQ(server.program, "weir-ps");
  EXPECT_EQ(server.args, (std::vector<std::string>{"--rank=1", "--shards=3"}));
}

TEST(PlanTest, ProgramOfTheUsersOwnTakesTheWorkersPlaces) {
  Topology topology;
  topology.workers.count = 2;
  topology.workers.program = {"python3", "train.py", "--fast"};
  topology.workers.directory = "/job";
  const PlannedProcess worker = MakePlan(topology).back();
  EXPECT_EQ(worker.name, "worker-1");
  EXPECT_EQ(worker.program, "python3");
  EXPECT_EQ(worker.args, (std::vector<std::string>{"train.py", "--fast"}));
  EXPECT_EQ(worker.directory, "/job");
  EXPECT_FALSE(worker.is_weirs_own);
}

TEST(PlanTest, ProcessesGoRoundTheHostsInTurn) {
  Topology topology;
  topology.hosts = {"a", "b"};
  topology.servers.count = 3;
  std::vector<std::string> hosts;
  for (const PlannedProcess& process : MakePlan(topology)) hosts.push_back(process.host);
  EXPECT_EQ(hosts, (std::vector<std::string>{"a", "a", "b", "a", "a"}));
}

}  // namespace
}  // namespace weir
