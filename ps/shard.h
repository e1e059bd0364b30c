// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_SHARD_H_
#define WEIR_PS_SHARD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/buffer.h"
#include "core/layout.h"
#include "core/optimizer.h"
#include "core/payload.h"
#include "core/roster.h"
#include "core/schedule.h"
#include "net/frame.h"
#include "ps/cut.h"
#include "ps/job.h"

namespace weir {

// Values are those of weir.v1.Mode.
enum class ConsistencyMode : uint32_t { kBsp = 1, kAsp = 2, kSsp = 3 };

// The bounds that a shard states in its answer to hello, and its own. Each is at least 1.
struct ShardLimits {
  uint64_t max_requests = 4096;                    // of a session, in flight; see StatedMaxRequests
  uint64_t max_push_bytes = uint64_t{64} << 20;    // of a session, received and not yet released
  uint64_t max_reply_bytes = uint64_t{256} << 20;  // of a session, asked for and not yet answered
  uint64_t max_frame_bytes = (uint64_t{4} << 20) - 1024;  // encoded
  uint32_t max_wait_ms = 60000;                           // the longest deadline of a request
  uint32_t write_timeout_ms = 30000;    // no frame taken by the transport while some wait: closed
  uint32_t hello_timeout_ms = 10000;    // no hello after the open: closed
  uint64_t max_sessions = 16384;        // one more is closed with RESOURCE_EXHAUSTED
  uint64_t max_workers = 4096;          // ids ever seen; one more is closed with RESOURCE_EXHAUSTED
  uint64_t max_state_bytes = 64 << 10;  // of one put_state
};

struct ShardOptions {
  uint32_t shard = 0;
  uint64_t epoch = 0;  // until a layout is installed, then the layout's
  JobId job_id{};
  std::string job_token;  // empty: none is asked for
  ConsistencyMode mode = ConsistencyMode::kBsp;
  // asp: versions; not set: any. ssp, where it must be set: clocks.
  std::optional<uint64_t> max_staleness;
  uint32_t workers = 1;          // ssp: ranks 0 to workers - 1 count until a roster says who does
  uint32_t gradient_shards = 1;  // bsp: G
  OptimizerSpec optimizer;
  ScheduleSpec schedule;  // the learning rate by step (bsp) or version (asp);
                          // optimizer.learning_rate is not used
  uint64_t seed = 0;
  ShardLimits limits;
  std::string build_id;
  // The first weights of whole tensors by name, little-endian f32; none: the initializers. When any
  // is given, all must be.
  std::map<std::string, Payload> init_weights;
};

// What the owner of a shard is to do after an event, in this order: the sends, the closes, the
// jobs, the cuts.
struct Effects {
  struct Send {
    uint64_t session = 0;
    ServerFrame frame;
  };
  // What was sent before still goes out. OnClosed is expected in return.
  struct Close {
    uint64_t session = 0;
    absl::Status status;  // the sentence for the client
  };
  std::vector<Send> sends;
  std::vector<Close> closes;
  std::vector<Job> jobs;
  // What OnCut has asked for. OnCutDone is expected in return.
  std::vector<std::shared_ptr<const ShardCut>> cuts;

  bool empty() const { return sends.empty() && closes.empty() && jobs.empty() && cuts.empty(); }
  void clear() {
    sends.clear();
    closes.clear();
    jobs.clear();
    cuts.clear();
  }
};

// The payload of a frame of Effects::sends, as the transport counts it.
uint64_t PayloadBytesOf(const ServerFrame& frame);

// Since the start. How the pushes of slices ended: every push received is counted once, when it is
// answered or (applied) committed. Pushes of sessions that closed before their turn came, and
// pushes sent again while held, are not counted.
struct ShardTotals {
  uint64_t applied = 0;
  uint64_t stale = 0;
  uint64_t duplicate = 0;
  uint64_t overloaded = 0;
  uint64_t moved = 0;
  uint64_t invalid = 0;
  uint64_t fenced = 0;
  // Examples of the updates committed to the model's first slice, where this shard holds it: each
  // example that a whole gradient was computed from counts once in all shards together.
  uint64_t examples = 0;
  // Bytes of all gradients received, and those of them that were copied before a job read them: by
  // the parser of frames that are not as our writer makes them.
  uint64_t payload_bytes = 0;
  uint64_t payload_bytes_copied = 0;
};

struct ShardStatus {
  bool serving = false;  // a layout is installed and every slice has its first weights
  // Its lease is over: it acknowledges nothing any more, for good.
  bool lapsed = false;
  uint64_t epoch = 0;
  uint64_t step = 0;  // the least version of its slices; ssp: the steps that all have finished
  // For people; empty: nobody. While it serves a sentence ("step 3 waits for part 1"), before it
  // what is missing ("the first weights of 84 slices").
  std::string waits_for;
  std::string failure;  // not empty: it can never serve this layout, and why
};

// One slice as a reader would see it now.
struct SliceSnapshot {
  SliceSpec spec;
  uint64_t version = 0;
  Buffer weights;  // null until initialised
};

// One logical server: the versioned weights of its slices, and who may read and change them when.
//
// A deterministic state machine: events in, effects out; no thread, lock, clock, socket or random
// source. It never looks into a payload: arithmetic goes out as jobs. Not thread-safe: events come
// one at a time, with times that do not go back. The answer to a frame is an effect of that event
// or of a later one; each request is answered exactly once, or its session is closed.
//
// Owns its slices, ledger and sessions. Outbound frames share the immutable buffers of the slices.
// Payloads received are let go when their job is done. Memory: the slices twice (now and before),
// the sums of one open step, and what the limits allow each session.
//
// Promises (DESIGN: 1, 2, 4 to 8 and 9; 3 holds in bsp by construction): see docs/consistency.md.
// Errors are outcomes in frames or a Close with a sentence; nothing received can fail a CHECK.
class Shard {
 public:
  // `pool` outlives the shard and its jobs. REQUIRES: ValidateShardOptions(options).ok().
  Shard(ShardOptions options, BufferPool* pool);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Takes over the slices that `layout` gives this shard and hands out the jobs that fill them;
  // every frame but hello is answered OVERLOADED until these are done. A later layout must have a
  // greater epoch: then all begins anew at step 0, and whoever waited is answered MOVED. Sessions
  // that were told a smaller max_requests than is stated from now on are closed with UNAVAILABLE,
  // so that they say hello again.
  // INVALID_ARGUMENT: the layout is not valid, a slice does not fit a frame, or init_weights do not
  // match, all of them listed. FAILED_PRECONDITION: its epoch is not newer. Nothing has changed
  // then.
  absl::Status Install(const Layout& layout, absl::Time now, Effects* effects);

  // The same, but the slices, the optimizer's state and what is known of the workers are those of a
  // cut, and in bsp the step is its number. INVALID_ARGUMENT also: the cut does not fit the layout.
  absl::Status InstallRestored(const Layout& layout, const ShardRestore& restore, absl::Time now,
                               Effects* effects);

  // Asks for a cut: in bsp of step `number`, slice by slice as they come to that version, in the
  // other modes of this moment. It goes out by Effects::cuts, of this event or of a later one.
  // FAILED_PRECONDITION, a sentence: it does not serve; another cut is asked for or out; bsp: a
  // slice is beyond that step.
  absl::Status OnCut(uint64_t number, absl::Time now, Effects* effects);
  // The cut that was asked for is done, or not wanted any more, out or not: another may be asked
  // for. At most one at a time, so that no more than one is kept in memory.
  void OnCutDone(absl::Time now, Effects* effects);

  // A connection. `session` is never used twice.
  void OnOpen(uint64_t session, absl::Time now, Effects* effects);
  void OnFrame(uint64_t session, ClientFrame frame, absl::Time now, Effects* effects);
  // One frame of Effects::sends, with `payload_bytes` of payload, has been taken by the transport.
  // In any order, but for frames without payload that the transport does not let overtake others.
  void OnSent(uint64_t session, uint64_t payload_bytes, absl::Time now, Effects* effects);
  // The session has ended, whoever ended it. What it had queued and not begun never happened.
  void OnClosed(uint64_t session, absl::Time now, Effects* effects);

  // Jobs may be done in any order. A job of an earlier layout is ignored.
  void OnJobDone(uint64_t job, const JobResult& result, absl::Time now, Effects* effects);

  // Which workers count from now on. One whose generation is not greater than that of the one in
  // force is ignored: they come from several heartbeats, in any order. Until the first, every
  // worker of the settings counts.
  void OnRoster(const Roster& roster, absl::Time now, Effects* effects);

  // The shard may acknowledge what it does until `until`, judged by the time of each event. From
  // the first event after it nothing is admitted, committed or answered: sessions are closed with
  // UNAVAILABLE, and who opens one later is, Install and OnCut are FAILED_PRECONDITION, and all
  // else is ignored. That is for good: another process may have this shard's place by then. Until
  // it is told of a lease, none is judged: for tests, and for a server that nobody can replace.
  void SetLease(absl::Time until, absl::Time now, Effects* effects);

  // Ends the waits and closes the sessions whose time is over.
  void OnTick(absl::Time now, Effects* effects);
  // When OnTick is due at the latest; InfiniteFuture: not before the next event.
  absl::Time NextDeadline() const;

  // What the next answer to hello states: StatedMaxRequests of the layout that is installed.
  uint64_t max_requests() const;

  ShardTotals totals() const;
  ShardStatus status() const;
  // By position, in the layout's order. For tests and the simulator.
  size_t slice_count() const;
  SliceSnapshot snapshot(size_t slice) const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

// INVALID_ARGUMENT naming the field: G outside 1..kMaxParts, a limit of 0 or above 2^48, an
// optimizer or schedule that is not valid, a mode that is not known. A credit smaller than a slice
// is not refused here: no client can then push or pull that slice.
absl::Status ValidateShardOptions(const ShardOptions& options);

// The most requests that any session may have in flight, whatever the layout.
inline constexpr uint64_t kMostRequests = 131072;

// The max_requests that a shard of `slices` slices states. A push of bsp keeps its request until
// its step commits, so a worker that pushes every slice of all its blocks, and waits for every
// slice of the next step, must not run out: else it waits for others that wait for it. In ssp so
// does one that reads every slice, twice at once, while pushes of it are still to be sent. So
// options.limits.max_requests, or more if the mode needs more, up to kMostRequests.
uint64_t StatedMaxRequests(const ShardOptions& options, uint64_t slices);

}  // namespace weir

#endif  // WEIR_PS_SHARD_H_
