// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_CLIENT_H_
#define WEIR_WORKER_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/buffer.h"
#include "core/codec.h"
#include "core/layout.h"
#include "core/payload.h"
#include "core/transport.h"
#include "net/frame.h"
#include "weir/calls.h"
#include "weir/status.h"

namespace weir {

// Who the client is; from the coordinator's answer to Join.
struct ClientOptions {
  std::string job_id;  // 16 bytes
  std::string job_token;
  SessionRole role = SessionRole::kWorker;
  uint64_t worker_id = 0;  // the rank
  uint64_t incarnation = 0;
  std::string build_id;
  uint32_t lane = 0;
  Transport transport = Transport::kAuto;  // as the job, or the caller, wants it
  std::string host_key;                    // of this process; see core/host_key.h
  Mode mode = Mode::kBsp;                  // the job's
  uint64_t session_nonce = 1;              // of the first session; each later one is greater by one
  uint64_t seed = 0;                       // of the jitter of back-off
  absl::Duration default_deadline = absl::Seconds(60);
  absl::Duration min_backoff =
      absl::Milliseconds(50);  // between two connections to a shard, doubled each time ...
  absl::Duration max_backoff = absl::Seconds(2);  // ... up to this; jittered down to a half of it
  size_t max_calls = 1024;
  size_t max_tickets = 64;
  // Whoever sends the frames can call SendEffect::encode.
  bool encodes_late = false;
};

// What the client wants done, in order.

// Open a connection to `shard`. Its events (Connected, Disconnected, Receive) name `connection`,
// which is never used twice.
struct ConnectEffect {
  uint64_t connection = 0;
  uint32_t shard = 0;
  Transport transport = Transport::kTcp;  // kTcp or kUds
  std::string address;                    // as net/channel.h takes it
};
// Close it; the client expects no event of it any more and ignores those that come.
struct DisconnectEffect {
  uint64_t connection = 0;
};
struct SendEffect {
  uint64_t connection = 0;
  uint32_t shard = 0;
  ClientFrame frame;
  // With ClientOptions::encodes_late only: makes the payload of the frame, which until then tells
  // its size but has no bytes, when the transport is ready for it: so it is read while it is still
  // in the caches, and the first slice does not wait for the encoding of the last. From any thread
  // while the pool lives.
  std::function<Payload()> encode;
};
// Write `payload`, decoded, to the caller's memory at `to`, before the Complete of `call`:
// DeliverValues does it.
struct DeliverEffect {
  uint64_t call = 0;
  Codec codec = Codec::kF32;  // of `payload`
  Payload payload;
  char* to = nullptr;  // the first of `count` floats
  uint64_t count = 0;
  Buffer lent;  // where `to` lies when the values are lent: they stay in the caches
};
void DeliverValues(const DeliverEffect& deliver);
// Values that are lent from where the server keeps them: they hold reply credit until Returned.
struct Loan {
  size_t slice = 0;  // of the result's `lent`
  uint64_t connection = 0;
  uint64_t bytes = 0;
};
// `call` has ended; its memory is no longer used.
struct CompleteEffect {
  uint64_t call = 0;
  Status status;
  std::vector<Loan> loans;
  // When ok, by the kind of call: PullResult (Pull, Sync), PushResult (Push), WorkerState
  // (GetState), uint64_t (NewSequence), monostate (PutState, Leave).
  std::variant<std::monostate, PullResult, PushResult, WorkerState, uint64_t> value;
};
// Ask the coordinator for a layout newer than this epoch and hand it to SetLayout. Asked once until
// SetLayout is called.
struct FetchLayoutEffect {
  uint64_t newer_than = 0;
};
using ClientEffect = std::variant<ConnectEffect, DisconnectEffect, SendEffect, DeliverEffect,
                                  CompleteEffect, FetchLayoutEffect>;
using ClientEffects = std::vector<ClientEffect>;

// The worker's end of the data plane: turns calls into frames and frames into completed calls. It
// alone knows
//
// - sessions: hello, bind (a shard whose slices are not those of the layout is not spoken to),
// reconnects with back-off;
// - routing: which slices a call means, one request a slice (one a shard for Sync);
// - credits: requests, pushed bytes and reply bytes of each session; what does not fit waits, first
// layers first;
// - reassembly into the caller's memory, and the versions delivered;
// - retry: what a lost connection or an overloaded shard left unanswered is sent again, a push
// under its sequence; that is safe
//   because a shard applies a (worker, incarnation, sequence, slice) at most once and answers the
//   second with the first outcome;
// - sequences: from one above the greatest that any shard remembers, never reused; and the lowest
// still pending;
// - deadlines, which end a call whatever the servers do, and the tickets of pushes whose end is
// then unknown;
// - stale (the values come back with the answer), moved (the layout is fetched anew, all calls end
// kAborted, everything known
//   of the old epoch is dropped) and fenced (every call from then on ends kFailedPrecondition).
//
// Deterministic: events in, effects out; time is handed in with each event and does not go back. No
// threads, locks or I/O. A frame borrows the slice of a gradient that has an owner, and holds that
// owner; a gradient without one is read while its push is under way and copied into blocks of
// `pool`, slice by slice, as it is sent. Writes no caller's memory itself (DeliverEffect does). In
// the steady state it asks the allocator for no block of a slice's size.
//
// Every call id given in is completed exactly once. Statuses are those of weir/worker.h.
class Client {
 public:
  // `pool` outlives the client.
  Client(ClientOptions options, BufferPool* pool);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Calls. `call` is the caller's name for it, not in use. Effects are appended. A call made before
  // the first layout waits.
  void Pull(uint64_t call, std::vector<TensorPull> tensors, const PullOptions& options,
            absl::Time now, ClientEffects* effects);
  void Sync(uint64_t call, std::vector<TensorPull> tensors, const PullOptions& options,
            absl::Time now, ClientEffects* effects);
  // With want_values: PushPull. `owners` are of the gradients, by entry: what keeps one alive until
  // the last frame that borrows from it is gone; null: it is copied.
  // REQUIRES: as many owners as tensors.
  void Push(uint64_t call, std::vector<TensorPush> tensors,
            std::vector<std::shared_ptr<const void>> owners, const PushOptions& options,
            bool want_values, absl::Time now, ClientEffects* effects);
  void NewSequence(uint64_t call, Deadline deadline, absl::Time now, ClientEffects* effects);
  void PutState(uint64_t call, uint64_t sequence, const std::string& state, Deadline deadline,
                absl::Time now, ClientEffects* effects);
  void GetState(uint64_t call, Deadline deadline, absl::Time now, ClientEffects* effects);
  void Leave(uint64_t call, Deadline deadline, absl::Time now, ClientEffects* effects);
  // Ends the call with kCancelled; no-op when it has ended.
  void Cancel(uint64_t call, absl::Time now, ClientEffects* effects);

  // The layout to use from now on. One of the same epoch changes nothing. A newer one ends the
  // calls that were under way with kAborted. From then on, until a pull or sync without conditions
  // has brought weights of the new epoch, so end all pushes and all pulls that name a step or
  // versions: the caller can only mean those of before. Other calls go on with the new layout.
  void SetLayout(const Layout& layout, absl::Time now, ClientEffects* effects);

  // Connections. Connected: frames may be sent. Disconnected: it is over, whoever ended it, with
  // what the server or the transport said. FAILED_PRECONDITION, UNAUTHENTICATED, PERMISSION_DENIED
  // and UNIMPLEMENTED mean that this server will not have this client: every call ends
  // kFailedPrecondition. Anything else is tried again.
  void Connected(uint64_t connection, absl::Time now, ClientEffects* effects);
  void Disconnected(uint64_t connection, const absl::Status& why, absl::Time now,
                    ClientEffects* effects);
  void Receive(uint64_t connection, ServerFrame frame, absl::Time now, ClientEffects* effects);

  // The caller has let go of what `loan` lent.
  void Returned(const Loan& loan, absl::Time now, ClientEffects* effects);

  // Handles what is due by `now`.
  void Tick(absl::Time now, ClientEffects* effects);
  // When Tick is due next; InfiniteFuture: not until another event.
  absl::Time NextTick() const;

  // Ends all calls, and all to come, with `why`, and closes the connections.
  void Stop(const Status& why, absl::Time now, ClientEffects* effects);

  // For people and for tests.
  struct Statistics {
    uint64_t calls = 0;       // under way
    uint64_t requests = 0;    // sent and not answered, or waiting to be sent
    uint64_t connects = 0;    // since the start
    uint64_t resent = 0;      // requests sent again after a lost connection
    uint64_t overloaded = 0;  // answers
    uint64_t moved = 0;
    uint64_t ignored = 0;  // answers to requests that had ended
    PushTally pushes;      // slices, since the start
    PayloadTraffic traffic;
  };
  Statistics statistics() const;
  uint64_t epoch() const;
  // The version of the slice that was last delivered to a caller. kNotFound-like: 0 when none was.
  uint64_t DeliveredVersion(uint32_t tensor, uint64_t offset) const;
  // Whom the calls under way wait for, a sentence; empty when nothing waits.
  std::string WaitsFor() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir

#endif  // WEIR_WORKER_CLIENT_H_
