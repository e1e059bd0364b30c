// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "net/layout_proto.h"
#include "tests/fuzz/expect.h"

namespace weir {
namespace {

bool Same(const TensorShape& a, const TensorShape& b) {
  // The initializer's numbers by their bits: NaN is read as well.
  const auto bits = [](const InitializerSpec& spec) {
    return std::string(reinterpret_cast<const char*>(&spec.a), sizeof(spec.a)) +
           std::string(reinterpret_cast<const char*>(&spec.b), sizeof(spec.b));
  };
  return a.name == b.name && a.shape == b.shape && a.initializer.kind == b.initializer.kind &&
         bits(a.initializer) == bits(b.initializer);
}

void Check(const v1::Layout& wire) {
  const absl::StatusOr<Layout> read = LayoutFromProto(wire);
  if (!read.ok()) {
    WEIR_EXPECT(read.status().code() == absl::StatusCode::kInvalidArgument,
                read.status().ToString());
    WEIR_EXPECT(!read.status().message().empty(), wire.ShortDebugString());
    return;
  }
  // What was accepted keeps its promises, and means the same after another way there and back.
  const uint32_t shards = static_cast<uint32_t>(read->shard_addresses.size());
  WEIR_EXPECT(ValidateLayout(*read, shards).ok(), wire.ShortDebugString());
  const absl::StatusOr<Layout> again = LayoutFromProto(ToProto(*read));
  WEIR_EXPECT(again.ok(), again.status().ToString());
  WEIR_EXPECT(again->epoch == read->epoch, wire.ShortDebugString());
  WEIR_EXPECT(again->tensors.size() == read->tensors.size(), wire.ShortDebugString());
  for (size_t i = 0; i < read->tensors.size(); ++i)
    WEIR_EXPECT(Same(again->tensors[i], read->tensors[i]), wire.ShortDebugString());
  WEIR_EXPECT(again->slices == read->slices, wire.ShortDebugString());
  WEIR_EXPECT(again->shard_addresses == read->shard_addresses, wire.ShortDebugString());
  WEIR_EXPECT(again->codecs == read->codecs, wire.ShortDebugString());
  for (uint32_t id = 1; id <= read->tensors.size(); ++id)
    WEIR_EXPECT(IsKnownCodec(read->codec(id).pull), wire.ShortDebugString());
}

}  // namespace
}  // namespace weir

// The input is a layout, whose tensors are also taken for a declaration.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static google::protobuf::LogSilencer silent;
  weir::v1::Layout wire;
  if (!wire.ParseFromArray(data, static_cast<int>(size))) return 0;
  weir::Check(wire);
  const bool tensors = weir::TensorsFromProto(wire.tensors()).ok();
  WEIR_EXPECT(tensors || !weir::LayoutFromProto(wire).ok(), wire.ShortDebugString());
  return 0;
}
