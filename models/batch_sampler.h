// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_BATCH_SAMPLER_H_
#define WEIR_MODELS_BATCH_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "weir/model.h"

namespace weir {

// Rows of one part, in memory of the sampler; valid until its next call.
struct RowRange {
  const uint32_t* rows = nullptr;
  int64_t count = 0;
};

// Says which rows a part of a step's global batch holds: a pure function of (seed, step, part,
// parts).
//
// Each epoch is a permutation of the rows drawn from (seed, epoch); step k of the epoch takes the
// rows [k * batch, (k + 1) * batch) of it, and what is left at the epoch's end is not used in it. A
// step's batch is cut into contiguous parts whose sizes differ by at most one, larger ones first;
// with more parts than rows the last are empty.
//
// Owns the permutation of one epoch at a time (4 bytes a row) and makes it anew, in place, when
// asked for another. One thread at a time.
class BatchSampler {
 public:
  // INVALID_ARGUMENT: batch < 1, or larger than the set. REQUIRES: 0 <= rows < 2^32.
  static Result<BatchSampler> Create(uint64_t seed, int64_t rows, int64_t batch);

  // Whole batches in the set; at least 1.
  uint64_t StepsPerEpoch() const { return steps_per_epoch_; }

  // REQUIRES: part.part < part.parts.
  RowRange Rows(const PartId& part);

 private:
  BatchSampler(uint64_t seed, int64_t rows, int64_t batch);
  void Permute(uint64_t epoch);

  uint64_t seed_;
  uint64_t batch_;
  uint64_t steps_per_epoch_;
  uint64_t epoch_ = 0;  // whose permutation is in order_
  std::vector<uint32_t> order_;
};

}  // namespace weir

#endif  // WEIR_MODELS_BATCH_SAMPLER_H_
