// SPDX-License-Identifier: Apache-2.0
#include "bench/memory_limit.h"

#include <immintrin.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weir::bench {
namespace {

constexpr size_t kLanes = 8;

template <int kReads, int kWrites, bool kStreamed>
void Loop(const float* const* in, float* const* out, size_t count) {
  const __m256 factor = _mm256_set1_ps(0.75f);
  for (size_t i = 0; i < count; i += kLanes) {
    __m256 sum = _mm256_load_ps(in[0] + i);
    for (int r = 1; r < kReads; ++r)
      sum = _mm256_add_ps(_mm256_mul_ps(sum, factor), _mm256_load_ps(in[r] + i));
    for (int w = 0; w < kWrites; ++w) {
      if (kStreamed)
        _mm256_stream_ps(out[w] + i, sum);
      else
        _mm256_store_ps(out[w] + i, sum);
    }
  }
  if (kStreamed) _mm_sfence();
}

using LoopFunction = void (*)(const float* const*, float* const*, size_t);

template <bool kStreamed>
LoopFunction Pick(int reads, int writes) {
  static constexpr LoopFunction kLoops[4][4] = {
      {Loop<1, 1, kStreamed>, Loop<1, 2, kStreamed>, Loop<1, 3, kStreamed>, Loop<1, 4, kStreamed>},
      {Loop<2, 1, kStreamed>, Loop<2, 2, kStreamed>, Loop<2, 3, kStreamed>, Loop<2, 4, kStreamed>},
      {Loop<3, 1, kStreamed>, Loop<3, 2, kStreamed>, Loop<3, 3, kStreamed>, Loop<3, 4, kStreamed>},
      {Loop<4, 1, kStreamed>, Loop<4, 2, kStreamed>, Loop<4, 3, kStreamed>, Loop<4, 4, kStreamed>}};
  return kLoops[reads - 1][writes - 1];
}

}  // namespace

void RunMemoryLimit(int reads, int writes, Stores stores, const float* const* in, float* const* out,
                    size_t count) {
  const LoopFunction loop =
      stores == Stores::kStreamed ? Pick<true>(reads, writes) : Pick<false>(reads, writes);
  loop(in, out, count);
}

std::vector<std::string> MemoryLimits(int reads, int writes, size_t bytes,
                                      const std::shared_ptr<Arrays>& arrays,
                                      std::vector<Measured>* all) {
  std::vector<std::string> names;
  const size_t count =
      std::min(bytes / sizeof(float) / static_cast<size_t>(reads + writes), Arrays::kElements) /
      kLanes * kLanes;
  for (const Stores stores : {Stores::kCached, Stores::kStreamed}) {
    Measured limit;
    limit.what = absl::StrCat("limit ", reads, " in ", writes, " out ", count * sizeof(float),
                              stores == Stores::kCached ? " cached" : " streamed");
    limit.bytes = count * sizeof(float) * static_cast<size_t>(reads + writes);
    limit.run = [=] {
      RunMemoryLimit(reads, writes, stores, arrays->ins(), arrays->outs(), count);
    };
    names.push_back(limit.what);
    const auto is_same = [&](const Measured& other) { return other.what == limit.what; };
    if (std::none_of(all->begin(), all->end(), is_same)) all->push_back(std::move(limit));
  }
  return names;
}

}  // namespace weir::bench
