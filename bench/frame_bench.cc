// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "bench/benches.h"
#include "net/frame_batch.h"
#include "net/frame_codec.h"

namespace weir::bench {
namespace {

constexpr size_t kSliceBytes = size_t{1} << 20;
constexpr size_t kChunkBytes = size_t{64} << 10;  // as gRPC receives large messages
constexpr int kInBatch = 64;

ClientFrame SmallPull() {
  ClientFrame frame;
  frame.request_id = 123456;
  frame.epoch = 3;
  PullFrame pull;
  pull.tensor_id = 17;
  pull.worker_id = 2;
  pull.version = 10'000;
  pull.condition = PullCondition::kHave;
  pull.count = 64;
  frame.kind = pull;
  return frame;
}

ClientFrame LargePush() {
  ClientFrame frame;
  frame.request_id = 123456;
  frame.epoch = 3;
  PushFrame push;
  push.tensor_id = 17;
  push.worker_id = 2;
  push.sequence = 10'000;
  push.base_version = 9'999;
  push.offset = 262'144;
  push.count = 262'144;
  push.examples = 32;
  push.want_values = true;
  const auto bytes = std::make_shared<std::string>(kSliceBytes, 'g');
  push.gradient.Append(bytes->data(), bytes->size(), bytes);
  frame.kind = push;
  return frame;
}

// The bytes as they arrive: chunks of 64 KiB.
Payload Arrived(const Payload& wire) {
  auto bytes = std::make_shared<std::string>(wire.size(), '\0');
  wire.CopyTo(&(*bytes)[0]);
  Payload payload;
  for (size_t at = 0; at < bytes->size(); at += kChunkBytes)
    payload.Append(bytes->data() + at, std::min(kChunkBytes, bytes->size() - at), bytes);
  return payload;
}

// The name of a copy of `bytes` bytes, which is added unless it is there.
std::vector<std::string> CopyOf(uint64_t bytes, std::vector<Measured>* all) {
  const std::string name = absl::StrCat("limit copy ", bytes);
  for (const Measured& other : *all) {
    if (other.what == name) return {name};
  }
  auto from = std::make_shared<std::string>(bytes, 'x');
  auto to = std::make_shared<std::string>(bytes, 'y');
  all->push_back({name, 2 * bytes, [from, to] {
                    std::memcpy(&(*to)[0], from->data(), from->size());
                    benchmark::ClobberMemory();
                  }});
  return {name};
}

void Add(const std::string& what, uint64_t bytes, std::function<void()> run,
         std::vector<Measured>* all) {
  std::vector<std::string> limits = CopyOf(bytes, all);
  all->push_back({what, 2 * bytes, std::move(run), std::move(limits)});
}

void AddFrame(const std::string& name, const ClientFrame& frame, std::vector<Measured>* all) {
  const Payload wire = Arrived(EncodeFrame(frame));
  Add(
      "encode " + name, wire.size(),
      [frame] { benchmark::DoNotOptimize(EncodeFrame(frame).size()); }, all);
  Add(
      "decode " + name, wire.size(),
      [wire] { benchmark::DoNotOptimize(DecodeClientFrame(wire).ok()); }, all);
}

}  // namespace

void AddFrames(std::vector<Measured>* all) {
  AddFrame("frame, small pull", SmallPull(), all);
  AddFrame("frame, push of 1 MiB", LargePush(), all);
  const std::vector<ClientFrame> frames(kInBatch, SmallPull());
  const Payload wire = Arrived(EncodeBatch(absl::MakeConstSpan(frames)));
  std::vector<Payload> encoded;
  for (const ClientFrame& frame : frames) encoded.push_back(EncodeFrame(frame));
  Add(
      "encode batch of 64 pulls", wire.size(),
      [frames] { benchmark::DoNotOptimize(EncodeBatch(absl::MakeConstSpan(frames)).size()); }, all);
  Add(
      "join batch of 64 encoded pulls", wire.size(),
      [encoded] { benchmark::DoNotOptimize(BatchEncodedClientFrames(encoded).size()); }, all);
  Add(
      "decode batch of 64 pulls", wire.size(),
      [wire] { benchmark::DoNotOptimize(DecodeClientFrames(wire).ok()); }, all);
}

}  // namespace weir::bench
