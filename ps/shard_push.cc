// SPDX-License-Identifier: Apache-2.0
// Pushes: from the frame to the job, from its result to the commit.
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ps/shard_core.h"

namespace weir {
namespace {

constexpr uint64_t kMaxExamples = uint64_t{1}
                                  << 40;  // of one push: sums over a step cannot overflow

// As proto/weir/v1/parameter_service.proto says; one more would be of no use to its worker, which
// counts on from the greatest that a shard remembers.
constexpr uint64_t kMaxSequence = (uint64_t{1} << 63) - 1;

// 0, which means the schedule's, or a positive finite number also as a float.
bool IsLearningRate(double rate) {
  const float used = static_cast<float>(rate);
  return rate == 0 || (used > 0 && std::isfinite(used));
}

}  // namespace

void Shard::Core::OnPush(Session* session, const RequestRef& request, PushFrame frame) {
  const absl::StatusOr<uint32_t> slice = CheckPushTarget(*session, frame);
  if (!slice.ok()) {
    ClientFrame refused;
    refused.kind = std::move(frame);
    return Refuse(request, refused, Outcome::kInvalid, std::string(slice.status().message()));
  }
  Push push;
  push.request = request;
  push.request.want_values = frame.want_values || frame.is_push_pull;
  push.terms.id = {session->worker, session->incarnation, frame.sequence};
  push.terms.batch = frame.batch;
  push.terms.base_version = frame.base_version;
  push.terms.step = frame.step;
  push.terms.block = {frame.first_part, frame.parts};
  push.terms.examples = frame.examples;
  push.terms.learning_rate = frame.learning_rate;
  push.terms.atomicity = frame.atomicity;
  push.request.encoded = Specified(frame.values_codec) != Codec::kF32;
  push.codec = Specified(frame.codec);
  push.unreleased_bytes = frame.gradient.size();
  push.gradient = std::move(frame.gradient);
  if (push.request.want_values) {
    absl::Status status =
        session->credits.AskFor(request.request_id, store_[*slice].bytes(push.request.encoded), 1);
    if (!status.ok()) return Close(session, std::move(status));
  }
  ledger_.Confirm(session->worker, session->incarnation, frame.lowest_pending);
  Claim(*session, frame.step);
  lanes_[*slice].queue.push_back(std::move(push));
  Advance(*slice);
}

absl::StatusOr<uint32_t> Shard::Core::CheckPushTarget(const Session& session,
                                                      const PushFrame& frame) const {
  if (session.role != SessionRole::kWorker)
    return absl::InvalidArgumentError("a reader may not push");
  if (HasLeft(session))
    return absl::InvalidArgumentError(absl::StrCat("worker ", session.worker, " has left"));
  if (frame.worker_id != session.worker) {
    return absl::InvalidArgumentError(absl::StrCat("a push of worker ", frame.worker_id,
                                                   " in a session of worker ", session.worker));
  }
  if (frame.sequence == 0)
    return absl::InvalidArgumentError("the sequence of a push is at least 1");
  if (frame.sequence > kMaxSequence) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sequence ", frame.sequence, " is above the greatest there may be, ", kMaxSequence));
  }
  if (frame.lowest_pending > frame.sequence) {
    return absl::InvalidArgumentError(absl::StrCat("lowest_pending ", frame.lowest_pending,
                                                   " is above the push's own sequence ",
                                                   frame.sequence));
  }
  if (absl::Status clock = CheckClock(frame.step); !clock.ok()) return clock;
  const absl::StatusOr<uint32_t> tensor = store_.FindTensor(frame.layer_name, frame.tensor_id);
  if (!tensor.ok()) return tensor.status();
  absl::Status values = CheckValuesCodec(*tensor, frame.values_codec);
  if (!values.ok()) return values;
  return store_.FindSlice(*tensor, frame.offset, frame.count);
}

std::string Shard::Core::CheckPushBody(const Push& push, uint32_t slice) const {
  if (!IsKnownCodec(push.codec)) {
    return absl::StrCat("unsupported codec ", static_cast<int>(push.codec),
                        "; this shard takes pushes in ", KnownCodecs());
  }
  if (push.terms.atomicity > Atomicity::kSlice) {
    return absl::StrCat("unsupported atomicity ", static_cast<int>(push.terms.atomicity));
  }
  if (!IsLearningRate(push.terms.learning_rate)) {
    return absl::StrCat("a learning rate is finite and above 0 (0: the schedule's), not ",
                        push.terms.learning_rate);
  }
  if (push.terms.examples > kMaxExamples)
    return absl::StrCat(push.terms.examples, " examples in one push, more than 2^40");
  const uint64_t count = store_[slice].spec.count;
  const uint64_t bytes = EncodedBytes(push.codec, count);
  if (push.gradient.size() == bytes || (push.gradient.empty() && push.terms.examples == 0))
    return "";
  return absl::StrCat("the gradient has ", push.gradient.size(), " bytes; ", count, " elements in ",
                      CodecName(push.codec), " have ", bytes);
}

// The lane of a slice: while no job of it is out, its versions are final and the next push can be
// judged.
void Shard::Core::Advance(uint32_t slice) {
  Lane& lane = lanes_[slice];
  while (!lane.busy && !lane.queue.empty()) {
    Push push = std::move(lane.queue.front());
    lane.queue.pop_front();
    Consider(slice, std::move(push));
  }
}

void Shard::Core::Consider(uint32_t slice, Push push) {
  if (Asker(push.request) == nullptr)
    return ReleasePayload(&push);  // its session has closed: it never happened
  PushEnd first;
  switch (ledger_.Look(push.terms.id, slice, &first)) {
    case PushLedger::Verdict::kDuplicate:
      ReleasePayload(&push);
      return AnswerDuplicate(slice, push, first);
    case PushLedger::Verdict::kFenced:
      ReleasePayload(&push);
      return EndPush(slice, push, Outcome::kFenced,
                     ledger_.IsFenced(push.terms.id.worker, push.terms.id.incarnation)
                         ? "a newer incarnation of this worker exists"
                         : "this sequence was confirmed by its worker");
    case PushLedger::Verdict::kFull:
      ReleasePayload(&push);
      return EndPush(
          slice, push, Outcome::kOverloaded,
          absl::StrCat(ledger_.unconfirmed(push.terms.id.worker),
                       " pushes of this worker are not confirmed: raise lowest_pending"));
    case PushLedger::Verdict::kNew:
      break;
  }
  std::string invalid = CheckPushBody(push, slice);
  if (invalid.empty()) return Admit(slice, std::move(push));
  ReleasePayload(&push);
  EndPush(slice, push, Outcome::kInvalid, std::move(invalid));
}

void Shard::Core::Admit(uint32_t slice, Push push) {
  Admission admission = policy_->Admit(slice, store_[slice].version, push.terms);
  if (admission.kind == Admission::Kind::kTake) return Start(slice, std::move(push));
  EndUnadmitted(slice, std::move(push), std::move(admission));
}

void Shard::Core::EndUnadmitted(uint32_t slice, Push push, Admission admission) {
  ReleasePayload(&push);
  switch (admission.kind) {
    case Admission::Kind::kAttach:
      return Attach(slice, std::move(push));
    case Admission::Kind::kDuplicate:
      return AnswerDuplicate(slice, push,
                             {admission.first, admission.version, std::move(admission.reason)});
    case Admission::Kind::kStale:
      return EndPush(slice, push, Outcome::kStale, std::move(admission.reason));
    case Admission::Kind::kInvalid:
    case Admission::Kind::kTake:
      return EndPush(slice, push, Outcome::kInvalid, std::move(admission.reason));
  }
}

void Shard::Core::Attach(uint32_t slice, Push push) {
  const std::optional<RequestRef> previous = waiting_.AddPush(push.request, slice, push.terms.id);
  if (!previous.has_value()) return;
  PushReplyFrame reply;
  reply.outcome = Outcome::kPending;
  reply.reason = "the same push was sent again; that request will be answered";
  AnswerPush(*previous, slice, push.terms.id.sequence, std::move(reply));
}

void Shard::Core::Start(uint32_t slice, Push push) {
  if (push.terms.examples == 0)
    ReleasePayload(&push);  // weight 0: whatever it holds does not count
  FoldPlan plan = policy_->Plan(slice, push.terms);
  const bool adds = !push.gradient.empty() && !plan.addends.empty();
  const bool computes =
      plan.complete ? plan.examples > 0 : adds || !push.gradient.empty() || plan.addends.size() > 1;
  if (computes) return StartJob(slice, std::move(push), std::move(plan));
  // Nothing to compute: parts without examples change nothing.
  Running running;
  running.slice = slice;
  if (plan.complete) {
    running.values = store_[slice].values;
    running.state = store_[slice].state;
  } else if (!plan.addends.empty()) {
    running.sum = plan.addends.front().sum;
  }
  running.push = std::move(push);
  running.plan = std::move(plan);
  Take(std::move(running));
}

void Shard::Core::StartJob(uint32_t slice, Push push, FoldPlan plan) {
  const StoredSlice& stored = store_[slice];
  FoldJob fold;
  fold.codec = push.codec;
  fold.gradient = std::move(push.gradient);
  fold.addends = plan.addends;
  if (fold.gradient.empty()) {
    fold.start = fold.addends.front().sum;
    fold.addends.erase(fold.addends.begin());
  }
  SliceValues values;
  fold.apply = plan.complete;
  if (plan.complete) {
    fold.optimizer = options_.optimizer;
    fold.scale = 1.0f / static_cast<float>(plan.examples);
    fold.learning_rate = LearningRateOf(slice, plan);
    fold.update = stored.version + 1;
    fold.weights = stored.values.weights;
    fold.state = stored.state;
    values = AllocateValues(stored);
    fold.weights_out = values.weights;
    fold.pull_codec = stored.pull_codec;
    fold.encoded_out = values.encoded;
    for (int i = 0; i < state_tensors_; ++i) fold.state_out[i] = pool_->Allocate(stored.bytes());
  } else {
    fold.sum_out = pool_->Allocate(stored.bytes());
  }
  Running running{slice,        std::move(push),   std::move(plan),
                  fold.sum_out, std::move(values), fold.state_out};
  Job job;
  job.id = next_job_++;
  job.slice = slice;
  job.count = stored.spec.count;
  job.work = std::move(fold);
  lanes_[slice].busy = true;
  running_.emplace(job.id, std::move(running));
  out_->jobs.push_back(std::move(job));
}

float Shard::Core::LearningRateOf(uint32_t slice, const FoldPlan& plan) const {
  if (plan.learning_rate != 0) return static_cast<float>(plan.learning_rate);
  return LearningRate(options_.schedule, store_[slice].version);
}

void Shard::Core::FinishJob(Running running, const JobResult& result) {
  const uint32_t slice = running.slice;
  Push& push = *running.push;
  lanes_[slice].busy = false;
  ReleasePayload(&push);
  if (ledger_.IsFenced(push.terms.id.worker, push.terms.id.incarnation)) {
    return EndPush(slice, push, Outcome::kFenced, "a newer incarnation of this worker exists");
  }
  if (result.fault != JobFault::kNone) {
    return EndPush(slice, push, Outcome::kInvalid, JobFaultSentence(result.fault));
  }
  if (ssp_ !=
      nullptr) {  // its worker may have said more, or a slower one have come back, meanwhile
    Admission again = policy_->Admit(slice, store_[slice].version, push.terms);
    if (again.kind != Admission::Kind::kTake)
      return EndUnadmitted(slice, std::move(push), std::move(again));
  }
  Take(std::move(running));
}

void Shard::Core::Take(Running running) {
  const uint32_t slice = running.slice;
  const Push& push = *running.push;
  if (Asker(push.request) != nullptr) waiting_.AddPush(push.request, slice, push.terms.id);
  const std::vector<PushTerms> committed =
      policy_->Take(slice, push.terms, running.plan, std::move(running.sum));
  if (running.plan.complete) Commit(&running, committed);
}

void Shard::Core::Commit(Running* running, const std::vector<PushTerms>& pushes) {
  const uint32_t slice = running->slice;
  store_.Commit(slice, std::move(running->values), std::move(running->state));
  if (store_[slice].spec.tensor_id == 1 && store_[slice].spec.offset == 0)
    totals_.examples += running->plan.examples;
  OfferToCut(slice);
  const uint64_t version = store_[slice].version;
  for (const PushTerms& terms : pushes) {
    ledger_.Record(terms.id, slice, terms.batch, {Outcome::kApplied, version, ""});
    Count(Outcome::kApplied);
    const std::optional<RequestRef> request = waiting_.TakePush(slice, terms.id);
    if (!request.has_value()) continue;
    PushReplyFrame reply;
    reply.outcome = Outcome::kApplied;
    reply.version = version;
    reply.clocks_ahead = ClocksAhead(slice, terms.step);
    AnswerPush(*request, slice, terms.id.sequence, std::move(reply));
  }
  ServeReads(slice);
}

void Shard::Core::EndPush(uint32_t slice, const Push& push, Outcome outcome, std::string reason) {
  PushReplyFrame reply;
  reply.outcome = outcome;
  reply.reason = std::move(reason);
  if (outcome == Outcome::kOverloaded) reply.retry_after_ms = kRetryAfterMs;
  if (outcome == Outcome::kStale || outcome == Outcome::kInvalid) {
    reply.version = store_[slice].version;
    ledger_.Record(push.terms.id, slice, push.terms.batch, {outcome, reply.version, reply.reason});
  }
  Count(outcome);
  AnswerPush(push.request, slice, push.terms.id.sequence, std::move(reply));
}

void Shard::Core::AnswerDuplicate(uint32_t slice, const Push& push, const PushEnd& first) {
  PushReplyFrame reply;
  reply.outcome = Outcome::kDuplicate;
  reply.first = first.outcome;
  reply.version = first.version;
  reply.reason = first.reason;
  Count(Outcome::kDuplicate);
  AnswerPush(push.request, slice, push.terms.id.sequence, std::move(reply));
}

void Shard::Core::AnswerPush(const RequestRef& request, uint32_t slice, uint64_t sequence,
                             PushReplyFrame reply) {
  const StoredSlice& stored = store_[slice];
  reply.sequence = sequence;
  reply.tensor_id = stored.spec.tensor_id;
  reply.offset = stored.spec.offset;
  const Outcome ended = reply.outcome == Outcome::kDuplicate ? reply.first : reply.outcome;
  const bool is_final =
      ended == Outcome::kApplied || ended == Outcome::kStale || ended == Outcome::kInvalid;
  if (request.want_values && is_final && BringsValues(request, slice, reply)) {
    // What the push has made, if that is still here, else the newest; `version` always names the
    // values beside it.
    SliceValues values;
    if (ended == Outcome::kApplied) values = store_.ValuesAt(slice, reply.version);
    if (!values) {
      reply.version = stored.version;
      values = stored.values;
    }
    reply.count = stored.spec.count;
    reply.codec = stored.codec(request.encoded);
    reply.tensor_data = Payload(request.encoded ? values.encoded : values.weights);
  }
  Finish(request, std::move(reply));
}

void Shard::Core::ReleasePayload(Push* push) {
  Release(push->request.session, push->unreleased_bytes);
  push->unreleased_bytes = 0;
  push->gradient = Payload();
}

}  // namespace weir
