// SPDX-License-Identifier: Apache-2.0
// Cuts: what a checkpoint is made of.
#include <utility>

#include "absl/strings/str_cat.h"
#include "ps/shard_core.h"

namespace weir {

absl::Status Shard::Core::OnCut(uint64_t number) {
  if (!serving()) return absl::FailedPreconditionError(WhyNotServing());
  if (cut_is_out_ || collecting_ != nullptr)
    return absl::FailedPreconditionError("the cut before is not done yet");
  const bool by_step = options_.mode == ConsistencyMode::kBsp;
  for (size_t slice = 0; by_step && slice < store_.size(); ++slice) {
    if (store_[slice].version <= number) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "a slice of tensor '", store_.tensor(store_[slice].spec.tensor_id).name, "' is at step ",
        store_[slice].version, " already, the cut is of step ", number));
  }
  collecting_ = std::make_shared<ShardCut>();
  collecting_->number = number;
  collecting_->epoch = epoch_;
  collecting_->shard = options_.shard;
  collecting_->layout = store_.shared_layout();
  collecting_->slices.resize(store_.size());
  cut_missing_ = store_.size();
  if (cut_missing_ == 0) HandOutCut();
  for (uint32_t slice = 0; slice < store_.size() && collecting_ != nullptr; ++slice) {
    if (!by_step || store_[slice].version == number) AddToCut(slice);
  }
  return absl::OkStatus();
}

void Shard::Core::OnCutDone() {
  cut_is_out_ = false;
  collecting_.reset();
}

void Shard::Core::OfferToCut(uint32_t slice) {
  if (collecting_ != nullptr && collecting_->number == store_[slice].version) AddToCut(slice);
}

void Shard::Core::AddToCut(uint32_t slice) {
  const StoredSlice& stored = store_[slice];
  CutSlice& into = collecting_->slices[slice];
  into.spec = stored.spec;
  into.version = stored.version;
  into.weights = stored.values.weights;
  into.state = stored.state;
  if (--cut_missing_ == 0) HandOutCut();
}

void Shard::Core::HandOutCut() {
  for (const uint64_t worker : ledger_.workers()) {
    CutWorker cut;
    cut.worker = worker;
    cut.incarnation = ledger_.newest(worker);
    cut.next_batch = ledger_.next_batch(worker);
    cut.clock = clocks_.furthest(worker);
    const auto note = notes_.find(worker);
    if (note != notes_.end()) {
      cut.state_sequence = note->second.state_sequence;
      cut.state = note->second.state;
    }
    collecting_->workers.push_back(std::move(cut));
  }
  cut_is_out_ = true;
  out_->cuts.push_back(std::exchange(collecting_, nullptr));
}

}  // namespace weir
