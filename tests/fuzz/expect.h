// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_FUZZ_EXPECT_H_
#define WEIR_TESTS_FUZZ_EXPECT_H_

#include <cstdio>
#include <cstdlib>
#include <string>

// A finding of a fuzz target: ends the program, and libFuzzer keeps the input.
#define WEIR_EXPECT(condition, what)                                                          \
  do {                                                                                        \
    if (!(condition)) ::weir::fuzz::Found(__FILE__, __LINE__, #condition, std::string(what)); \
  } while (false)

namespace weir::fuzz {

[[noreturn]] inline void Found(const char* file, int line, const char* condition,
                               const std::string& what) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n%s\n", file, line, condition, what.c_str());
  std::abort();
}

}  // namespace weir::fuzz

#endif  // WEIR_TESTS_FUZZ_EXPECT_H_
