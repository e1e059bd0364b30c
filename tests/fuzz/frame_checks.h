// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_FUZZ_FRAME_CHECKS_H_
#define WEIR_TESTS_FUZZ_FRAME_CHECKS_H_

#include <string>

// What must hold for every sequence of bytes that arrives as a message of the stream. The generated
// classes are the reference; anything that differs is a finding (tests/fuzz/expect.h).

namespace weir::fuzz {

// As one frame: the fast reader accepts nothing that the general one refuses, and reads the same;
// the general one accepts what the generated parser accepts, but for the limits, and what it has
// read, written again, is what the generated classes write. A payload cut into chunks anywhere
// makes no difference.
void CheckClientFrame(const std::string& wire);
void CheckServerFrame(const std::string& wire);

// The same as a frame or a batch of frames.
void CheckClientFrames(const std::string& wire);
void CheckServerFrames(const std::string& wire);

}  // namespace weir::fuzz

#endif  // WEIR_TESTS_FUZZ_FRAME_CHECKS_H_
