// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/codec.h"
#include "net/layout_proto.h"
#include "net/shm_handover.h"
#include "net/shm_record.h"
#include "tests/net/frame_samples.h"
#include "weir/v1/parameter_service.pb.h"

// Writes the seeds of the fuzz targets, one folder a target, below the folder named. The same in
// every run: `tools/fuzz --seeds` keeps them in the repository.

namespace weir {
namespace {

using testing::FillAtRandom;
using testing::Random;
using testing::Scramble;

constexpr size_t kLongestSeed = 600;

class Folder {
 public:
  Folder(const std::string& root, const std::string& target) : path_(root + "/" + target) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  void Add(const std::string& name, const std::string& bytes) const {
    if (bytes.size() > kLongestSeed) return;
    std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
  }

 private:
  const std::string path_;
};

// One frame of each kind, as it is written and in another legal form.
template <typename Message>
void AddFrames(Random& random, const Folder& folder) {
  const auto* oneof = Message::descriptor()->oneof_decl(0);
  std::vector<bool> done(oneof->field_count());
  for (int tries = 0; tries < 400; ++tries) {
    Message message;
    FillAtRandom(random, &message);
    const std::string wire = message.SerializeAsString();
    const auto* kind = message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
    if (done[kind->index_in_oneof()] || wire.size() > kLongestSeed) continue;
    done[kind->index_in_oneof()] = true;
    folder.Add(kind->name(), wire);
    folder.Add(kind->name() + "_scrambled", Scramble(random, wire, message));
  }
}

template <typename Message>
void AddBatches(Random& random, const Folder& folder, const std::string& side) {
  for (int i = 0; i < 4; ++i) {
    Message message;
    for (int n = 0; n <= i; ++n) {
      Message frame;
      do {
        FillAtRandom(random, &frame);
      } while (frame.ByteSizeLong() > kLongestSeed / 5);
      *message.mutable_batch()->add_frames() = frame;
    }
    const std::string wire = message.SerializeAsString();
    folder.Add(side + std::to_string(i), wire);
    folder.Add(side + std::to_string(i) + "_scrambled", Scramble(random, wire, message));
  }
}

void AddLayouts(const Folder& folder) {
  const std::vector<TensorShape> tensors = {
      {"fc1/w", {30, 7}, {InitializerSpec::Kind::kXavierUniform, 0, 0}},
      {"fc1/b", {7}, {InitializerSpec::Kind::kConstant, 0.5, 0}},
      {"scale", {}, {InitializerSpec::Kind::kNormal, 1, 2}}};
  Layout layout = MakeLayout(tensors, 256, 2, 3).value();
  layout.shard_addresses = {{"a:1", "", ""}, {"b:2", "", ""}};
  folder.Add("plain", ToProto(layout).SerializeAsString());
  layout.shard_addresses = {{"a:1", "/run/a", "here"}, {"b:2", "/run/b", "there"}};
  layout.codecs = {{Codec::kInt8, Codec::kBf16, true}, {Codec::kF16, Codec::kF32, false}, {}};
  folder.Add("codecs", ToProto(layout).SerializeAsString());
}

void AddPayloads(Random& random, const Folder& folder) {
  std::vector<float> floats(131);
  for (size_t i = 0; i < floats.size(); ++i)
    floats[i] = static_cast<float>(static_cast<int64_t>(random())) * (i % 3 == 0 ? 1e-25f : 1e-19f);
  for (const Codec codec : {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8}) {
    std::string bytes(EncodedBytes(codec, floats.size()), '\0');
    Encode(codec, floats.data(), floats.size(), &bytes[0]);
    folder.Add(CodecName(codec), std::string(1, static_cast<char>(random())) + bytes);
  }
}

void AddRecords(Random& random, const Folder& folder) {
  constexpr uint8_t kRingBits = 8;  // 16 KiB
  for (const RecordKind kind :
       {RecordKind::kInline, RecordKind::kDescribed, RecordKind::kWhole, RecordKind::kHurried}) {
    RecordHead head;
    head.kind = kind;
    head.header_bytes = kind == RecordKind::kWhole ? 0 : 24;
    head.payload_bytes = HoldsPayload(kind) ? 40 : 70'000;
    head.segment = HoldsPayload(kind) ? 0 : 2;
    head.offset = HoldsPayload(kind) ? 0 : 4096;
    head.bytes = static_cast<uint32_t>(RecordBytes(kind, head.header_bytes, head.payload_bytes));
    const uint64_t words[] = {0, 2 * head.bytes};  // head and tail: two of them
    std::string input(reinterpret_cast<const char*>(words), sizeof(words));
    input += static_cast<char>(kRingBits);
    std::string record(reinterpret_cast<const char*>(&head), sizeof(head));
    while (record.size() < head.bytes) record += static_cast<char>(random());
    folder.Add("kind" + std::to_string(static_cast<int>(kind)), input + record);
  }
}

void AddHandovers(const Folder& folder) {
  for (int kind = 1; kind <= 6; ++kind) {
    HandoverMessage message;
    message.kind = static_cast<HandoverKind>(kind);
    message.key.fill(0x5a);
    message.segment = 3;
    message.bytes = 1 << 20;
    const HandoverBytes bytes = EncodeHandover(message);
    const bool has_descriptor =
        message.kind == HandoverKind::kOffer || message.kind == HandoverKind::kSegment;
    folder.Add("kind" + std::to_string(kind),
               std::string(1, has_descriptor ? 1 : 0) + std::string(bytes.data(), bytes.size()));
  }
}

int Write(const std::string& root) {
  Random random(20);
  AddFrames<v1::ClientFrame>(random, Folder(root, "client_frame_fuzz"));
  AddFrames<v1::ServerFrame>(random, Folder(root, "server_frame_fuzz"));
  const Folder batches(root, "frame_batch_fuzz");
  AddBatches<v1::ClientFrame>(random, batches, "client");
  AddBatches<v1::ServerFrame>(random, batches, "server");
  AddLayouts(Folder(root, "layout_proto_fuzz"));
  AddPayloads(random, Folder(root, "codec_fuzz"));
  AddRecords(random, Folder(root, "shm_record_fuzz"));
  AddHandovers(Folder(root, "shm_handover_fuzz"));
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
    return 2;
  }
  return weir::Write(argv[1]);
}
