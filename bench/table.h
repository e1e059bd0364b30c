// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_BENCH_TABLE_H_
#define WEIR_BENCH_TABLE_H_

#include <map>
#include <string>
#include <vector>

#include "bench/measured.h"

// What the repetitions of a run come to. Pure.
namespace weir::bench {

// One repetition: seconds for one run of what is measured and, in the same moments, of its limits.
struct Sample {
  double seconds = 0;
  std::vector<double> limit_seconds;  // in the order of Measured::limits
};
using Samples = std::map<std::string, std::vector<Sample>>;  // by what is measured

// Medians of the repetitions.
struct Row {
  std::string what;
  double us = 0;          // one run
  double gb_s = 0;        // 10^9 bytes a second
  double limit_gb_s = 0;  // of the fastest of its limits
  double share = 0;       // of a repetition's gb_s in its limit_gb_s
  double spread = 0;      // of that share: between the quartiles, over the median
};

// A row for each that has samples, in their order. REQUIRES: every limit named is in `measured`.
std::vector<Row> MakeRows(const std::vector<Measured>& measured, const Samples& samples);

std::string FormatTable(const std::vector<Row>& rows);

// An array of objects with the table's columns.
std::string FormatJson(const std::vector<Row>& rows);

}  // namespace weir::bench

#endif  // WEIR_BENCH_TABLE_H_
