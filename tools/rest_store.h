// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_STORE_H_
#define WEIR_TOOLS_REST_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"

namespace weir {

// The weights of one version of a tensor, shared by whoever reads them, never changed.
struct RestWeights {
  uint64_t version = 0;
  std::shared_ptr<const float[]> values;
  size_t count = 0;
  absl::Span<const float> span() const { return {values.get(), count}; }
};

// The store behind the REST server of the comparison: whole tensors, each with a version of its
// own that every push raises by one, updated by core/optimizer's SGD as a shard does it: the new
// weights are written beside the old, and readers keep what they read.
//
// Thread-safe: one lock a tensor, held while its update is computed; pushes of one tensor wait for
// one another, pulls for the push before them.
class RestStore {
 public:
  // Starts at version 0 with zeros.
  RestStore(const std::vector<std::pair<std::string, size_t>>& names_and_counts,
            double learning_rate);
  ~RestStore();

  // Elements of a tensor. NOT_FOUND: no such tensor here.
  absl::StatusOr<size_t> Count(absl::string_view name) const;

  // Applies a gradient of Count(name) elements; returns what it became. NOT_FOUND.
  // INVALID_ARGUMENT: another size, or NaN or infinity in it or in its result; nothing has changed.
  absl::StatusOr<RestWeights> Push(absl::string_view name, absl::Span<const float> gradient);

  // The newest version. NOT_FOUND.
  absl::StatusOr<RestWeights> Pull(absl::string_view name);

  // Frees the memory that is kept for the next versions.
  void FreeMemory();

 private:
  class Spare;
  struct Tensor {
    absl::Mutex mu;
    RestWeights weights ABSL_GUARDED_BY(mu);
    std::shared_ptr<Spare> spare;  // self-synchronised; fixed after construction
  };

  absl::StatusOr<Tensor*> Find(absl::string_view name) const;

  const double learning_rate_;
  absl::flat_hash_map<std::string, std::unique_ptr<Tensor>> tensors_;  // fixed after construction
};

}  // namespace weir

#endif  // WEIR_TOOLS_REST_STORE_H_
