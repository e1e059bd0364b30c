// SPDX-License-Identifier: Apache-2.0
#include "tools/load_pattern.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace weir {

float LoadGradient(uint64_t index) {
  return index % 128 == 0 ? 127.0f : static_cast<float>(1 + index % 7);
}

void FillGradient(uint64_t first, size_t count, float* out) {
  std::array<float, kPatternElements> pattern;
  for (size_t i = 0; i < pattern.size(); ++i) pattern[i] = LoadGradient(first + i);
  while (count > 0) {
    const size_t n = std::min(count, pattern.size());
    std::copy_n(pattern.begin(), n, out);
    out += n;
    count -= n;
  }
}

PatternCheck::PatternCheck(double rate, Codec codec) : rate_(rate), codec_(codec) { Expect(0); }

void PatternCheck::Expect(uint64_t version) {
  version_ = version;
  const double factor = -static_cast<double>(version) * rate_;
  for (size_t i = 0; i < expected_.size(); ++i) {
    // Version 0 is +0: what the servers begin with.
    expected_[i] = version == 0 ? 0.0f : static_cast<float>(factor * LoadGradient(i));
  }
  if (codec_ == Codec::kF32) return;
  std::vector<char> encoded(EncodedBytes(codec_, expected_.size()));
  Encode(codec_, expected_.data(), expected_.size(), encoded.data());
  Decode(codec_, encoded.data(), expected_.size(), expected_.data());
}

uint64_t PatternCheck::CountWrong(const float* values, uint64_t first, size_t count,
                                  uint64_t version) {
  if (version > kLastExactVersion) return count;
  if (version != version_) Expect(version);
  uint64_t wrong = 0;
  size_t phase = first % kPatternElements;
  while (count > 0) {
    const size_t n = std::min(count, kPatternElements - phase);
    const float* expected = expected_.data() + phase;
    // The C library's compare runs at the speed of memory; one that differs is counted by value.
    if (std::memcmp(values, expected, n * sizeof(float)) != 0) {
      for (size_t i = 0; i < n; ++i) wrong += values[i] == expected[i] ? 0 : 1;
    }
    values += n;
    count -= n;
    phase = 0;
  }
  return wrong;
}

}  // namespace weir
