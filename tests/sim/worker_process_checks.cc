// SPDX-License-Identifier: Apache-2.0
// What a worker is told and given.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/sim/worker_process.h"

namespace weir::sim {
namespace {

// Whether the request that it answers is over.
bool IsLast(const ServerFrame& frame) {
  if (const auto* pull = std::get_if<PullReplyFrame>(&frame.kind)) return pull->remaining == 0;
  return !std::holds_alternative<CreditFrame>(frame.kind);
}

}  // namespace

void WorkerProcess::CheckSend(Connection* connection, const ClientFrame& frame) {
  if (std::holds_alternative<HelloFrame>(frame.kind) ||
      std::holds_alternative<BindFrame>(frame.kind))
    return;
  uint64_t& bytes = connection->asked[frame.request_id];
  if (const auto* push = std::get_if<PushFrame>(&frame.kind)) {
    connection->pushed += push->gradient.size();
    if (push->want_values) bytes = push->count * sizeof(float);
  } else if (const auto* pull = std::get_if<PullFrame>(&frame.kind)) {
    bytes = pull->count * sizeof(float);
  }
  uint64_t all = 0;
  for (const auto& [request, asked] : connection->asked) all += asked;
  const HelloReplyFrame& limits = connection->stated;
  const uint64_t unreleased = connection->pushed - connection->released;
  world_->judge.Expect(Promise::kCredits,
                       connection->asked.size() <= limits.max_requests &&
                           all <= limits.max_reply_bytes && unreleased <= limits.max_push_bytes,
                       [&] {
                         return absl::StrCat("worker ", rank_, " sends: ", connection->asked.size(),
                                             " requests, ", all, " reply bytes, ", unreleased,
                                             " pushed bytes in flight");
                       });
}

void WorkerProcess::CheckReceived(Connection* connection, const ServerFrame& frame) {
  if (const auto* hello = std::get_if<HelloReplyFrame>(&frame.kind)) connection->stated = *hello;
  connection->released = std::max(connection->released, frame.push_bytes_released);
  if (IsLast(frame)) connection->asked.erase(frame.request_id);
}

void WorkerProcess::CheckMemory(const void* tensor, size_t slice, uint64_t version,
                                const char* what) {
  const std::vector<float>* right = world_->reference.At(epoch(), slice, version);
  const uint64_t offset = world_->reference.spec(slice).offset;
  const bool same =
      right != nullptr && std::memcmp(static_cast<const float*>(tensor) + offset, right->data(),
                                      right->size() * sizeof(float)) == 0;
  world_->judge.Expect(Promise::kSnapshot, same, [&] {
    return absl::StrCat("worker ", rank_, " was given other bits by its ", what, " than version ",
                        version, " of slice ", slice, " has in epoch ", epoch());
  });
}

void WorkerProcess::CheckPulled(const std::vector<TensorPull>& tensors, const PullOptions& options,
                                const PullResult& result) {
  for (size_t entry = 0; entry < tensors.size(); ++entry) {
    const size_t first = world_->reference.Find(tensors[entry].tensor + 1, tensors[entry].offset);
    const std::vector<uint64_t>& versions = result.tensors[entry].slices;
    for (size_t i = 0; i < versions.size(); ++i) {
      if (options.expect && versions[i] != *options.expect)
        continue;  // stale: the memory is as it was
      CheckMemory(tensors[entry].into.data, first + i, versions[i], "pull");
      if (options.step && world_->scenario.bsp()) {
        world_->judge.Expect(Promise::kOutcome, versions[i] == *options.step, [&] {
          return absl::StrCat("worker ", rank_, " asked for step ", *options.step,
                              " and was given version ", versions[i]);
        });
      }
    }
  }
}

void WorkerProcess::CheckPushed(const std::vector<TensorPush>& tensors, const PushOptions& options,
                                bool want_values, const PushResult& result) {
  for (const SliceOutcome& outcome : result.slices) {
    const size_t slice = world_->reference.Find(outcome.tensor + 1, outcome.offset);
    const SentPush* push = world_->FindPush({rank_, who_.incarnation, result.sequence, slice});
    const auto said = [&] {
      return absl::StrCat("worker ", rank_, " was told that push ", result.sequence, " to slice ",
                          slice, " is ", static_cast<int>(outcome.outcome), " first ",
                          static_cast<int>(outcome.first), " version ", outcome.version);
    };
    if (!world_->judge.Expect(Promise::kOutcome, push != nullptr && push->received > 0, said))
      continue;
    bool right = true;
    switch (outcome.outcome) {
      case PushOutcome::kApplied:
        right =
            outcome.version == (world_->scenario.bsp() ? options.step + 1 : push->applied_version);
        break;
      case PushOutcome::kStale:
        right = push->applied_version == 0 && push->first == Outcome::kStale;
        break;
      case PushOutcome::kInvalid:
        right = push->applied_version == 0 && push->poison;
        break;
      case PushOutcome::kDuplicate:
        right = push->first == Outcome::kUnspecified ||
                static_cast<int>(outcome.first) == static_cast<int>(push->first);
        break;
      case PushOutcome::kPending:
        right = false;
        break;
    }
    world_->judge.Expect(Promise::kOutcome, right, said);
    if (!want_values || outcome.ended() == PushOutcome::kInvalid) continue;
    const auto entry = std::find_if(tensors.begin(), tensors.end(), [&](const TensorPush& tensor) {
      return tensor.tensor == outcome.tensor && outcome.offset >= tensor.offset &&
             (tensor.count == 0 || outcome.offset < tensor.offset + tensor.count);
    });
    CheckMemory(entry->into.data, slice, outcome.values_version, "push");
  }
}

}  // namespace weir::sim
