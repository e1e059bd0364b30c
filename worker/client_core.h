// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_CLIENT_CORE_H_
#define WEIR_WORKER_CLIENT_CORE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "worker/backoff.h"
#include "worker/client.h"
#include "worker/credits.h"
#include "worker/gradient_encoder.h"
#include "worker/request_table.h"
#include "worker/sequences.h"
#include "worker/slice_index.h"

namespace weir {

// The parts of Client; see worker/client.h for what they do together.
//
// A *call* is what the user asked for. It is *planned*, cut into one *piece* a slice and into
// *requests*, as soon as a layout is there and every shard has said hello once. A request is one
// frame, sent as often as needed until it is answered; a piece is done when its answer is in. A
// request whose call has ended early keeps its credits, as an orphan, until it is answered or its
// connection is lost.
//
//   client_calls.cc      calls in, the end of a call
//   client_plan.cc       what a call asks of which shard
//   client_session.cc    connections, sending
//   client_handshake.cc  hello, bind
//   client_replies.cc    answers
//   client_values.cc     values in answers
enum class ClientCallKind { kPull, kSync, kPush, kNewSequence, kPutState, kGetState, kLeave };

struct ClientPiece {
  size_t entry = 0;  // of the call's pulls or pushes
  size_t slice = 0;
  uint64_t base = 0;  // push: base version; pull: the version at hand, if `has_base`
  bool has_base = false;
  uint64_t version = 0;  // pull: of the data delivered
  SliceOutcome outcome;  // push
};

struct ClientCall {
  ClientCallKind kind = ClientCallKind::kPull;
  absl::Time deadline;
  bool planned = false;
  std::vector<TensorPull> pulls;
  PullOptions pull_options;
  std::vector<TensorPush> pushes;
  std::vector<std::shared_ptr<const void>> owners;  // of the gradients, by entry; null: copied
  PushOptions push_options;
  bool want_values = false;
  std::string state;            // put_state
  uint64_t state_sequence = 0;  // put_state
  WorkerState found_state;      // get_state

  uint64_t sequence = 0;  // push, once planned; new_sequence: the ticket
  std::vector<ClientPiece> pieces;
  std::vector<uint64_t> requests;     // in the order made; 0: answered
  size_t open = 0;                    // of them, not answered yet
  std::map<size_t, size_t> piece_of;  // sync: by slice
  uint64_t not_modified = 0;
  uint64_t stale = 0;
  std::vector<LentSlice> lent;
  std::vector<Loan> loans;
  std::string reason;     // of the first invalid slice
  std::string waits_for;  // as the last PENDING said
};

// The client's end of one session. (Not "Session": ps/ has that name, and one program links both.)
struct ShardLink {
  enum class State { kBackoff, kConnecting, kHello, kBind, kBindLater, kReady };
  State state = State::kBackoff;
  std::vector<Route> routes;  // never empty, the best first
  std::string address;        // of the one in use
  uint64_t connection = 0;    // 0: none
  uint64_t handshake = 0;     // request id of the hello or bind sent last
  // Tensors [first, end) are bound by the bind sent last; of an answer, encoded, at most.
  size_t bind_first = 0;
  size_t bind_end = 0;
  uint64_t max_frame_bytes = 0;
  absl::Time due;  // kBackoff: connect; kBindLater: bind; others but kReady: give the handshake up
  uint32_t failures = 0;  // in a row
  bool greeted = false;   // has been ready once in this epoch
  std::string trouble;    // why it is not connected, for people
  Credits credits;
  uint32_t max_wait_ms = 0;
  absl::btree_set<std::pair<size_t, uint64_t>>
      queue;  // (order, request): first layers first, then first come
  std::set<std::pair<size_t, uint64_t>> small_reads;  // of `queue`
  CreditNeed overtaking{0};                           // in flight, of those that have overtaken
  std::set<std::pair<absl::Time, uint64_t>> delayed;
};

class Client::Core {
 public:
  Core(ClientOptions options, BufferPool* pool);

  // An event lasts from Begin to Finish; what it causes is appended to `effects`.
  void Begin(absl::Time now, ClientEffects* effects);
  void Finish();

  // client_calls.cc
  void Admit(uint64_t id, ClientCall call, Deadline deadline);
  void Cancel(uint64_t id);
  void SetLayout(const Layout& layout);
  void ExpireCalls();
  void Fail(const Status& why);

  // client_session.cc
  void Connected(uint64_t connection);
  void Disconnected(uint64_t connection, const absl::Status& why);
  void TickSessions();

  // client_replies.cc
  void Receive(uint64_t connection, ServerFrame& frame);

  // client_values.cc
  void Returned(const Loan& loan);

  absl::Time NextTick() const;
  Statistics statistics() const;
  uint64_t epoch() const { return epoch_; }
  uint64_t DeliveredVersion(uint32_t tensor, uint64_t offset) const;
  std::string WaitsFor() const;

 private:
  static constexpr uint64_t kNever = ~uint64_t{0};  // no version was delivered
  // A shard that does not answer hello or bind for so long is given up and connected to anew.
  static constexpr absl::Duration kHandshakeTime = absl::Seconds(10);

  // client_plan.cc
  void PlanWaiting();
  Status Plan(uint64_t id, ClientCall& call);
  bool IsRefresh(const ClientCall& call) const;
  Status PlanPull(uint64_t id, ClientCall& call);
  Status PlanSync(uint64_t id, ClientCall& call);
  Status PlanPush(uint64_t id, ClientCall& call);
  Status CutPull(ClientCall& call);
  void AskPulls(uint64_t id, ClientCall& call);
  Status CheckStepFits(const ClientCall& call, std::set<uint64_t>* others) const;
  Status CutPush(ClientCall& call);
  Status CheckNamedOnce(const ClientCall& call) const;
  void Ask(uint64_t id, ClientCall& call, ClientRequest request);
  bool Adopt(uint64_t id, ClientCall& call, size_t piece);
  void Join(uint64_t id, ClientCall& call, uint64_t name, ClientRequest& request);

  // client_calls.cc
  void Complete(uint64_t id, ClientCall& call);  // every request is answered
  void End(uint64_t id, const Status& status);
  PullResult MakePullResult(ClientCall& call) const;
  PushResult MakePushResult(ClientCall& call);
  std::string WaitsFor(const ClientCall& call) const;
  const char* KindName(const ClientCall& call) const;

  // client_session.cc
  void Connect(size_t shard);
  void Lose(size_t shard, const std::string& why);
  void Ready(ShardLink& session);
  void PumpAll();
  void Pump(ShardLink& session, size_t shard);
  void PumpSmallReads(ShardLink& session, size_t shard);
  void SendRequest(uint64_t id, ClientRequest& request, ShardLink& session, size_t shard);
  bool TensorOnShard(uint32_t tensor, size_t shard) const;
  void MakeFrame(uint64_t id, const ClientRequest& request, const ShardLink& session,
                 SendEffect* send);
  PushFrame MakePush(const ClientRequest& request, SendEffect* send);
  Payload MakeGradient(const ClientCall& call, const ClientPiece& piece, SendEffect* send);
  Payload EncodeGradient(const ClientCall& call, const ClientPiece& piece, SendEffect* send);
  void Queue(uint64_t id, ClientRequest& request);
  void Delay(uint64_t id, ClientRequest& request, absl::Duration wait);
  void Detach(
      uint64_t id,
      ClientRequest& request);  // from its session's lists, credits given back if it was sent
  bool AllGreeted() const;
  std::string Trouble(size_t shard) const;
  std::string ShardName(size_t shard) const;

  // client_handshake.cc
  void SendHello(ShardLink& session, size_t shard);
  size_t BindEnd(const ShardLink& session, size_t shard) const;
  void SendBind(ShardLink& session, size_t shard);
  void OnHelloReply(size_t shard, const ServerFrame& frame);
  void OnBindReply(size_t shard, const BindReplyFrame& reply);

  // client_replies.cc
  void OnHandshakeError(size_t shard, const ErrorReplyFrame& error);
  void OnPush(uint64_t id, ClientRequest& request, PushReplyFrame& reply);
  void OnPushFinal(uint64_t id, ClientRequest& request, PushReplyFrame& reply);
  void FollowWithPull(uint64_t id, ClientRequest& request);
  void OnState(uint64_t id, ClientRequest& request, StateReplyFrame& reply);
  void OnError(uint64_t id, ClientRequest& request, const ErrorReplyFrame& error);
  void OnOverloaded(uint64_t id, ClientRequest& request, uint32_t retry_after_ms);
  void OnPending(uint64_t id, ClientRequest& request, const std::string& reason);
  void Answered(uint64_t id, ClientRequest& request);  // the last answer of a request is in
  void Drop(uint64_t id, ClientRequest& request);
  void Part(ClientCall& call, const ClientRequest& request);
  void Moved();
  void BadFrame(size_t shard, const std::string& what);

  // client_values.cc
  void OnPull(uint64_t id, ClientRequest& request, PullReplyFrame& reply);
  void OnSyncPart(uint64_t id, ClientRequest& request, PullReplyFrame& reply);
  bool HasValues(size_t slice, Codec codec, const Payload& payload) const;
  void Deliver(ClientCall& call, uint64_t id, size_t piece, Payload payload, uint64_t version);
  bool Lend(ClientCall& call, size_t slice, const Payload& payload, uint64_t version);

  ClientCall* FindCall(const ClientRequest& request);

  bool bsp() const { return options_.mode == Mode::kBsp; }

  const ClientOptions options_;
  BufferPool* const pool_;
  Backoff backoff_;
  Sequences sequences_;
  uint64_t next_batch_ = 0;  // as PullResult::next_batch; of this epoch
  uint64_t clock_ = 0;       // as PullResult::clock; of this epoch
  GradientEncoder encoder_;

  // Of the event being handled.
  absl::Time now_;
  ClientEffects* effects_ = nullptr;

  // Of the epoch.
  uint64_t epoch_ = 0;
  bool has_layout_ = false;  // false: before the first, or moved and not yet told where to
  bool fetching_ = false;
  // The caller has read weights of this epoch, or none of an earlier one: what it says of versions
  // and steps can be of this epoch.
  bool refreshed_ = true;
  SliceIndex slices_;
  std::vector<ShardLink> sessions_;  // by shard
  std::vector<uint64_t> delivered_;  // by slice; kNever
  std::vector<std::string> names_;   // by tensor

  std::map<uint64_t, size_t> shard_of_connection_;
  std::map<uint64_t, ClientCall> calls_;
  std::deque<uint64_t> waiting_;  // calls not planned, in the order made
  std::set<std::pair<absl::Time, uint64_t>> deadlines_;
  RequestTable requests_;
  std::map<std::pair<uint64_t, size_t>, uint64_t> orphan_pushes_;  // (sequence, slice): request
  uint64_t next_connection_ = 1;
  uint64_t next_request_ = 1;
  uint64_t next_nonce_ = 1;
  std::optional<Status> stopped_;
  Statistics statistics_;
};

}  // namespace weir

#endif  // WEIR_WORKER_CLIENT_CORE_H_
