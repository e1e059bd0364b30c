// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CALLS_H_
#define WEIR_CALLS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weir/tensor.h"

namespace weir {

// What the calls of a Worker take and give.
//
// A tensor is named by its position in the list given to Declare, from 0. Views are f32 on the CPU
// and cover the whole tensor, also when only a range of it is asked for: element i of the tensor is
// element i of the view. A range [offset, offset + count), in elements, is made of whole slices, as
// Worker::Slices lists them; count 0 means to the tensor's end.

// When a push counts, and when a reader waits.
enum class Mode {
  kBsp = 1,  // bulk synchronous: a step commits when all its parts are in
  kAsp = 2,  // asynchronous: a push commits at once, if its staleness is within the bound
  kSsp = 3,  // stale synchronous, bounded by clocks: a push commits at once; a read waits while its
             // worker is more than the bound of steps ahead of the slowest
};

// How long a call may take. Zero: Options::deadline. Every call ends by its deadline with
// StatusCode::kDeadlineExceeded.
using Deadline = std::chrono::milliseconds;

// One slice: the unit of placement, version and transfer.
struct SliceRange {
  uint32_t tensor = 0;
  uint64_t offset = 0;  // elements
  uint64_t count = 0;   // elements
  uint32_t shard = 0;
};

// The values of one slice, *lent*: what a call brings for an entry whose `into` has no data. They
// are not written to memory of the caller's: from shared memory they are read where the server
// keeps them, which saves a pass over the model; otherwise they lie in a block of the Worker's.
//
// They do not change. Let go of `owner`, in about the order in which the slices came, as soon as
// the values are read or on their way to a device: memory of the server's, or of the Worker's,
// waits for it, and a server closes the session of a worker that holds on for its write timeout.
struct LentSlice {
  uint32_t tensor = 0;
  uint64_t offset = 0;  // elements
  uint64_t count = 0;   // elements
  uint64_t version = 0;
  const float* values = nullptr;      // `count` of them
  std::shared_ptr<const void> owner;  // keeps them, after Close too
};

// One tensor, or a range of it, to be read.
struct TensorPull {
  uint32_t tensor = 0;
  // Must stay valid until the call has ended. Empty (no data, no elements): PullResult::lent.
  MutableTensorView into;
  uint64_t offset = 0;
  uint64_t count = 0;
  // The versions that `into` already holds, one for each slice of the range, as a PullResult gave
  // them. A slice that is not newer is then not sent again. Empty: everything is sent.
  std::vector<uint64_t> have;
};

struct PullOptions {
  Deadline deadline{0};
  // Bulk synchronous training: the weights that this step reads; the call waits until they are
  // committed. A step older than the one before the current is StatusCode::kAborted: Sync, and go
  // on from the step that the versions name.
  // kSsp: this worker's clock, the steps that it has finished: every push of earlier steps has
  // ended. The newest values, as soon as the clock is within the bound; a call that names none goes
  // by what the servers know of it.
  std::optional<uint64_t> step;
  // This version of each slice or none: a slice of another version counts as stale and its part of
  // the memory is unchanged.
  std::optional<uint64_t> expect;
};

// The versions of one entry of a call.
struct TensorVersions {
  uint32_t tensor = 0;
  uint64_t min_version = 0;
  uint64_t max_version = 0;
  std::vector<uint64_t> slices;  // of each slice of the range, in order
};

struct PullResult {
  std::vector<TensorVersions> tensors;  // one for each entry of the call, in order
  uint64_t min_version = 0;             // over all slices
  uint64_t max_version = 0;
  uint64_t not_modified = 0;    // slices that were not newer than `have`
  uint64_t stale = 0;           // slices of another version than `expect`
  std::vector<LentSlice> lent;  // of entries without memory, as they came; none for slices without
                                // new values
  // One above the greatest PushOptions::batch of which a push was applied, of this worker or of
  // those that had its place before, as far as the servers asked so far know; 0: none. Where a
  // worker that starts goes on: after a Sync of the whole model every server has been asked.
  uint64_t next_batch = 0;
  // kSsp: how many steps this worker, or those that had its place before, has finished, as the
  // servers asked so far know. There a worker that starts goes on; where the step was begun before,
  // its push is a duplicate.
  uint64_t clock = 0;
};

// The gradient of one tensor, or of a range of it.
struct TensorPush {
  uint32_t tensor = 0;
  TensorView gradient;  // SUMMED over PushOptions::examples; must stay valid and unchanged until
                        // the call has ended; sent without a copy from memory of Worker::Allocate
  uint64_t offset = 0;
  uint64_t count = 0;
  // The versions of the weights that the gradient was computed from, one for each slice of the
  // range, as a PullResult gave them. Empty: the versions that this Worker last delivered. Bulk
  // synchronous training ignores it: there the base is the step.
  std::vector<uint64_t> base;
  // PushPull: where the new values go; may be the memory that the gradient was computed from.
  // Empty: PushResult::lent.
  MutableTensorView into;
};

struct PushOptions {
  Deadline deadline{0};
  // How many examples the gradient is summed over. 0: the part is empty (see Worker::Skip).
  uint64_t examples = 0;
  // Bulk synchronous training: the step and the parts of its global batch. [first_part, first_part
  // + parts) must be one block of the fixed tree over the job's gradient_shards: a power of two of
  // parts, starting at a multiple of that power, or such a range cut off at the last part. One part
  // always is one. kSsp: `step` is this worker's clock, the steps that it has finished, and says
  // that all its pushes of earlier steps have ended. A slice takes one push a step; those that wait
  // for this worker wait for every slice: push them all (0 examples: without gradient), or name the
  // next step in a read.
  uint64_t step = 0;
  uint32_t first_part = 0;
  uint32_t parts = 1;
  uint64_t batch = 0;        // names the examples, for whoever continues this worker's work; free
  double learning_rate = 0;  // of this commit, instead of the schedule's; bulk synchronous: taken
                             // from part 0. 0: the schedule's
  // 0: a new one. A number from Worker::NewSequence: the push can be asked for again, with the same
  // arguments, after kDeadlineExceeded or kCancelled, and tells how it ended; it is never applied
  // twice. The last 64 such open questions are kept, fewer when the servers
  // have no room.
  uint64_t sequence = 0;
};

// What one slice of a push came to.
enum class PushOutcome {
  kApplied = 1,  // committed as `version`
  kStale = 2,    // not applied: based on weights too old. PushPull has brought the fresh ones:
                 // recompute, push again
  kInvalid = 3,  // not applied: `reason` of the result says why. Do not send it again
  kDuplicate =
      6,  // it had ended, or is held, before: `first` says how. kPending: held, not yet committed
  kPending = 8,  // (as `first` only)
};

struct SliceOutcome {
  uint32_t tensor = 0;
  uint64_t offset = 0;
  uint64_t count = 0;
  PushOutcome outcome = PushOutcome::kPending;
  PushOutcome first = PushOutcome::kPending;  // of kDuplicate
  uint64_t base_version = 0;                  // that the gradient was computed from
  uint64_t version = 0;         // of the slice after this push, or, when stale, its current one
  uint64_t values_version = 0;  // PushPull: of the values now in `into`
  uint64_t clocks_ahead = 0;    // kSsp, applied: of this worker before the slowest

  // How it ended, now or the first time. kPending: it is held.
  PushOutcome ended() const { return outcome == PushOutcome::kDuplicate ? first : outcome; }
};

// Counts of slices.
struct PushTally {
  uint64_t applied = 0;
  uint64_t stale = 0;
  uint64_t duplicate = 0;
  uint64_t invalid = 0;

  uint64_t total() const { return applied + stale + duplicate + invalid; }
};

struct TensorPushResult {
  uint32_t tensor = 0;
  PushTally tally;
  uint64_t min_version = 0;
  uint64_t max_version = 0;
};

// How a push ended: each of its slices in exactly one outcome. Atomic pushes (all of bulk
// synchronous training) have one outcome in all slices.
struct PushResult {
  uint64_t sequence = 0;
  PushTally tally;
  std::vector<TensorPushResult> tensors;  // one for each entry of the call, in order
  std::vector<SliceOutcome> slices;       // entry by entry, in order
  std::string reason;                     // of the first slice that is invalid
  // PushPull: the versions of the values brought, over all slices.
  uint64_t min_values_version = 0;
  uint64_t max_values_version = 0;
  std::vector<LentSlice> lent;  // PushPull: of entries without memory, as they came

  // True when the gradient counts everywhere: applied, now or earlier, or held. (A push asked for
  // again can be told that it is a duplicate of one that was stale or invalid.)
  bool counted() const { return !ended(PushOutcome::kStale) && !ended(PushOutcome::kInvalid); }

  // True when a slice has ended as `outcome`, now or earlier.
  bool ended(PushOutcome outcome) const {
    for (const SliceOutcome& slice : slices) {
      if (slice.ended() == outcome) return true;
    }
    return false;
  }
};

// Payload bytes that a Worker has moved since it connected, and those of them that were copied in
// user space on the way: from the gradient's memory to what the transport was given, or from what
// the transport gave to what the weights were decoded from. (Writing the weights to the caller's
// memory is the delivery and no copy.)
struct PayloadTraffic {
  uint64_t sent_bytes = 0;  // of gradients; what is sent or copied again counts again
  uint64_t sent_copied_bytes = 0;
  uint64_t received_bytes = 0;  // of answers delivered to calls
  uint64_t received_copied_bytes = 0;
};

// Opaque state that a worker left on the servers.
struct WorkerState {
  uint64_t sequence = 0;  // 0: there is none
  std::string state;      // at most 64 KiB
};

}  // namespace weir

#endif  // WEIR_CALLS_H_
