// SPDX-License-Identifier: Apache-2.0
#include "core/histogram.h"

#include <algorithm>
#include <cmath>

namespace weir {
namespace {

constexpr int kSubBits = 7;  // 2^7 buckets per power of two
constexpr uint64_t kSubBuckets = uint64_t{1} << kSubBits;

// The powers of two from 2^8 on are 56, each of 128 buckets, after the 256 of the smallest values.
constexpr size_t kBuckets = 2 * kSubBuckets + (63 - kSubBits) * kSubBuckets;

// How far values of this bucket's power of two are shifted right to become a bucket's number.
int ShiftOf(uint64_t value) {
  return value < 2 * kSubBuckets ? 0 : 63 - kSubBits - __builtin_clzll(value);
}

size_t IndexOf(uint64_t value) {
  const int shift = ShiftOf(value);
  return static_cast<size_t>(shift) * kSubBuckets + static_cast<size_t>(value >> shift);
}

uint64_t LowOf(size_t index) {
  if (index < 2 * kSubBuckets) return index;
  const uint64_t shift = index / kSubBuckets - 1;
  return (index - shift * kSubBuckets) << shift;
}

uint64_t HighOf(size_t index) {
  return index + 1 == kBuckets ? ~uint64_t{0} : LowOf(index + 1) - 1;
}

}  // namespace

Histogram::Histogram() : counts_(kBuckets) {}

void Histogram::Record(uint64_t value, uint64_t count) {
  if (count == 0) return;
  counts_[IndexOf(value)] += count;
  count_ += count;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  __extension__ using Wide = unsigned __int128;
  const Wide sum = (Wide{sum_high_} << 64 | sum_low_) + Wide{value} * count;
  sum_low_ = static_cast<uint64_t>(sum);
  sum_high_ = static_cast<uint64_t>(sum >> 64);
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_high_ += other.sum_high_ + __builtin_add_overflow(sum_low_, other.sum_low_, &sum_low_);
}

void Histogram::Clear() { *this = Histogram(); }

double Histogram::mean() const {
  if (count_ == 0) return 0;
  const double sum = static_cast<double>(sum_high_) * 0x1p64 + static_cast<double>(sum_low_);
  return sum / static_cast<double>(count_);
}

uint64_t Histogram::Percentile(double percent) const {
  if (!(percent > 0)) return min();
  if (percent >= 100 || count_ == 0) return max();
  const double wanted = std::ceil(percent / 100 * static_cast<double>(count_));
  const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen < rank) continue;
    const uint64_t low = LowOf(i);
    return std::clamp(low + (HighOf(i) - low) / 2, min_, max_);
  }
  return max();
}

std::vector<Histogram::Bucket> Histogram::Buckets() const {
  std::vector<Bucket> buckets;
  for (size_t i = 0; i < kBuckets; ++i) {
    if (counts_[i] > 0) buckets.push_back({LowOf(i), HighOf(i), counts_[i]});
  }
  return buckets;
}

}  // namespace weir
