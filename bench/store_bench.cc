// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <cstring>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/benches.h"
#include "bench/memory_limit.h"
#include "ps/job.h"
#include "ps/slice_store.h"

namespace weir::bench {
namespace {

constexpr uint32_t kTensors = 161;
constexpr int64_t kTensorElements = 158'740;  // together a ResNet-50
constexpr size_t kLookups = 4096;
constexpr size_t kLineBytes = 64;

struct Store {
  BufferPool pool;
  SliceStore store;
  std::vector<uint32_t> order;  // tensors, at random
};

std::shared_ptr<Store> MakeStore() {
  auto made = std::make_shared<Store>();
  std::vector<TensorShape> tensors;
  for (uint32_t i = 0; i < kTensors; ++i)
    tensors.push_back({absl::StrCat("layer", i, "/w"), {kTensorElements}, {}});
  made->store =
      SliceStore(MakeLayout(tensors, Arrays::kSliceElements * sizeof(float), 1, 1).value(),
                 /*shard=*/0);
  for (size_t slice = 0; slice < made->store.size(); ++slice)
    made->store.Initialise(slice, 0, {made->pool.Allocate(256), {}}, {});
  std::mt19937 random(1);
  for (size_t i = 0; i < kLookups; ++i) made->order.push_back(1 + random() % kTensors);
  return made;
}

// What a pull looks up: the tensor, its slice, the values of the version.
void LookUp(const Store& made, bool by_name) {
  for (const uint32_t id : made.order) {
    const auto tensor = by_name ? made.store.FindTensor(made.store.tensor(id).name, 0)
                                : made.store.FindTensor("", id);
    const auto slice = made.store.FindSlice(*tensor, 0, kTensorElements);
    const SliceValues values = made.store.ValuesAt(*slice, made.store[*slice].version);
    benchmark::DoNotOptimize(values.weights.data());
  }
}

void Commit(Store* made) {
  for (const uint32_t id : made->order) {
    const size_t slice = id - 1;  // one a tensor
    made->store.Commit(
        slice, made->store[slice].before ? made->store[slice].before : made->store[slice].values,
        {});
  }
}

// The lines of the slices, in an order that is known: nothing to look up.
void Touch(const Store& made, const std::vector<char>& lines) {
  for (const uint32_t id : made.order)
    benchmark::DoNotOptimize(lines[(id - 1) * sizeof(StoredSlice)]);
}

// The push of a whole model, a slice at a time, as it is received: chunks of 64 KiB that cut
// through elements.
struct Pushes {
  BufferPool pool;
  std::vector<Job> jobs;
};

Payload Received(const char* bytes, size_t size, const std::shared_ptr<const void>& owner) {
  constexpr size_t kChunk = (size_t{64} << 10) - 9;  // a frame's header took some
  Payload payload;
  for (size_t at = 0; at < size; at += kChunk)
    payload.Append(bytes + at, std::min(kChunk, size - at), owner);
  return payload;
}

std::shared_ptr<Pushes> MakePushes(const std::shared_ptr<Arrays>& arrays, Codec push, Codec pull) {
  auto made = std::make_shared<Pushes>();
  constexpr size_t kCount = Arrays::kSliceElements;
  for (size_t at = 0; at + kCount <= Arrays::kElements; at += kCount) {
    FoldJob fold;
    fold.codec = push;
    const size_t bytes = EncodedBytes(push, kCount);
    const Buffer encoded = made->pool.Allocate(bytes);
    Encode(push, arrays->in(0) + at, kCount, encoded.data());
    fold.gradient = Received(encoded.data(), bytes, encoded.owner());
    fold.apply = true;
    fold.learning_rate = 0.01f;
    fold.weights = made->pool.Allocate(kCount * sizeof(float));
    std::memcpy(fold.weights.data(), arrays->in(1) + at, kCount * sizeof(float));
    fold.weights_out = made->pool.Allocate(kCount * sizeof(float));
    fold.pull_codec = pull;
    if (pull != Codec::kF32) fold.encoded_out = made->pool.Allocate(EncodedBytes(pull, kCount));
    Job job;
    job.count = kCount;
    job.work = std::move(fold);
    made->jobs.push_back(std::move(job));
  }
  return made;
}

void AddJobs(const std::string& what, Codec push, Codec pull, int reads, int writes,
             const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all) {
  const auto made = MakePushes(arrays, push, pull);
  const uint64_t count = made->jobs.size() * Arrays::kSliceElements;
  Measured measured;
  measured.what = what;
  measured.bytes = count * 2 * sizeof(float) + EncodedBytes(push, count);
  if (pull != Codec::kF32) measured.bytes += EncodedBytes(pull, count);
  measured.run = [made] {
    for (const Job& job : made->jobs) benchmark::DoNotOptimize(RunJob(job).fault);
  };
  measured.limits = MemoryLimits(reads, writes, measured.bytes, arrays, all);
  all->push_back(std::move(measured));
}

}  // namespace

void AddStore(const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all) {
  const std::shared_ptr<Store> made = MakeStore();
  const std::vector<char> lines(kTensors * sizeof(StoredSlice));
  const std::string limit = "limit touch 4096 lines";
  constexpr uint64_t kBytes = kLookups * kLineBytes;
  all->push_back({limit, kBytes, [made, lines] { Touch(*made, lines); }, {}});
  all->push_back({"4096 pull look-ups, by id", kBytes, [made] { LookUp(*made, false); }, {limit}});
  all->push_back({"4096 pull look-ups, by name", kBytes, [made] { LookUp(*made, true); }, {limit}});
  all->push_back({"4096 commits", kBytes, [made] { Commit(made.get()); }, {limit}});
  AddJobs("fold job sgd, f32", Codec::kF32, Codec::kF32, 2, 1, arrays, all);
  AddJobs("fold job sgd, push int8, pull bf16", Codec::kInt8, Codec::kBf16, 1, 1, arrays, all);
  AddJobs("fold job sgd, push int8, pull int8", Codec::kInt8, Codec::kInt8, 1, 1, arrays, all);
}

}  // namespace weir::bench
