// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_SHARD_CORE_H_
#define WEIR_PS_SHARD_CORE_H_

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ps/clock_table.h"
#include "ps/policy.h"
#include "ps/session_table.h"
#include "ps/shard.h"
#include "ps/slice_store.h"
#include "ps/ssp_policy.h"
#include "ps/waiting_list.h"

namespace weir {

// The parts of a shard and what ties them together; private to ps/shard*.cc. By concern:
//   shard.cc          events in: dispatch, sessions, ticks, status
//   shard_answer.cc   frames out: answers, refusals, credits, closes
//   shard_clocks.cc   ssp: clocks, and the reads that wait for the slowest
//   shard_cut.cc      cuts: what a checkpoint is made of
//   shard_install.cc  layouts and first weights
//   shard_lease.cc    what becomes of it when its lease is over
//   shard_read.cc     bind, pull, sync
//   shard_push.cc     pushes: from the frame to the job, from its result to the commit
//   shard_worker.cc   hello, leave, put_state, get_state
// What an overloaded push is told.
constexpr uint32_t kRetryAfterMs = 50;

class Shard::Core {
 public:
  Core(ShardOptions options, BufferPool* pool);

  absl::Status Install(const Layout& layout, const ShardRestore* restore);
  absl::Status OnCut(uint64_t number);
  void OnCutDone();
  void OnOpen(uint64_t id);
  void OnFrame(uint64_t id, ClientFrame frame);
  void OnSent(uint64_t id, uint64_t payload_bytes);
  void OnClosed(uint64_t id);
  void OnJobDone(uint64_t job, const JobResult& result);
  void OnRoster(const Roster& roster);
  void OnTick();

  absl::Time NextDeadline() const;
  ShardStatus status() const;
  const ShardTotals& totals() const { return totals_; }
  const SliceStore& store() const { return store_; }
  uint64_t max_requests() const { return max_requests_; }

  // shard_lease.cc
  void SetLease(absl::Time until) { lease_until_ = until; }
  absl::Status LeaseIsOver() const;  // what whoever comes then is told
  void TurnAway(uint64_t session);   // which opened then

  // Around each event: where its effects go, and its time. False: the lease is over, and nothing is
  // to be done. End hands out the credits that are due.
  bool Begin(absl::Time now, Effects* effects);
  void End();

 private:
  // A push on its way through the lane of its slice.
  struct Push {
    RequestRef request;
    PushTerms terms;
    Codec codec = Codec::kF32;
    Payload gradient;
    uint64_t unreleased_bytes = 0;  // of its session's credit
  };

  // The pushes of one slice, one at a time in the order of arrival.
  struct Lane {
    bool busy = false;  // a job of this slice is out
    std::list<Push> queue;
  };

  // A job that is out: an initialisation, or a push with its plan. Holds the outputs.
  struct Running {
    uint32_t slice = 0;
    std::optional<Push> push;
    FoldPlan plan;
    Buffer sum;
    SliceValues values;
    std::array<Buffer, 2> state;
    uint64_t version = 0;  // an initialisation: the first
  };

  // What a shard keeps for a worker beside its ledger.
  struct WorkerNote {
    bool has_left = false;
    uint64_t left_incarnation = 0;
    uint64_t state_sequence = 0;
    Buffer state;
  };

  // shard.cc
  void OnKind(Session* session, const RequestRef& request, ClientFrame frame);
  RequestRef RefOf(const Session& session, const ClientFrame& frame) const;
  bool serving() const { return installed_ && uninitialised_ == 0 && failure_.empty() && !lapsed_; }
  std::string WhyNotServing() const;
  std::string WhatIsMissing() const;  // REQUIRES: !serving(), no failure

  // shard_answer.cc
  using Kind = decltype(ServerFrame::kind);
  // Queues one answer of `request`; `settles` is what it settles of the payload asked for. Dropped
  // when the session is gone or the request has ended.
  void Answer(const RequestRef& request, Kind kind, uint64_t settles);
  // The last answer, whatever was still to come.
  void Finish(const RequestRef& request, Kind kind);
  Session* Asker(const RequestRef& request);  // null: its session is gone, or the request has ended
  void Queue(Session* session, const RequestRef& request, Kind kind);
  void Error(const RequestRef& request, Outcome outcome, std::string reason);
  // Answers a frame that was not looked into.
  void Refuse(const RequestRef& request, const ClientFrame& frame, Outcome outcome,
              std::string reason);
  void Close(Session* session, absl::Status status);
  void Release(uint64_t session, uint64_t push_bytes);
  void Count(Outcome outcome);

  // shard_install.cc
  absl::Status CheckInstall(const Layout& layout) const;
  absl::Status CheckInitWeights(const Layout& layout) const;
  void MakePolicy();
  absl::Status CheckRestore(const Layout& layout, const ShardRestore& restore) const;
  void RestoreWorkers(const std::vector<CutWorker>& workers);
  void AbandonEpoch();
  void StartInit(uint32_t slice, const ShardRestore::Slice* restore);
  // Room for the values of a slice.
  SliceValues AllocateValues(const StoredSlice& slice);
  void FinishInit(const Running& running, const JobResult& result);

  // shard_cut.cc
  // `slice` has just reached a new version.
  void OfferToCut(uint32_t slice);
  void AddToCut(uint32_t slice);
  void HandOutCut();

  // shard_lease.cc
  void Lapse();

  // shard_worker.cc
  void OnHello(Session* session, const RequestRef& request, const HelloFrame& hello);
  void OnLeave(Session* session, const RequestRef& request);
  void OnPutState(Session* session, const RequestRef& request, const PutStateFrame& put);
  void OnGetState(Session* session, const RequestRef& request);
  bool HasLeft(const Session& session) const;

  // shard_read.cc
  void OnBind(const RequestRef& request, const BindFrame& bind);
  void OnPull(Session* session, const RequestRef& request, const PullFrame& pull);
  void OnSync(Session* session, const RequestRef& request, const SyncFrame& sync);
  // The slices that it asks for, as a range of positions; or INVALID_ARGUMENT, why it cannot be
  // served.
  absl::StatusOr<std::pair<uint32_t, uint32_t>> CheckPull(const Session& session,
                                                          const PullFrame& pull) const;
  // OK: values of the tensor can be served in `codec`. INVALID_ARGUMENT: which can.
  absl::Status CheckValuesCodec(uint32_t tensor_id, Codec codec) const;
  // Reads `slices` for one request.
  void ReadAll(Session* session, const RequestRef& request, const std::vector<uint32_t>& slices,
               PullCondition condition, uint64_t version);
  void Read(const RequestRef& request, uint32_t slice, PullCondition condition, uint64_t version);
  void AnswerWithValues(const RequestRef& request, uint32_t slice, uint64_t version,
                        const SliceValues& values);
  void AnswerWithout(const RequestRef& request, uint32_t slice, bool stale);

  // shard_clocks.cc
  // ssp: INVALID_ARGUMENT: no worker has finished so many steps.
  absl::Status CheckClock(uint64_t step) const;
  // ssp: the session's worker says that it has finished `clock` steps.
  void Claim(const Session& session, uint64_t clock);
  // What reads of the slice wait for: its version; ssp: the clock of the slowest there.
  uint64_t Reached(uint32_t slice) const;
  // Answers the reads that wait for no more than that.
  void ServeReads(uint32_t slice);
  void ServeReads();  // of all slices
  // ssp: reads at the clock named, or that the worker is known to be at.
  void ReadByClock(const Session& session, const RequestRef& request,
                   const std::vector<uint32_t>& slices, PullCondition condition, uint64_t version);
  // At which clock it reads the slice.
  uint64_t ReadingClock(const ClockedRead& read, uint32_t slice) const;
  void ReadWhenDue(const RequestRef& request, uint32_t slice);
  // ssp: whether the answer of a push may bring values: else its worker asks for them, and waits.
  bool BringsValues(const RequestRef& request, uint32_t slice, const PushReplyFrame& reply);
  // ssp: of a push of `step` before the slowest.
  uint64_t ClocksAhead(uint32_t slice, uint64_t step) const;

  // shard_push.cc
  void OnPush(Session* session, const RequestRef& request, PushFrame frame);
  absl::StatusOr<uint32_t> CheckPushTarget(const Session& session, const PushFrame& frame) const;
  // Why the shard cannot take the push, a sentence; empty: it can.
  std::string CheckPushBody(const Push& push, uint32_t slice) const;
  void Advance(uint32_t slice);
  void Consider(uint32_t slice, Push push);
  void Admit(uint32_t slice, Push push);
  void EndUnadmitted(uint32_t slice, Push push, Admission admission);
  void Attach(uint32_t slice, Push push);
  void Start(uint32_t slice, Push push);
  void StartJob(uint32_t slice, Push push, FoldPlan plan);
  void FinishJob(Running running, const JobResult& result);
  // The arithmetic of `running.push` is done; its outputs are in `running`.
  void Take(Running running);
  void Commit(Running* running, const std::vector<PushTerms>& pushes);
  float LearningRateOf(uint32_t slice, const FoldPlan& plan) const;
  // Ends a push: remembers final outcomes, counts, answers.
  void EndPush(uint32_t slice, const Push& push, Outcome outcome, std::string reason);
  void AnswerPush(const RequestRef& request, uint32_t slice, uint64_t sequence,
                  PushReplyFrame reply);
  void AnswerDuplicate(uint32_t slice, const Push& push, const PushEnd& first);
  void ReleasePayload(Push* push);

  const ShardOptions options_;
  BufferPool* const pool_;
  const int state_tensors_;

  // Of the present event.
  absl::Time now_ = absl::InfinitePast();
  Effects* out_ = nullptr;
  std::vector<uint64_t> released_;  // sessions that got push credit back

  // Of the present epoch.
  uint64_t epoch_;
  uint64_t max_requests_;  // stated
  bool installed_ = false;
  size_t uninitialised_ = 0;  // slices
  std::string failure_;
  SliceStore store_;
  std::unique_ptr<Policy> policy_;
  SspPolicy* ssp_ = nullptr;             // policy_, in ssp
  std::vector<Lane> lanes_;              // by slice
  std::map<uint64_t, Running> running_;  // by job
  WaitingList waiting_;
  std::shared_ptr<ShardCut> collecting_;  // the cut that is not whole yet; null: none
  size_t cut_missing_ = 0;                // its slices that are not there yet

  // Of all epochs.
  absl::Time lease_until_ = absl::InfiniteFuture();
  bool lapsed_ = false;
  bool cut_is_out_ = false;
  uint64_t next_job_ = 1;
  PushLedger ledger_;
  SessionTable sessions_;
  std::map<uint64_t, WorkerNote> notes_;  // by worker; as many as the ledger knows
  ClockTable clocks_;                     // ssp; its clocks are of the present epoch
  ShardTotals totals_;
};

}  // namespace weir

#endif  // WEIR_PS_SHARD_CORE_H_
