// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_BENCH_TABLE_H_
#define WEIR_BENCH_TABLE_H_

#include <map>
#include <string>
#include <vector>

#include "bench/measured.h"

// What the repetitions of a run come to. Pure.
namespace weir::bench {

// Seconds that each repetition took, by name.
using Samples = std::map<std::string, std::vector<double>>;

struct Row {
  std::string what;
  double us = 0;          // median of one run
  double gb_s = 0;        // 10^9 bytes a second, from the median
  double limit_gb_s = 0;  // of the fastest of its limits, from its median
  double share = 0;       // gb_s / limit_gb_s
  double spread = 0;  // between the quartiles, of this and of its limit, over the median; the sum
};

// A row for each that has limits, in their order; those without samples are left out.
// REQUIRES: a limit that has been named has been measured.
std::vector<Row> MakeRows(const std::vector<Measured>& measured, const Samples& samples);

// The same of the limits: each is its own.
std::vector<Row> MakeLimitRows(const std::vector<Measured>& measured, const Samples& samples);

std::string FormatTable(const std::vector<Row>& rows);

// An array of objects with the table's columns.
std::string FormatJson(const std::vector<Row>& rows);

}  // namespace weir::bench

#endif  // WEIR_BENCH_TABLE_H_
