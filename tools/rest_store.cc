// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/optimizer.h"

namespace weir {
namespace {

constexpr size_t kMaxSpare = 4;

}  // namespace

// Memory of versions that nobody reads any more, to be written again: so that an update does not
// begin with page faults.
class RestStore::Spare : public std::enable_shared_from_this<Spare> {
 public:
  explicit Spare(size_t count) : count_(count) {}

  // Not cleared. Comes back here when its last reader has let go.
  std::shared_ptr<float[]> Take() {
    return {TakeBare(), [spare = shared_from_this()](float* floats) { spare->Give(floats); }};
  }

  void Clear() {
    absl::MutexLock lock(&mu_);
    free_.clear();
  }

 private:
  float* TakeBare() {
    absl::MutexLock lock(&mu_);
    if (free_.empty()) return new float[count_];
    float* floats = free_.back().release();
    free_.pop_back();
    return floats;
  }

  void Give(float* floats) {
    std::unique_ptr<float[]> owned(floats);
    absl::MutexLock lock(&mu_);
    if (free_.size() < kMaxSpare) free_.push_back(std::move(owned));
  }

  const size_t count_;
  absl::Mutex mu_;
  std::vector<std::unique_ptr<float[]>> free_ ABSL_GUARDED_BY(mu_);
};

RestStore::RestStore(const std::vector<std::pair<std::string, size_t>>& names_and_counts,
                     double learning_rate)
    : learning_rate_(learning_rate) {
  for (const auto& [name, count] : names_and_counts) {
    auto tensor = std::make_unique<Tensor>();
    tensor->spare = std::make_shared<Spare>(count);
    const std::shared_ptr<float[]> zeros = tensor->spare->Take();
    std::fill_n(zeros.get(), count, 0.0f);
    absl::MutexLock lock(&tensor->mu);
    tensor->weights = {0, zeros, count};
    tensors_[name] = std::move(tensor);
  }
}

RestStore::~RestStore() = default;

absl::StatusOr<RestStore::Tensor*> RestStore::Find(absl::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    return absl::NotFoundError(absl::StrCat("no tensor of that name here: ", name));
  return found->second.get();
}

absl::StatusOr<size_t> RestStore::Count(absl::string_view name) const {
  const auto tensor = Find(name);
  if (!tensor.ok()) return tensor.status();
  absl::MutexLock lock(&(*tensor)->mu);
  return (*tensor)->weights.count;
}

absl::StatusOr<RestWeights> RestStore::Push(absl::string_view name,
                                            absl::Span<const float> gradient) {
  const auto found = Find(name);
  if (!found.ok()) return found.status();
  Tensor& tensor = **found;
  absl::MutexLock lock(&tensor.mu);
  if (gradient.size() != tensor.weights.count) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a gradient of ", gradient.size(), " elements: ", name, " has ", tensor.weights.count));
  }
  const std::shared_ptr<float[]> next = tensor.spare->Take();
  ApplyCall call;
  call.gradient = gradient.data();
  call.learning_rate = static_cast<float>(learning_rate_);
  call.update = tensor.weights.version + 1;
  call.weights = tensor.weights.values.get();
  call.weights_out = next.get();
  call.count = gradient.size();
  OptimizerSpec spec;
  spec.learning_rate = learning_rate_;
  const ApplyFlags flags = Apply(spec, call);
  if (flags.nonfinite_gradient || flags.nonfinite_result) {
    return absl::InvalidArgumentError(
        "the gradient, or what it makes of the weights, is NaN or "
        "infinite: nothing was applied");
  }
  tensor.weights.values = next;
  ++tensor.weights.version;
  return tensor.weights;
}

absl::StatusOr<RestWeights> RestStore::Pull(absl::string_view name) {
  const auto found = Find(name);
  if (!found.ok()) return found.status();
  absl::MutexLock lock(&(*found)->mu);
  return (*found)->weights;
}

void RestStore::FreeMemory() {
  for (const auto& [name, tensor] : tensors_) tensor->spare->Clear();
}

}  // namespace weir
