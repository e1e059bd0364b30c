// SPDX-License-Identifier: Apache-2.0
#include "worker/sequences.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace weir {

uint64_t Sequences::Begin() {
  in_use_.insert(next_);
  return next_++;
}

uint64_t Sequences::Reserve() {
  tickets_.insert(next_);
  if (tickets_.size() > max_tickets_) ForgetOldestTicket();
  return next_++;
}

Status Sequences::BeginTicket(uint64_t sequence) {
  if (in_use_.count(sequence) != 0) {
    return Status(StatusCode::kFailedPrecondition,
                  absl::StrCat("a push with sequence ", sequence, " is under way"));
  }
  if (tickets_.count(sequence) == 0) {
    return Status(
        StatusCode::kInvalidArgument,
        absl::StrCat("sequence ", sequence,
                     " is not open: not from NewSequence, or ended, or forgotten because ",
                     max_tickets_,
                     " newer ones are open, the servers are full, or the job moved to another "
                     "epoch"));
  }
  in_use_.insert(sequence);
  return Status();
}

void Sequences::End(uint64_t sequence, bool final) {
  in_use_.erase(sequence);
  if (final) tickets_.erase(sequence);
}

void Sequences::ForgetOldestTicket() {
  const auto oldest = std::find_if(tickets_.begin(), tickets_.end(),
                                   [this](uint64_t s) { return in_use_.count(s) == 0; });
  if (oldest != tickets_.end()) tickets_.erase(oldest);
}

void Sequences::ForgetTickets() {
  for (auto at = tickets_.begin(); at != tickets_.end();) {
    at = in_use_.count(*at) != 0 ? std::next(at) : tickets_.erase(at);
  }
}

uint64_t Sequences::lowest_pending() const {
  uint64_t lowest = next_;
  if (!in_use_.empty()) lowest = std::min(lowest, *in_use_.begin());
  if (!tickets_.empty()) lowest = std::min(lowest, *tickets_.begin());
  return lowest;
}

}  // namespace weir
