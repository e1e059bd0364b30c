// SPDX-License-Identifier: Apache-2.0
#include "models/batch_sampler.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "models/random.h"

namespace weir {

Result<BatchSampler> BatchSampler::Create(uint64_t seed, int64_t rows, int64_t batch) {
  if (batch < 1) {
    return Status(StatusCode::kInvalidArgument,
                  "the batch must hold 1 row or more, not " + std::to_string(batch));
  }
  if (batch > rows) {
    return Status(StatusCode::kInvalidArgument, "a batch of " + std::to_string(batch) +
                                                    " rows is larger than the training set of " +
                                                    std::to_string(rows));
  }
  return BatchSampler(seed, rows, batch);
}

BatchSampler::BatchSampler(uint64_t seed, int64_t rows, int64_t batch)
    : seed_(seed),
      batch_(static_cast<uint64_t>(batch)),
      steps_per_epoch_(static_cast<uint64_t>(rows / batch)),
      order_(static_cast<size_t>(rows)) {
  Permute(0);
}

void BatchSampler::Permute(uint64_t epoch) {
  epoch_ = epoch;
  // From the identity each time, so that the order does not depend on the epochs asked for before.
  // Fisher and Yates.
  std::iota(order_.begin(), order_.end(), 0u);
  SeededRandom random(seed_, epoch);
  for (size_t i = order_.size() - 1; i > 0; --i) {
    std::swap(order_[i], order_[random.Below(static_cast<uint32_t>(i + 1))]);
  }
}

RowRange BatchSampler::Rows(const PartId& part) {
  const uint64_t epoch = part.step / steps_per_epoch_;
  if (epoch != epoch_) Permute(epoch);
  const uint64_t first_of_step = part.step % steps_per_epoch_ * batch_;
  const uint64_t size = batch_ / part.parts;
  const uint64_t larger = batch_ % part.parts;  // so many parts hold one row more
  const uint64_t begin = part.part * size + std::min<uint64_t>(part.part, larger);
  return {order_.data() + first_of_step + begin,
          static_cast<int64_t>(size + (part.part < larger ? 1 : 0))};
}

}  // namespace weir
