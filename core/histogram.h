// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_HISTOGRAM_H_
#define WEIR_CORE_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

// Counts of values over the whole range of uint64_t, for latencies in whatever unit the caller
// counts in (ns, us).
//
// Log-linear, as HdrHistogram (http://hdrhistogram.org): values below 256 have a bucket each;
// above, every power of two is divided into 128 equal buckets. A value read back is the middle of
// its bucket, so it is off by at most 1/256 of itself (0.4 %). Memory: 60 KiB, whatever is
// recorded. Record is a few instructions and never allocates.
//
// Not thread-safe: one a thread, merged when read.
class Histogram {
 public:
  // Counted values in [low, high].
  struct Bucket {
    uint64_t low;
    uint64_t high;
    uint64_t count;
  };

  Histogram();

  void Record(uint64_t value) { Record(value, 1); }
  void Record(uint64_t value, uint64_t count);

  // Adds all that `other` holds.
  void Merge(const Histogram& other);

  void Clear();

  uint64_t count() const { return count_; }
  uint64_t min() const { return count_ == 0 ? 0 : min_; }  // exact
  uint64_t max() const { return max_; }                    // exact
  double mean() const;                                     // exact up to rounding

  // The smallest value, to within 1/256, that at least `percent` % of all values do not exceed; 0
  // and below: the smallest, 100 and above: the largest, both exact. 0 if nothing was recorded.
  uint64_t Percentile(double percent) const;

  // The buckets that hold something, ascending: for JSON and plots.
  std::vector<Bucket> Buckets() const;

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t min_ = ~uint64_t{0};
  uint64_t max_ = 0;
  uint64_t sum_low_ = 0;  // the sum of all values has 128 bits
  uint64_t sum_high_ = 0;
};

}  // namespace weir

#endif  // WEIR_CORE_HISTOGRAM_H_
