// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_SUMMARY_H_
#define WEIR_LAUNCHER_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "launcher/member.h"

namespace weir {

// Which process ended a run, and how.
struct RunFailure {
  std::string name;  // "ps-0"
  std::string role;  // "coordinator", "ps", "worker", "agent", "launcher"
  uint32_t rank = 0;
  std::string host;
  uint64_t process_id = 0;
  int exit = 1;        // what the run exits with; 128 + n for signal n
  std::string reason;  // a sentence
  std::string log_path;
};

// What a run came to.
struct RunSummary {
  enum class Status { kOk, kFailed, kInterrupted };
  Status status = Status::kFailed;
  JobStatus job;  // as last heard
  absl::Duration wall;
  std::optional<std::string> weights_sha256;
  std::optional<double> test_accuracy;  // of those weights; not given: what a worker reports
  std::optional<RunFailure> failure;
};

const char* RunStatusName(RunSummary::Status status);  // "ok", "failed", "interrupted"

// The pushes of all servers, in slices.
PushCounts TotalPushes(const JobStatus& job);

// The sessions of workers that all servers have let in.
SessionCounts TotalSessions(const JobStatus& job);

// The payload bytes that all servers have moved, and copied.
PayloadCounts TotalPayload(const JobStatus& job);

// A value that workers report, of the worker with the lowest rank that reports it; nothing when
// none does.
std::optional<double> FirstValue(const JobStatus& job, const std::string& name);
// The sum over all workers.
double SumOfValues(const JobStatus& job, const std::string& name);

// The quality of the trained weights on the test set, where it is known.
std::optional<double> TestAccuracy(const RunSummary& summary);

// The names of the values that Weir's own workers report.
constexpr char kLossValue[] = "loss";          // mean over the examples of the last step
constexpr char kExamplesValue[] = "examples";  // whose gradients counted
constexpr char kRecomputedValue[] = "examples_recomputed";  // computed again after `stale`
constexpr char kSlicesValue[] = "slices_pushed";            // pushes sent, in slices
constexpr char kStalenessValue[] = "staleness";       // versions, mean over the last step's slices
constexpr char kClocksAheadValue[] = "clocks_ahead";  // ssp: instead of that; clocks, likewise
constexpr char kAccuracyValue[] = "test_accuracy";    // of the worker that evaluates

// summary.json: a stable set of keys, null where nothing is known; pushes, transports (sessions of
// workers) and payload bytes are the servers' final totals, `slices_pushed` the workers' own count
// of what they sent.
std::string SummaryJson(const RunSummary& summary);

}  // namespace weir

#endif  // WEIR_LAUNCHER_SUMMARY_H_
