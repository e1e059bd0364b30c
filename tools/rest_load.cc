// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_load.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ComparePhase, push, in_flight, seconds, min_exchanges)
// All but the histogram.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PhaseResult, mb_per_second, exchanges, bytes, checked, wrong)

namespace {

constexpr uint32_t kMaxInFlight = 64;
constexpr double kMaxSeconds = 600;
constexpr size_t kAlignFloats = 16;  // 64 bytes

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

size_t CountOf(const TensorSpec& tensor) { return static_cast<size_t>(ElementCount(tensor.shape)); }

// Elements from one gradient's first to the next one's.
size_t RoomFor(size_t count) { return (count + kAlignFloats - 1) / kAlignFloats * kAlignFloats; }

}  // namespace

std::vector<uint32_t> CompareTensors(const LoadProfile& profile) {
  const double wanted = static_cast<double>(profile.parameters()) / kComparePart;
  std::vector<uint32_t> best;
  double best_off = 0;
  for (size_t first = 0; first < std::min(kComparePart, profile.tensors.size()); ++first) {
    std::vector<uint32_t> tensors;
    double elements = 0;
    for (size_t t = first; t < profile.tensors.size(); t += kComparePart) {
      tensors.push_back(static_cast<uint32_t>(t));
      elements += static_cast<double>(CountOf(profile.tensors[t]));
    }
    const double off = std::abs(elements - wanted);
    if (!best.empty() && off >= best_off) continue;
    best = std::move(tensors);
    best_off = off;
  }
  return best;
}

nlohmann::json ToJson(const ComparePhase& phase) { return phase; }

absl::StatusOr<ComparePhase> ComparePhaseFromJson(const nlohmann::json& json) {
  try {
    const ComparePhase phase = json.get<ComparePhase>();
    if (phase.in_flight < 1 || phase.in_flight > kMaxInFlight || !(phase.seconds >= 0) ||
        phase.seconds > kMaxSeconds) {
      return absl::InvalidArgumentError("a phase of the comparison: a number out of its range");
    }
    return phase;
  } catch (const nlohmann::json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("no phase of the comparison: ", e.what()));
  }
}

void PhaseResult::Add(const PhaseResult& other) {
  mb_per_second += other.mb_per_second;
  exchanges += other.exchanges;
  bytes += other.bytes;
  checked += other.checked;
  wrong += other.wrong;
  latency_ns.Merge(other.latency_ns);
}

nlohmann::json ToJson(const PhaseResult& result) {
  nlohmann::json buckets = nlohmann::json::array();
  for (const Histogram::Bucket& bucket : result.latency_ns.Buckets())
    buckets.push_back({bucket.low + (bucket.high - bucket.low) / 2, bucket.count});
  nlohmann::json json = result;
  json["latency_ns"] = std::move(buckets);
  return json;
}

absl::StatusOr<PhaseResult> PhaseResultFromJson(const nlohmann::json& json) {
  try {
    PhaseResult result = json.get<PhaseResult>();
    for (const nlohmann::json& bucket : json.at("latency_ns"))
      result.latency_ns.Record(bucket.at(0).get<uint64_t>(), bucket.at(1).get<uint64_t>());
    return result;
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(absl::StrCat("not a result of the comparison: ", e.what()));
  }
}

size_t CompareGradientBytes(const LoadProfile& profile) {
  size_t floats = 0;
  for (const uint32_t tensor : CompareTensors(profile))
    floats += RoomFor(CountOf(profile.tensors[tensor]));
  return floats * sizeof(float);
}

CompareLoad::CompareLoad(const LoadProfile& profile, uint32_t rank, uint32_t workers,
                         TensorMemory gradients, LaneMaker make_lane)
    : rank_(rank),
      workers_(workers),
      make_lane_(std::move(make_lane)),
      part_(CompareTensors(profile)),
      memory_(std::move(gradients)) {
  for (const TensorSpec& tensor : profile.tensors) counts_.push_back(CountOf(tensor));
  float* next = memory_.floats();
  for (const uint32_t tensor : part_) {
    FillGradient(0, counts_[tensor], next);
    gradients_.emplace_back(next, counts_[tensor]);
    next += RoomFor(counts_[tensor]);
  }
}

absl::StatusOr<PhaseResult> CompareLoad::Run(const ComparePhase& phase) {
  while (lanes_.size() < phase.in_flight) {
    lanes_.emplace_back();
    lanes_.back().exchange = make_lane_();
  }
  for (uint32_t i = 0; i < phase.in_flight; ++i) lanes_[i].result = PhaseResult();
  next_ = 0;
  const double start = Now();
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < phase.in_flight; ++i) {
    threads.emplace_back(
        [this, &phase, start, lane = &lanes_[i]] { Drive(phase, start + phase.seconds, lane); });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = Now() - start;
  PhaseResult result;
  for (uint32_t i = 0; i < phase.in_flight; ++i) {
    if (!lanes_[i].status.ok()) return lanes_[i].status;
    result.Add(lanes_[i].result);
  }
  result.mb_per_second = static_cast<double>(result.bytes) / 1e6 / seconds;
  return result;
}

void CompareLoad::Drive(const ComparePhase& phase, double deadline, Lane* lane) {
  while (lane->status.ok()) {
    if (next_.load(std::memory_order_relaxed) >= phase.min_exchanges && Now() >= deadline) return;
    lane->status = Exchange(phase, next_.fetch_add(1, std::memory_order_relaxed), lane);
  }
}

// Workers begin at different tensors, so that together they are at all of them all the time.
absl::Status CompareLoad::Exchange(const ComparePhase& phase, uint64_t number, Lane* lane) {
  const size_t of = phase.push ? part_.size() : counts_.size();
  const size_t place = (of * rank_ / workers_ + number) % of;
  const uint32_t tensor = phase.push ? part_[place] : static_cast<uint32_t>(place);
  const auto start = std::chrono::steady_clock::now();
  const auto pieces = phase.push ? lane->exchange->PushPull(tensor, gradients_[place])
                                 : lane->exchange->Pull(tensor, counts_[tensor]);
  const auto took = std::chrono::steady_clock::now() - start;
  if (!pieces.ok()) return pieces.status();
  PhaseResult& result = lane->result;
  result.latency_ns.Record(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(took).count()));
  ++result.exchanges;
  result.bytes += counts_[tensor] * sizeof(float) * (phase.push ? 2 : 1);
  uint64_t covered = 0;
  for (const LanePiece& piece : *pieces) {
    result.wrong += lane->check.CountWrong(piece.values, piece.offset, piece.count, piece.version);
    covered += piece.count;
  }
  lane->exchange->Release();
  result.checked += covered;
  if (covered != counts_[tensor]) ++result.wrong;
  return absl::OkStatus();
}

}  // namespace weir
