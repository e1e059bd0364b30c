// SPDX-License-Identifier: Apache-2.0
// Bind, pull, sync.
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ps/shard_core.h"

namespace weir {
namespace {

// Of an encoded frame, at most.
constexpr uint64_t kBindingBytes = 32;    // a binding, beside its name and dimensions
constexpr uint64_t kDimensionBytes = 11;  // a dimension of its shape
constexpr uint64_t kSliceBytes = 26;      // a slice

bool IsKnown(Codec codec) { return codec == Codec::kUnspecified || codec == Codec::kF32; }

std::string UnsupportedCodec(Codec codec) {
  return absl::StrCat("unsupported codec ", static_cast<int>(codec), "; this shard knows F32 (",
                      static_cast<int>(Codec::kF32), ")");
}

}  // namespace

void Shard::Core::OnBind(const RequestRef& request, const BindFrame& bind) {
  std::vector<uint32_t> tensors;
  for (const std::string& name : bind.layer_names) {
    if (name.empty()) return Error(request, Outcome::kInvalid, "a layer_name to bind is empty");
    const absl::StatusOr<uint32_t> id = store_.FindTensor(name, 0);
    if (!id.ok()) return Error(request, Outcome::kInvalid, std::string(id.status().message()));
    tensors.push_back(*id);
  }
  if (bind.layer_names.empty()) {
    for (uint32_t id = 1; id <= store_.layout().tensors.size(); ++id) tensors.push_back(id);
  }
  BindReplyFrame reply;
  uint64_t bytes = 0;
  for (const uint32_t id : tensors) {
    const TensorShape& tensor = store_.tensor(id);
    const auto [first, last] = store_.Within(id, 0, static_cast<uint64_t>(tensor.count()));
    bytes += kBindingBytes + tensor.name.size() + kDimensionBytes * tensor.shape.size() +
             kSliceBytes * (last - first);
    if (bytes > options_.limits.max_frame_bytes) {
      return Error(request, Outcome::kInvalid,
                   "the answer would not fit a frame: bind fewer names at once");
    }
    reply.bindings.push_back({tensor.name, id, tensor.shape});
    for (uint32_t slice = first; slice < last; ++slice) reply.slices.push_back(store_[slice].spec);
  }
  Finish(request, std::move(reply));
}

absl::StatusOr<std::pair<uint32_t, uint32_t>> Shard::Core::CheckPull(const Session& session,
                                                                     const PullFrame& pull) const {
  const absl::StatusOr<uint32_t> id = store_.FindTensor(pull.layer_name, pull.tensor_id);
  if (!id.ok()) return id.status();
  if (!IsKnown(pull.codec)) return absl::InvalidArgumentError(UnsupportedCodec(pull.codec));
  if (pull.condition > PullCondition::kStep) {
    return absl::InvalidArgumentError(
        absl::StrCat("unsupported condition ", static_cast<int>(pull.condition)));
  }
  if (pull.condition == PullCondition::kStep && options_.mode != ConsistencyMode::kBsp) {
    return absl::InvalidArgumentError("CONDITION_STEP is of bsp; this job runs in asp");
  }
  if (session.role == SessionRole::kWorker && pull.worker_id != 0 &&
      pull.worker_id != session.worker) {
    return absl::InvalidArgumentError(absl::StrCat("a pull of worker ", pull.worker_id,
                                                   " in a session of worker ", session.worker));
  }
  const TensorShape& tensor = store_.tensor(*id);
  const uint64_t size = static_cast<uint64_t>(tensor.count());
  if (pull.offset >= size || pull.count > size - pull.offset) {
    return absl::InvalidArgumentError(absl::StrCat("offset ", pull.offset, " with ", pull.count,
                                                   " elements is not within tensor '", tensor.name,
                                                   "' of ", size));
  }
  const uint64_t end = pull.count == 0 ? size : pull.offset + pull.count;
  const std::pair<uint32_t, uint32_t> slices = store_.Within(*id, pull.offset, end);
  if (slices.first == slices.second) {
    return absl::InvalidArgumentError(
        absl::StrCat("shard ", options_.shard, " holds no slice of tensor '", tensor.name,
                     "' that lies in [", pull.offset, ", ", end, ")"));
  }
  return slices;
}

void Shard::Core::OnPull(Session* session, const RequestRef& request, const PullFrame& pull) {
  const absl::StatusOr<std::pair<uint32_t, uint32_t>> range = CheckPull(*session, pull);
  if (!range.ok()) return Error(request, Outcome::kInvalid, std::string(range.status().message()));
  std::vector<uint32_t> slices;
  for (uint32_t slice = range->first; slice < range->second; ++slice) slices.push_back(slice);
  ReadAll(session, request, slices, pull.condition, pull.version);
}

void Shard::Core::OnSync(Session* session, const RequestRef& request, const SyncFrame& sync) {
  if (sync.at_step && options_.mode != ConsistencyMode::kBsp) {
    return Error(request, Outcome::kInvalid, "a sync at a step is of bsp; this job runs in asp");
  }
  std::set<uint32_t> tensors;
  for (const uint32_t id : sync.tensor_ids) {
    const absl::StatusOr<uint32_t> known = store_.FindTensor("", id);
    if (!known.ok())
      return Error(request, Outcome::kInvalid, std::string(known.status().message()));
    tensors.insert(id);
  }
  std::vector<uint32_t> slices;
  for (uint32_t slice = 0; slice < store_.size(); ++slice) {
    if (tensors.empty() || tensors.count(store_[slice].spec.tensor_id) > 0) slices.push_back(slice);
  }
  if (slices.empty()) {
    return Error(request, Outcome::kInvalid,
                 absl::StrCat("shard ", options_.shard, " holds no slice of what is asked for"));
  }
  ReadAll(session, request, slices, sync.at_step ? PullCondition::kStep : PullCondition::kAny,
          sync.step);
}

void Shard::Core::ReadAll(Session* session, const RequestRef& request,
                          const std::vector<uint32_t>& slices, PullCondition condition,
                          uint64_t version) {
  uint64_t bytes = 0;
  for (const uint32_t slice : slices) bytes += store_[slice].bytes();
  absl::Status status =
      session->credits.AskFor(request.request_id, bytes, static_cast<uint32_t>(slices.size()));
  if (!status.ok()) return Close(session, std::move(status));
  for (const uint32_t slice : slices) Read(request, slice, condition, version);
}

void Shard::Core::Read(const RequestRef& request, uint32_t slice, PullCondition condition,
                       uint64_t version) {
  const StoredSlice& stored = store_[slice];
  switch (condition) {
    case PullCondition::kAny:
      return AnswerWithWeights(request, slice, stored.version, stored.weights);
    case PullCondition::kHave:
      if (version == stored.version) return AnswerWithout(request, slice, /*stale=*/false);
      return AnswerWithWeights(request, slice, stored.version, stored.weights);
    case PullCondition::kExpect:
      if (version != stored.version) return AnswerWithout(request, slice, /*stale=*/true);
      return AnswerWithWeights(request, slice, stored.version, stored.weights);
    case PullCondition::kStep:
      break;
  }
  if (version > stored.version) return waiting_.AddRead(request, slice, version);
  const Buffer weights = store_.WeightsAt(slice, version);
  if (!weights) return AnswerWithout(request, slice, /*stale=*/true);
  AnswerWithWeights(request, slice, version, weights);
}

void Shard::Core::AnswerWithWeights(const RequestRef& request, uint32_t slice, uint64_t version,
                                    const Buffer& weights) {
  const SliceSpec& spec = store_[slice].spec;
  PullReplyFrame reply;
  if (request.by_name) reply.layer_name = store_.tensor(spec.tensor_id).name;
  reply.tensor_id = spec.tensor_id;
  reply.version = version;
  reply.offset = spec.offset;
  reply.count = spec.count;
  reply.codec = Codec::kF32;
  reply.tensor_data = Payload(weights);
  Answer(request, std::move(reply), store_[slice].bytes());
}

void Shard::Core::AnswerWithout(const RequestRef& request, uint32_t slice, bool stale) {
  const SliceSpec& spec = store_[slice].spec;
  PullReplyFrame reply;
  if (request.by_name) reply.layer_name = store_.tensor(spec.tensor_id).name;
  reply.tensor_id = spec.tensor_id;
  reply.version = store_[slice].version;
  reply.stale = stale;
  reply.not_modified = !stale;
  reply.offset = spec.offset;
  reply.count = spec.count;
  Answer(request, std::move(reply), store_[slice].bytes());
}

}  // namespace weir
