// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_SEQUENCES_H_
#define WEIR_WORKER_SEQUENCES_H_

#include <cstddef>
#include <cstdint>
#include <set>

#include "weir/status.h"

namespace weir {

// The numbers of one worker's pushes: each is given out once, grows, and is above all that the
// shards remember.
//
// A sequence is *in use* while a push with it is under way. A *ticket* is one that the caller
// reserved: it stays open, so that the servers keep its outcome, until a push with it has ended
// finally. At most `max_tickets` are open; beyond that the oldest that is not in use is forgotten.
//
// Deterministic; memory: one entry for each push under way and each open ticket.
class Sequences {
 public:
  // The greatest that a shard takes, and so the greatest that one can remember.
  static constexpr uint64_t kMax = (uint64_t{1} << 63) - 1;

  explicit Sequences(size_t max_tickets) : max_tickets_(max_tickets) {}

  // A shard remembers `last`: none up to it is given out from now on. REQUIRES: last <= kMax.
  void Seen(uint64_t last) {
    if (last >= next_) next_ = last + 1;
  }

  // A new sequence, in use.
  uint64_t Begin();
  // A new ticket, not in use.
  uint64_t Reserve();
  // Takes an open ticket into use. kInvalidArgument: it was not reserved here, has ended, or is
  // forgotten. kFailedPrecondition: a push with it is under way.
  Status BeginTicket(uint64_t sequence);
  // A push with `sequence` is over; `final` when its outcome is known in every slice. REQUIRES: in
  // use.
  void End(uint64_t sequence, bool final);
  // Forgets the oldest ticket that is not in use, if any.
  void ForgetOldestTicket();
  // Forgets all tickets that are not in use.
  void ForgetTickets();

  // In use, or a ticket that is not forgotten: a push with it may be asked for again.
  bool IsOpen(uint64_t sequence) const {
    return in_use_.count(sequence) != 0 || tickets_.count(sequence) != 0;
  }

  // Every smaller sequence of this worker is confirmed.
  uint64_t lowest_pending() const;

 private:
  size_t max_tickets_;
  uint64_t next_ = 1;
  std::set<uint64_t> in_use_;
  std::set<uint64_t> tickets_;
};

}  // namespace weir

#endif  // WEIR_WORKER_SEQUENCES_H_
