// SPDX-License-Identifier: Apache-2.0
#include "launcher/local_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

RunPlace Place() {
  RunPlace place;
  place.program_dir = "/opt/weir/bin";
  place.run_dir = "/r";
  place.token_file = "/r/token";
  place.coordinator = "127.0.0.1:4000";
  return place;
}

PlannedProcess Planned(ProcessRole role, const std::string& name, const std::string& program) {
  PlannedProcess process;
  process.role = role;
  process.rank = 1;
  process.name = name;
  process.program = program;
  process.args = {"--rank=1"};
  process.is_weirs_own = true;
  return process;
}

TEST(LocalBackendTest, AServerIsToldItsPlaceAndTheCoordinator) {
  const AgentCommand command =
      StartCommand(Planned(ProcessRole::kServer, "ps-1", "weir-ps"), Place());
  EXPECT_THAT(command.argv,
              ElementsAre("/opt/weir/bin/weir-ps", "--coordinator=127.0.0.1:4000", "--rank=1"));
  EXPECT_EQ(command.log_path, "/r/ps-1.log");
  EXPECT_FALSE(command.wants_ready);
  EXPECT_THAT(command.env, Contains(Pair("WEIR_ROLE", "ps")));
  EXPECT_THAT(command.env, Contains(Pair("OMP_NUM_THREADS", "1")));
  for (const std::string& word : command.argv)
    EXPECT_THAT(word, Not(HasSubstr("token"))) << "never on a command line";
}

TEST(LocalBackendTest, TheCoordinatorSaysWhenItIsReady) {
  PlannedProcess process = Planned(ProcessRole::kCoordinator, "coordinator", "weir-coordinator");
  process.args.clear();
  const AgentCommand command = StartCommand(process, Place());
  EXPECT_TRUE(command.wants_ready);
  EXPECT_THAT(command.argv, ElementsAre("/opt/weir/bin/weir-coordinator",
                                        "--topology=/r/topology.yaml", "--port=0"));
}

TEST(LocalBackendTest, AProgramOfTheUsersOwnFindsEverythingInItsEnvironment) {
  PlannedProcess process = Planned(ProcessRole::kWorker, "worker-1", "python3");
  process.is_weirs_own = false;
  process.args = {"train.py"};
  process.directory = "/home/me";
  RunPlace place = Place();
  place.threads_are_set = true;
  const AgentCommand command = StartCommand(process, place);
  EXPECT_THAT(command.argv, ElementsAre("python3", "train.py"));
  EXPECT_EQ(command.directory, "/home/me");
  EXPECT_THAT(
      command.env,
      ElementsAre(Pair("WEIR_ROLE", "worker"), Pair("WEIR_RANK", "1"), Pair("WEIR_RUN_DIR", "/r"),
                  Pair("WEIR_TOKEN_FILE", "/r/token"), Pair("WEIR_COORDINATOR", "127.0.0.1:4000")));
}

TEST(LocalBackendTest, AShellLineCanBePasted) {
  AgentCommand command;
  command.argv = {"/bin/echo", "it's", "a b", ""};
  command.env = {{"A", "x y"}, {"B", ""}};
  command.directory = "/tmp";
  command.log_path = "/r/l.log";
  EXPECT_EQ(ShellLine(command),
            "cd /tmp && A='x y' B= /bin/echo 'it'\\''s' 'a b' '' >>/r/l.log 2>&1");
}

}  // namespace
}  // namespace weir
