// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_FLAGS_H_
#define WEIR_TOOLS_LOAD_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launcher/flags.h"
#include "tools/load_rows.h"
#include "tools/net_hosts.h"

namespace weir {

// What a call of the load test asks for: its flags, checked.
struct LoadCall {
  std::string as_worker;      // not empty: be one load worker, with the options of this file
  std::string as_peer;        // not empty: be the peer of this mode
  std::string host;           // where a peer listens
  std::vector<LoadRow> rows;  // one for each transport and codec asked for; with --conflicts for
                              // each count of workers and each bound
  NetHostsOptions hosts;      // count 0: everything on this host
  uint64_t runs = 1;          // repetitions, interleaved over the rows
  bool roofline = false;
  std::string json;
  std::string slo;
};

// Every flag of `weir-loadtest`, in the order of its help.
FlagTable LoadFlagTable(const std::string& program);

// Reads the flags that ParseCommandLine has set; `settings` are those of --set. Called from the
// verb alone. INVALID_ARGUMENT, a sentence: a value out of its range, or flags that exclude each
// other.
absl::StatusOr<LoadCall> LoadCallOfFlags(const std::vector<std::string>& settings);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_FLAGS_H_
