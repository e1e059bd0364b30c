// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_PROGRESS_H_
#define WEIR_LAUNCHER_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "launcher/member.h"
#include "launcher/summary.h"

namespace weir {

// What a person sees of a run that goes on: "step 120/500  loss 0.4312  18250 examples/s
// staleness 0.0  stale 0.0%": staleness in versions, the mean of what workers last reported (in
// ssp "ahead 1.2": clocks before the slowest), and the share of all pushes so far that were refused
// as stale.
//
// Rates are over the time between two updates that are at least kWindow apart. Deterministic: the
// time is handed in.
class Progress {
 public:
  // The line for this status. Before training: whom the run waits for.
  std::string Line(const JobStatus& job, absl::Time now);

  static constexpr absl::Duration kWindow = absl::Seconds(1);

 private:
  absl::Time since_ = absl::InfinitePast();
  double examples_ = 0;
  double rate_ = 0;
  uint64_t step_ = 0;
  absl::Time step_at_ = absl::InfinitePast();
};

// Who is missing before training can begin: "waits for ps-1 to join, worker-0 to declare the
// model"; empty: nobody.
std::string MissingMembers(const JobStatus& job);

// The name of a member's process: "ps-1", "worker-0".
std::string ProcessName(const MemberStatus& member);

// The table that ends a run.
std::string FinalTable(const RunSummary& summary, const std::string& run_dir);

// The report of a failure: who, where, how it ended, the last lines of its log and where that lies.
std::string FailureReport(const RunFailure& failure, const std::string& last_lines);

}  // namespace weir

#endif  // WEIR_LAUNCHER_PROGRESS_H_
