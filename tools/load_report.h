// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_REPORT_H_
#define WEIR_TOOLS_LOAD_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/histogram.h"
#include "nlohmann/json.hpp"

namespace weir {

// What a job's servers count themselves: sessions of workers by what carried them, and payload
// bytes moved, of these copied in user space. A session is one worker's with one shard.
struct ServerTotals {
  uint64_t tcp_sessions = 0;
  uint64_t uds_sessions = 0;
  uint64_t shm_sessions = 0;
  uint64_t received_bytes = 0;
  uint64_t received_copied_bytes = 0;
  uint64_t sent_bytes = 0;
  uint64_t sent_copied_bytes = 0;

  uint64_t sessions() const { return tcp_sessions + uds_sessions + shm_sessions; }
};

// What a load saw: one worker's, or, merged, that of all workers. Latencies in ns.
struct LoadReport {
  Histogram steps;         // each counted push-pull of the whole model, its check included
  Histogram pulls;         // of the smallest tensor
  Histogram each_pulls;    // of one tensor, drawn in turn from all
  Histogram loaded_pulls;  // the same while push-pulls are under way
  Histogram changed;       // pulls of the whole model after every slice of it has changed
  Histogram unchanged;     // the same right afterwards, naming the versions held
  uint64_t workers = 1;
  // Of the counted steps.
  double seconds = 0;             // the longest of a worker's
  double bytes_per_second = 0;    // f32 bytes of model, pushed plus pulled; summed over the workers
  uint64_t moved_bytes = 0;       // the same, in all
  uint64_t wire_bytes = 0;        // payload bytes of these, as encoded
  double cpu_seconds = 0;         // of the workers' processes
  uint64_t peak_rss_bytes = 0;    // of the worker that had most
  uint64_t gradient_bytes = 0;    // of all sets of gradients of one worker, used in turn
  uint64_t last_cache_bytes = 0;  // of the processor, as it says
  uint64_t payload_bytes = 0;  // that the library moved, of all phases; 0: it does not count them
  uint64_t copied_bytes = 0;   // of these, copied in user space
  // Worker 0 asks for it before it leaves, where the load test started the servers; else all 0.
  ServerTotals servers;
  // Conflicts: slices pushed, by outcome, and what came back because of a stale one.
  uint64_t applied = 0;
  uint64_t stale = 0;
  uint64_t resync_bytes = 0;
  double conflict_seconds = 0;  // the longest of a worker's
  uint64_t exchanges = 0;       // tensors, or ranges of one, asked for or pushed, and answered
  uint64_t checked = 0;         // values compared to the formula
  uint64_t wrong = 0;           // values or outcomes that were not what the formula says
};

// What carried the workers' sessions, as the servers tell: "shm", or, where there was more than one
// thing, how many each had, "uds 1, shm 3". Empty: nobody asked them.
std::string TransportUsed(const ServerTotals& servers);
// Whether a session was carried by something else than `transport`, which was asked for. Never of
// `auto`, which may choose.
bool FellBack(const std::string& transport, const ServerTotals& servers);

// One worker's report as it travels from its process to the load test's, and back. A histogram
// becomes its buckets, [low, high, count] each.
nlohmann::json ToJson(const LoadReport& report);
nlohmann::json ToJson(const Histogram& histogram);
nlohmann::json ToJson(const ServerTotals& totals);
// DATA_LOSS: not such a report.
absl::StatusOr<LoadReport> LoadReportFromJson(const nlohmann::json& json);

// All reports as one: histograms and counts are added, `seconds` is the longest.
// REQUIRES: at least one.
LoadReport Merge(const std::vector<LoadReport>& reports);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_REPORT_H_
