// SPDX-License-Identifier: Apache-2.0
// Layouts and first weights.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/initializer.h"
#include "ps/asp_policy.h"
#include "ps/bsp_policy.h"
#include "ps/shard_core.h"

namespace weir {
namespace {

constexpr uint64_t kEnvelopeBytes = 1024;  // more than all of a frame but its payload
constexpr size_t kMismatchesListed = 100;

// Bytes [begin, begin + bytes) of `whole`. REQUIRES: they lie within it.
Payload PartOf(const Payload& whole, size_t begin, size_t bytes) {
  Payload part;
  size_t at = 0;
  for (const Payload::Chunk& chunk : whole.chunks()) {
    const size_t from = std::max(at, begin);
    const size_t to = std::min(at + chunk.size, begin + bytes);
    if (from < to) part.Append(chunk.data + (from - at), to - from, chunk.owner);
    at += chunk.size;
  }
  return part;
}

}  // namespace

absl::Status Shard::Core::Install(const Layout& layout, const ShardRestore* restore) {
  if (absl::Status status = CheckInstall(layout); !status.ok()) return status;
  if (restore != nullptr) {
    if (absl::Status status = CheckRestore(layout, *restore); !status.ok()) return status;
  }
  epoch_ = layout.epoch;  // who is told that it has moved is told where to
  if (installed_) AbandonEpoch();
  store_ = SliceStore(layout, options_.shard);
  MakePolicy();
  lanes_ = std::vector<Lane>(store_.size());
  max_requests_ = StatedMaxRequests(options_, store_.size());
  for (const uint64_t session : sessions_.ToldFewerRequests(max_requests_)) {
    Close(sessions_.Find(session),
          absl::UnavailableError("a layout that allows more requests has been installed"));
  }
  // Two rounds of all slices, beside as many pushes as one session may have in flight.
  ledger_.Forget(max_requests_ + 2 * store_.size());
  collecting_.reset();
  RestoreWorkers(restore == nullptr ? std::vector<CutWorker>() : restore->workers);
  uninitialised_ = store_.size();
  failure_.clear();
  installed_ = true;
  for (uint32_t slice = 0; slice < store_.size(); ++slice)
    StartInit(slice, restore == nullptr ? nullptr : &restore->slices[slice]);
  return absl::OkStatus();
}

void Shard::Core::MakePolicy() {
  ssp_ = nullptr;
  switch (options_.mode) {
    case ConsistencyMode::kBsp:
      policy_ = std::make_unique<BspPolicy>(options_.gradient_shards, store_.size());
      return;
    case ConsistencyMode::kAsp:
      policy_ = std::make_unique<AspPolicy>(options_.max_staleness);
      return;
    case ConsistencyMode::kSsp:
      clocks_.Begin(store_.size());
      auto ssp = std::make_unique<SspPolicy>(*options_.max_staleness, &clocks_);
      ssp_ = ssp.get();
      policy_ = std::move(ssp);
      return;
  }
}

absl::Status Shard::Core::CheckRestore(const Layout& layout, const ShardRestore& restore) const {
  size_t at = 0;
  for (const SliceSpec& spec : layout.slices) {
    if (spec.shard != options_.shard) continue;
    if (at == restore.slices.size()) break;
    const ShardRestore::Slice& slice = restore.slices[at++];
    const size_t bytes = spec.count * sizeof(float);
    bool fits = slice.weights.size() == bytes;
    for (int i = 0; i < state_tensors_; ++i) fits = fits && slice.state[i].size() == bytes;
    const bool is_at_step =
        options_.mode != ConsistencyMode::kBsp || slice.version == restore.number;
    if (fits && is_at_step) continue;
    const std::string what =
        absl::StrCat("cut ", restore.number, ", [", spec.offset, ", ", spec.offset + spec.count,
                     ") of tensor '", layout.tensors[spec.tensor_id - 1].name, "'");
    return absl::InvalidArgumentError(
        fits ? absl::StrCat(what, " is at version ", slice.version, ", not at the cut's step")
             : absl::StrCat(what, " does not have the bytes of its weights and state"));
  }
  const size_t wanted = static_cast<size_t>(
      std::count_if(layout.slices.begin(), layout.slices.end(),
                    [&](const SliceSpec& spec) { return spec.shard == options_.shard; }));
  if (restore.slices.size() == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("cut ", restore.number, " has ",
                                                 restore.slices.size(), " slices for shard ",
                                                 options_.shard, ", the layout ", wanted));
}

// What workers have put belongs to what is undone.
void Shard::Core::RestoreWorkers(const std::vector<CutWorker>& workers) {
  for (auto& [worker, note] : notes_) {
    note.state_sequence = 0;
    note.state = Buffer();
  }
  for (const CutWorker& worker : workers) {
    ledger_.Restore(worker.worker, worker.incarnation, worker.next_batch);
    if (ssp_ != nullptr) clocks_.Claim(worker.worker, worker.clock);
    WorkerNote& note = notes_[worker.worker];
    note.state_sequence = worker.state_sequence;
    note.state = worker.state;
  }
}

absl::Status Shard::Core::CheckInstall(const Layout& layout) const {
  if (layout.epoch < epoch_ || (installed_ && layout.epoch == epoch_)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a layout of epoch ", layout.epoch, " for a shard that is in epoch ", epoch_));
  }
  uint32_t shards =
      std::max<uint32_t>(options_.shard + 1, static_cast<uint32_t>(layout.shard_addresses.size()));
  for (const SliceSpec& slice : layout.slices) shards = std::max(shards, slice.shard + 1);
  if (absl::Status status = ValidateLayout(layout, shards); !status.ok()) return status;
  for (const TensorShape& tensor : layout.tensors) {
    if (absl::Status status = ValidateInitializer(tensor.initializer); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", tensor.name, "': ", status.message()));
    }
  }
  for (const SliceSpec& slice : layout.slices) {
    const uint64_t bytes = slice.count * sizeof(float);
    if (bytes + kEnvelopeBytes <= options_.limits.max_frame_bytes) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("a slice of tensor '", layout.tensors[slice.tensor_id - 1].name, "' has ",
                     bytes, " bytes and fits no frame of ", options_.limits.max_frame_bytes,
                     ": make slice_bytes smaller"));
  }
  return CheckInitWeights(layout);
}

absl::Status Shard::Core::CheckInitWeights(const Layout& layout) const {
  if (options_.init_weights.empty()) return absl::OkStatus();
  std::vector<std::string> mismatches;
  std::map<std::string, uint64_t> declared;
  for (const TensorShape& tensor : layout.tensors) {
    const uint64_t bytes = static_cast<uint64_t>(tensor.count()) * sizeof(float);
    declared[tensor.name] = bytes;
    const auto given = options_.init_weights.find(tensor.name);
    if (given == options_.init_weights.end()) {
      mismatches.push_back(absl::StrCat("'", tensor.name, "' is not there"));
    } else if (given->second.size() != bytes) {
      mismatches.push_back(
          absl::StrCat("'", tensor.name, "' has ", given->second.size(), " bytes, not ", bytes));
    }
  }
  for (const auto& [name, payload] : options_.init_weights) {
    if (declared.count(name) == 0)
      mismatches.push_back(absl::StrCat("'", name, "' is not in the model"));
  }
  if (mismatches.empty()) return absl::OkStatus();
  const size_t all = mismatches.size();
  if (all > kMismatchesListed) mismatches.resize(kMismatchesListed);
  return absl::InvalidArgumentError(absl::StrCat("the first weights do not match the model in ",
                                                 all,
                                                 " places: ", absl::StrJoin(mismatches, "; ")));
}

void Shard::Core::AbandonEpoch() {
  const std::string reason = "a new layout has been installed";
  const auto moved = [&](const RequestRef& request, uint32_t slice, uint64_t sequence) {
    PushReplyFrame reply;
    reply.outcome = Outcome::kMoved;
    reply.reason = reason;
    Count(Outcome::kMoved);
    AnswerPush(request, slice, sequence, std::move(reply));
  };
  for (const WaitingList::Expired& waiter : waiting_.TakeAll()) {
    if (waiter.push.has_value()) {
      moved(waiter.request, waiter.slice, waiter.push->sequence);
    } else {
      Error(waiter.request, Outcome::kMoved, reason);
    }
  }
  for (auto& [job, running] : running_) {
    if (!running.push.has_value()) continue;
    ReleasePayload(&*running.push);
    moved(running.push->request, running.slice, running.push->terms.id.sequence);
  }
  running_.clear();
  for (uint32_t slice = 0; slice < lanes_.size(); ++slice) {
    for (Push& push : lanes_[slice].queue) {
      ReleasePayload(&push);
      moved(push.request, slice, push.terms.id.sequence);
    }
  }
}

SliceValues Shard::Core::AllocateValues(const StoredSlice& slice) {
  SliceValues values;
  values.weights = pool_->Allocate(slice.bytes());
  if (slice.is_encoded()) values.encoded = pool_->Allocate(slice.bytes(/*encoded=*/true));
  return values;
}

void Shard::Core::StartInit(uint32_t slice, const ShardRestore::Slice* restore) {
  const StoredSlice& stored = store_[slice];
  Running running;
  running.slice = slice;
  running.version = restore == nullptr ? 0 : restore->version;
  running.values = AllocateValues(stored);
  for (int i = 0; i < state_tensors_; ++i) running.state[i] = pool_->Allocate(stored.bytes());

  InitJob init;
  init.tensor = std::shared_ptr<const TensorShape>(store_.shared_layout(),
                                                   &store_.tensor(stored.spec.tensor_id));
  init.seed = options_.seed;
  init.offset = stored.spec.offset;
  const auto given = options_.init_weights.find(init.tensor->name);
  if (restore != nullptr) {
    init.source = restore->weights;
    init.state_source = restore->state;
  } else if (given != options_.init_weights.end()) {
    init.source = PartOf(given->second, stored.spec.offset * sizeof(float), stored.bytes());
  }
  init.weights_out = running.values.weights;
  init.pull_codec = stored.pull_codec;
  init.encoded_out = running.values.encoded;
  init.state_out = running.state;

  Job job;
  job.id = next_job_++;
  job.slice = slice;
  job.count = stored.spec.count;
  job.work = std::move(init);
  lanes_[slice].busy = true;
  running_.emplace(job.id, std::move(running));
  out_->jobs.push_back(std::move(job));
}

void Shard::Core::FinishInit(const Running& running, const JobResult& result) {
  lanes_[running.slice].busy = false;
  --uninitialised_;
  store_.Initialise(running.slice, running.version, running.values, running.state);
  if (result.fault == JobFault::kNone || !failure_.empty()) return;
  const SliceSpec& spec = store_[running.slice].spec;
  failure_ =
      absl::StrCat("the first weights of tensor '", store_.tensor(spec.tensor_id).name,
                   "' hold NaN or infinity in [", spec.offset, ", ", spec.offset + spec.count, ")");
}

}  // namespace weir
