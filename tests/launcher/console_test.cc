// SPDX-License-Identifier: Apache-2.0
#include "launcher/console.h"

#include <gtest/gtest.h>
#include <stdlib.h>

namespace weir {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

// What a console has written.
class ConsoleTest : public ::testing::Test {
 protected:
  ConsoleTest() { options.out = open_memstream(&text, &size); }
  ~ConsoleTest() override {
    fclose(options.out);
    free(text);
  }
  std::string Written() {
    fflush(options.out);
    return std::string(text, size);
  }

  char* text = nullptr;
  size_t size = 0;
  Console::Options options;
};

TEST_F(ConsoleTest, ElsewhereThanOnATerminalAPlainLineComesEveryFewSeconds) {
  Console console(options);
  console.Status("step 1", kStart);
  console.Status("step 2", kStart + absl::Seconds(1));
  console.Status("step 3", kStart + absl::Seconds(2));
  console.Status("step 3", kStart + absl::Seconds(9));
  console.Status("step 4", kStart + absl::Seconds(10));
  console.Status("step 5", kStart + absl::Seconds(11));
  console.Say("done\n");
  EXPECT_EQ(Written(), "step 1\nstep 3\nstep 4\nstep 5\ndone\n")
      << "the last state is shown before the end";
}

TEST_F(ConsoleTest, OnATerminalTheLineIsWrittenOverAndCutToItsWidth) {
  options.terminal = true;
  options.columns = 8;
  Console console(options);
  console.Status("step 1", kStart);
  console.Status("step 2 and more", kStart);
  console.Say("done\n");
  EXPECT_EQ(Written(), "\rstep 1\x1b[K\rstep 2 \x1b[K\ndone\n");
}

TEST_F(ConsoleTest, WhatWentWrongIsRedOnlyWhereThereIsColour) {
  Console(options).SayWrong("bad\n");
  EXPECT_EQ(Written(), "bad\n");
  options.color = true;
  Console(options).SayWrong("bad\n");
  EXPECT_EQ(Written(), "bad\n\x1b[31mbad\n\x1b[0m");
}

}  // namespace
}  // namespace weir
