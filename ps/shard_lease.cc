// SPDX-License-Identifier: Apache-2.0
// What becomes of a shard when its lease is over.
#include "absl/strings/str_cat.h"
#include "ps/shard_core.h"

namespace weir {

absl::Status Shard::Core::LeaseIsOver() const {
  return absl::FailedPreconditionError(
      absl::StrCat("the lease of shard ", options_.shard, " is over"));
}

void Shard::Core::Lapse() {
  lapsed_ = true;
  released_.clear();
  for (const uint64_t id : sessions_.Unclosed()) TurnAway(id);
}

void Shard::Core::TurnAway(uint64_t id) {
  absl::Status status = absl::UnavailableError(absl::StrCat(
      "the lease of shard ", options_.shard,
      " is over: its process was stopped or cut off, and acknowledges nothing any more"));
  if (Session* session = sessions_.Find(id)) return Close(session, std::move(status));
  out_->closes.push_back({id, std::move(status)});
}

}  // namespace weir
