// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_LAUNCHER_MALFORMED_TOPOLOGY_H_
#define WEIR_TESTS_LAUNCHER_MALFORMED_TOPOLOGY_H_

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "launcher/topology_parse.h"

// Malformed topologies, each with the exact words that its author reads.
namespace weir::testing {

// Five lines and no mistake; cases add lines from 6 on.
inline constexpr char kGood[] =
    "version: 1\n"
    "train:\n"
    "  model: softmax\n"
    "  batch: 30\n"
    "  dataset: {format: csv, path: iris.csv}\n";

// What the author reads, a problem a line.
inline std::string Lines(const std::vector<TopologyProblem>& problems) {
  std::string lines;
  for (const TopologyProblem& problem : problems) lines += problem.ToString() + "\n";
  return lines;
}

inline ParsedTopology Parse(const std::string& text,
                            const std::vector<std::string>& settings = {}) {
  TopologySource source;
  source.text = text;
  source.file = "t.yaml";
  source.directory = "/job";
  source.settings = settings;
  source.settings_directory = "/here";
  return ParseTopology(source);
}

// One malformed topology: what is added to kGood, and all the errors.
struct Case {
  const char* sentence;
  std::string added;
  std::string errors;
};

inline std::ostream& operator<<(std::ostream& out, const Case& value) { return out << value.added; }

inline std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return info.param.sentence;
}

}  // namespace weir::testing

#endif  // WEIR_TESTS_LAUNCHER_MALFORMED_TOPOLOGY_H_
