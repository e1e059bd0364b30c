// SPDX-License-Identifier: Apache-2.0
// The simulator must notice: each program is the simulator with one line of the logic broken (see
// CMakeLists.txt), and must fail within 200 seeds, naming the promise that this line keeps.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <ostream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

struct Mutant {
  const char* name;
  const char* promise;
};

void PrintTo(const Mutant& mutant, std::ostream* out) { *out << mutant.name; }

class SimMutantsTest : public ::testing::TestWithParam<Mutant> {};

TEST_P(SimMutantsTest, IsCaughtWithin200SeedsByThePromiseItBreaks) {
  const char* const bin = std::getenv("WEIR_BIN_DIR");
  ASSERT_NE(bin, nullptr) << "run by ctest";
  const std::string command =
      absl::StrCat(bin, "/tests/sim_mutant_", GetParam().name, " --seeds=200 2>&1");
  FILE* const pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char chunk[4096];
  while (const size_t bytes = std::fread(chunk, 1, sizeof(chunk), pipe))
    output.append(chunk, bytes);
  const int status = pclose(pipe);
  ASSERT_TRUE(WIFEXITED(status)) << output;
  EXPECT_EQ(WEXITSTATUS(status), 1) << output;
  EXPECT_TRUE(absl::StrContains(output, absl::StrCat("BROKEN PROMISE: ", GetParam().promise, "\n")))
      << output;
  EXPECT_TRUE(absl::StrContains(output, "replay: weir-sim --seed=")) << output;
  EXPECT_FALSE(absl::StrContains(output, "THE REPLAY DIFFERS")) << output;
}

INSTANTIATE_TEST_SUITE_P(
    All, SimMutantsTest,
    ::testing::Values(Mutant{"ledger", "exactly once"}, Mutant{"torn_read", "snapshot"},
                      Mutant{"fence", "fenced"}, Mutant{"epoch", "epoch"},
                      Mutant{"staleness", "staleness"}, Mutant{"poison", "poison"},
                      Mutant{"examples", "same bits"}, Mutant{"deadline", "deadline"},
                      Mutant{"place", "membership"}, Mutant{"token", "hostile"},
                      Mutant{"clock_bound", "staleness"}, Mutant{"successor_clock", "staleness"},
                      Mutant{"clock_sync", "staleness"}),
    [](const ::testing::TestParamInfo<Mutant>& param) { return param.param.name; });

}  // namespace
}  // namespace weir
