// SPDX-License-Identifier: Apache-2.0
#include "net/layout_proto.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

// The wire has an UNSPECIFIED before the first kind.
v1::Initializer::Kind ToProtoKind(InitializerSpec::Kind kind) {
  return static_cast<v1::Initializer::Kind>(static_cast<int>(kind) + 1);
}

absl::StatusOr<InitializerSpec> InitializerFromProto(const v1::TensorSpec& tensor) {
  const v1::Initializer& from = tensor.initializer();
  const int kind = from.kind();
  if (kind < v1::Initializer::KIND_UNSPECIFIED || kind > v1::Initializer::KIND_HE_NORMAL) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", tensor.name(),
                     "' asks for an initializer that is not known here, number ", kind));
  }
  InitializerSpec spec;
  if (kind != v1::Initializer::KIND_UNSPECIFIED)
    spec.kind = static_cast<InitializerSpec::Kind>(kind - 1);
  spec.a = from.a();
  spec.b = from.b();
  return spec;
}

// UNSPECIFIED is F32. What no uint8_t holds becomes 255, which is none: ValidateLayout refuses it.
Codec CodecFromProto(int number) {
  if (number == v1::CODEC_UNSPECIFIED) return Codec::kF32;
  return static_cast<Codec>(number > 0 && number < 255 ? number : 255);
}

absl::Status WithinLimit(const char* what, int size, size_t max) {
  if (static_cast<size_t>(size) <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(size, " ", what, "; the limit is ", max));
}

absl::StatusOr<std::vector<TensorShape>> ReadTensors(
    const google::protobuf::RepeatedPtrField<v1::TensorSpec>& tensors) {
  const absl::Status within = WithinLimit("tensors", tensors.size(), kMaxTensors);
  if (!within.ok()) return within;
  std::vector<TensorShape> out;
  out.reserve(tensors.size());
  for (const v1::TensorSpec& tensor : tensors) {
    const absl::StatusOr<InitializerSpec> initializer = InitializerFromProto(tensor);
    if (!initializer.ok()) return initializer.status();
    out.push_back(
        TensorShape{tensor.name(), {tensor.shape().begin(), tensor.shape().end()}, *initializer});
  }
  return out;
}

}  // namespace

v1::TensorSpec ToProto(const TensorShape& tensor) {
  v1::TensorSpec out;
  out.set_name(tensor.name);
  for (const int64_t dimension : tensor.shape) out.add_shape(dimension);
  out.mutable_initializer()->set_kind(ToProtoKind(tensor.initializer.kind));
  out.mutable_initializer()->set_a(tensor.initializer.a);
  out.mutable_initializer()->set_b(tensor.initializer.b);
  return out;
}

void ToProto(const std::vector<TensorShape>& tensors,
             google::protobuf::RepeatedPtrField<v1::TensorSpec>* out) {
  out->Clear();
  for (const TensorShape& tensor : tensors) *out->Add() = ToProto(tensor);
}

v1::Layout ToProto(const Layout& layout) {
  v1::Layout out;
  out.set_epoch(layout.epoch);
  ToProto(layout.tensors, out.mutable_tensors());
  for (const SliceSpec& slice : layout.slices) {
    v1::Slice* to = out.add_slices();
    to->set_tensor_id(slice.tensor_id);
    to->set_offset(slice.offset);
    to->set_count(slice.count);
    to->set_shard(slice.shard);
  }
  for (size_t shard = 0; shard < layout.shard_addresses.size(); ++shard) {
    v1::ShardAddress* to = out.add_shards();
    to->set_shard(static_cast<uint32_t>(shard));
    to->set_address(layout.shard_addresses[shard].address);
    to->set_uds_path(layout.shard_addresses[shard].uds_path);
    to->set_host_key(layout.shard_addresses[shard].host_key);
  }
  for (const TensorCodec& codec : layout.codecs) {
    v1::TensorCodec* to = out.add_codecs();
    to->set_push(static_cast<v1::Codec>(codec.push));
    to->set_pull(static_cast<v1::Codec>(codec.pull));
    to->set_error_feedback(codec.error_feedback);
  }
  return out;
}

absl::StatusOr<std::vector<TensorShape>> TensorsFromProto(
    const google::protobuf::RepeatedPtrField<v1::TensorSpec>& tensors) {
  absl::StatusOr<std::vector<TensorShape>> out = ReadTensors(tensors);
  if (!out.ok()) return out.status();
  const absl::Status valid = ValidateTensors(*out);
  if (!valid.ok()) return valid;
  return out;
}

absl::StatusOr<Layout> LayoutFromProto(const v1::Layout& layout) {
  absl::Status status = WithinLimit("slices", layout.slices_size(), kMaxSlices);
  if (status.ok()) status = WithinLimit("tensors' codecs", layout.codecs_size(), kMaxTensors);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<TensorShape>> tensors = TensorsFromProto(layout.tensors());
  if (!tensors.ok()) return tensors.status();

  Layout out;
  out.epoch = layout.epoch();
  out.tensors = *std::move(tensors);
  out.slices.reserve(layout.slices_size());
  for (const v1::Slice& slice : layout.slices()) {
    out.slices.push_back(
        SliceSpec{slice.tensor_id(), slice.offset(), slice.count(), slice.shard()});
  }
  for (const v1::ShardAddress& shard : layout.shards()) {
    if (shard.shard() != out.shard_addresses.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the layout names shard ", shard.shard(),
                                                     " where shard ", out.shard_addresses.size(),
                                                     " is due"));
    }
    out.shard_addresses.push_back({shard.address(), shard.uds_path(), shard.host_key()});
  }
  for (const v1::TensorCodec& codec : layout.codecs()) {
    out.codecs.push_back(
        {CodecFromProto(codec.push()), CodecFromProto(codec.pull()), codec.error_feedback()});
  }
  status = ValidateLayout(out, static_cast<uint32_t>(out.shard_addresses.size()));
  if (!status.ok()) return status;
  return out;
}

}  // namespace weir
