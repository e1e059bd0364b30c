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

absl::Status Shard::Core::CheckValuesCodec(uint32_t tensor_id, Codec codec) const {
  const Codec own = store_.layout().codec(tensor_id).pull;
  if (Specified(codec) == Codec::kF32 || codec == own) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("unsupported codec ", static_cast<int>(codec), ": values of tensor '",
                   store_.tensor(tensor_id).name, "' are served in ", CodecName(Codec::kF32),
                   own == Codec::kF32 ? " alone" : absl::StrCat(" and in ", CodecName(own))));
}

absl::StatusOr<std::pair<uint32_t, uint32_t>> Shard::Core::CheckPull(const Session& session,
                                                                     const PullFrame& pull) const {
  const absl::StatusOr<uint32_t> id = store_.FindTensor(pull.layer_name, pull.tensor_id);
  if (!id.ok()) return id.status();
  if (absl::Status codec = CheckValuesCodec(*id, pull.codec); !codec.ok()) return codec;
  if (pull.condition > PullCondition::kStep) {
    return absl::InvalidArgumentError(
        absl::StrCat("unsupported condition ", static_cast<int>(pull.condition)));
  }
  if (pull.condition == PullCondition::kStep) {
    if (options_.mode == ConsistencyMode::kAsp)
      return absl::InvalidArgumentError("CONDITION_STEP is of bsp and ssp; this job runs in asp");
    if (absl::Status clock = CheckClock(pull.version); !clock.ok()) return clock;
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
  RequestRef asker = request;
  asker.encoded = Specified(pull.codec) != Codec::kF32;
  asker.sole = slices.size() == 1;
  ReadAll(session, asker, slices, pull.condition, pull.version);
}

void Shard::Core::OnSync(Session* session, const RequestRef& request, const SyncFrame& sync) {
  if (sync.at_step && options_.mode == ConsistencyMode::kAsp) {
    return Error(request, Outcome::kInvalid,
                 "a sync at a step is of bsp and ssp; this job runs in asp");
  }
  if (absl::Status clock = CheckClock(sync.at_step ? sync.step : 0); !clock.ok())
    return Error(request, Outcome::kInvalid, std::string(clock.message()));
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
  RequestRef asker = request;
  asker.encoded = sync.encoded;
  asker.together = true;
  ReadAll(session, asker, slices, sync.at_step ? PullCondition::kStep : PullCondition::kAny,
          sync.step);
}

void Shard::Core::ReadAll(Session* session, const RequestRef& request,
                          const std::vector<uint32_t>& slices, PullCondition condition,
                          uint64_t version) {
  uint64_t bytes = 0;
  for (const uint32_t slice : slices) bytes += store_[slice].bytes(request.encoded);
  absl::Status status =
      session->credits.AskFor(request.request_id, bytes, static_cast<uint32_t>(slices.size()));
  if (!status.ok()) return Close(session, std::move(status));
  if (ssp_ != nullptr) return ReadByClock(*session, request, slices, condition, version);
  for (const uint32_t slice : slices) Read(request, slice, condition, version);
}

void Shard::Core::Read(const RequestRef& request, uint32_t slice, PullCondition condition,
                       uint64_t version) {
  const StoredSlice& stored = store_[slice];
  switch (condition) {
    case PullCondition::kAny:
      return AnswerWithValues(request, slice, stored.version, stored.values);
    case PullCondition::kHave:
      if (version == stored.version) return AnswerWithout(request, slice, /*stale=*/false);
      return AnswerWithValues(request, slice, stored.version, stored.values);
    case PullCondition::kExpect:
      if (version != stored.version) return AnswerWithout(request, slice, /*stale=*/true);
      return AnswerWithValues(request, slice, stored.version, stored.values);
    case PullCondition::kStep:
      break;
  }
  if (version > stored.version) return waiting_.AddRead(request, slice, version);
  const SliceValues values = store_.ValuesAt(slice, version);
  if (!values) return AnswerWithout(request, slice, /*stale=*/true);
  AnswerWithValues(request, slice, version, values);
}

void Shard::Core::AnswerWithValues(const RequestRef& request, uint32_t slice, uint64_t version,
                                   const SliceValues& values) {
  const StoredSlice& stored = store_[slice];
  const SliceSpec& spec = stored.spec;
  PullReplyFrame reply;
  if (request.by_name) reply.layer_name = store_.tensor(spec.tensor_id).name;
  reply.tensor_id = spec.tensor_id;
  reply.version = version;
  reply.offset = spec.offset;
  reply.count = spec.count;
  // A sync in the tensors' own codecs finds some whose own is f32.
  const bool encoded = request.encoded && stored.is_encoded();
  reply.codec = stored.codec(encoded);
  reply.tensor_data = Payload(encoded ? values.encoded : values.weights);
  Answer(request, std::move(reply), store_[slice].bytes(request.encoded));
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
  Answer(request, std::move(reply), store_[slice].bytes(request.encoded));
}

}  // namespace weir
