// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_ROWS_H_
#define WEIR_TOOLS_LOAD_ROWS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/load_cluster.h"
#include "tools/load_figures.h"
#include "tools/load_options.h"
#include "tools/load_pin.h"
#include "tools/load_report.h"

namespace weir {

// One row of the load test's table: what is run. Its repetitions are LoadFigures.
struct LoadRow {
  std::string transport = "tcp";
  std::string codec = "f32";
  uint32_t servers = 1;
  uint32_t workers = 1;
  std::vector<std::string> settings;  // further keys of the topology, "servers.shards=2"
  std::string topology_file;  // its hosts, servers and workers, instead of the two counts above
  std::string connect;        // host:port of a running coordinator: nothing but workers is started
  std::string token_file;     // of that job
  std::optional<int64_t> max_staleness;  // the bound of mode asp; none: no bound
  LoadPin pin = LoadPin::kNone;
  std::string spin_us;  // of servers and workers, as weir-ps takes it; empty: as they choose
  LoadOptions load;
  // Where each process runs, beside what `pin` says; none: on this host.
  std::function<ProcessSeat(const PlannedProcess&)> seat;
  std::vector<pid_t> namespaces{};  // as ClusterSpec has them

  std::string Label() const;  // "tcp f32, 1 server, 4 workers"
};

// One repetition of a row.
struct LoadRun {
  LoadFigures figures;
  LoadReport report;  // of all workers, merged
  std::vector<ProcessUsage> usage;
};

// The topology that a row is run on: mode asp, plain SGD, workers that run `worker_command`.
// INVALID_ARGUMENT: the file or a setting is wrong; the message has every error, a line each.
absl::StatusOr<Topology> TopologyOf(const LoadRow& row,
                                    const std::vector<std::string>& worker_command);

// Runs `row` once: starts its processes, waits for them, reads and merges the workers' reports.
// Everything is gone when it returns. `interrupted`: the signal that ended it, or left as it is.
// As LoadCluster::Run, and DATA_LOSS: a worker's report cannot be read.
absl::StatusOr<LoadRun> RunRow(const LoadRow& row, int* interrupted);

// Where this program and its links lie.
absl::StatusOr<std::string> ProgramDirectory();

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_ROWS_H_
