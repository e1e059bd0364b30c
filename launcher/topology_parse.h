// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_TOPOLOGY_PARSE_H_
#define WEIR_LAUNCHER_TOPOLOGY_PARSE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "launcher/topology.h"

namespace weir {

// One thing that is wrong with, or odd about, a topology.
struct TopologyProblem {
  std::string where;    // "digits.yaml:4:10", "--set servers.count=two", or the file alone
  std::string message;  // "servers.count: wants a whole number from 1 to 1024, got 'two'"

  std::string ToString() const { return where + ": " + message; }
};

// `topology` is of use only while `errors` is empty. Both lists are in the order of the file, then
// of the settings.
struct ParsedTopology {
  Topology topology;
  std::vector<TopologyProblem> errors;
  std::vector<TopologyProblem> warnings;

  bool ok() const { return errors.empty(); }
};

// A topology before it is parsed.
struct TopologySource {
  std::string text;                      // YAML
  std::string file;                      // how messages name it
  std::string directory = "/";           // absolute; relative paths in `text` lie below it
  std::vector<std::string> settings;     // each "key.path=value"; they win over `text`
  std::string settings_directory = "/";  // absolute; relative paths in `settings` lie below it
};

constexpr size_t kMaxTopologyBytes = 1 << 20;

// Reads and checks a topology and fills in every default. Names every error, not only the first;
// touches no file.
//
// A key that has no effect beside the others is an error; it is only ignored, with a warning, when
// it belongs to a data format that is not in use, to a worker that workers.program replaces, or
// when a setting took its effect away. A setting checks exactly as a line of the file does: lists
// are written [a, b], every other value as it is.
ParsedTopology ParseTopology(const TopologySource& source);

// ParseTopology() of the file at `path`. One that is missing, unreadable, or larger than
// kMaxTopologyBytes is an error. Relative paths in `settings` are taken from the current directory.
ParsedTopology LoadTopology(const std::string& path, const std::vector<std::string>& settings);

}  // namespace weir

#endif  // WEIR_LAUNCHER_TOPOLOGY_PARSE_H_
