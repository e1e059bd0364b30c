// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_STEP_H_
#define WEIR_TOOLS_LOAD_STEP_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tools/load_memory.h"
#include "tools/load_options.h"
#include "tools/load_pattern.h"
#include "tools/load_pieces.h"
#include "tools/load_report.h"
#include "weir/worker.h"

namespace weir {

// What a load worker's phases share: the declared model, its memory, the check, and the report.
//
// One thread. Views of `memory` are in use while a step is in flight: a LoadModel outlives its
// steps' ends, which every step waits for.
class LoadModel {
 public:
  // Declares `profile` and one tensor more, of one element, for the barrier. Statuses as of
  // RunLoadWorker.
  static absl::StatusOr<std::unique_ptr<LoadModel>> Declare(Worker& worker,
                                                            const LoadOptions& options);

  Worker& worker() { return worker_; }
  const LoadOptions& options() const { return options_; }
  LoadMemory& memory() { return *memory_; }
  LoadReport& report() { return report_; }
  const std::vector<LoadPiece>& pieces() const { return pieces_; }
  size_t tensors() const { return tensors_; }  // without the barrier's
  size_t smallest() const { return smallest_; }
  uint64_t bytes() const { return bytes_; }            // f32, of the model
  uint64_t wire_bytes() const { return wire_bytes_; }  // of the same, as the codec has it
  uint64_t slices() const { return slices_; }
  // The weights that are not a step's.
  size_t spare_weights() const { return options_.outstanding; }

  // Compares a range that has come into `weights_set`.
  void Check(size_t weights_set, size_t tensor, uint64_t offset, uint64_t count, uint64_t version);
  // What a push-pull was lent, where it lies; lets go of it.
  void CheckLent(PushResult& pushed);
  // A whole entry of a pull, slice by slice.
  void CheckPulled(size_t weights_set, const LoadRange& range, const TensorVersions& versions);

  // Pulls one tensor into the spare weights and checks it.
  absl::Status PullOne(size_t tensor);

  // Returns when every worker of the job has called it as often as this one.
  absl::Status Barrier();

 private:
  LoadModel(Worker& worker, const LoadOptions& options) : worker_(worker), options_(options) {}
  absl::Status ReadSlices();

  Worker& worker_;
  const LoadOptions options_;
  std::unique_ptr<LoadMemory> memory_;
  std::unique_ptr<PatternCheck> check_;
  std::vector<LoadPiece> pieces_;
  std::vector<uint64_t> slice_elements_;  // of each tensor: of all its slices but the last
  LoadReport report_;
  size_t tensors_ = 0;
  size_t smallest_ = 0;
  uint64_t bytes_ = 0;
  uint64_t wire_bytes_ = 0;
  uint64_t slices_ = 0;
};

// Steps in flight: begins them, settles their calls in order, checks what comes. Ends with the
// number of steps that it was told.
class LoadSteps {
 public:
  // `latency`: where to count them, from the moment at which each should have begun. Null: nowhere.
  LoadSteps(LoadModel* model, uint64_t count, Histogram* latency);
  ~LoadSteps();

  LoadSteps(const LoadSteps&) = delete;
  LoadSteps& operator=(const LoadSteps&) = delete;

  // Begins the steps that are due, as many as may be in flight.
  void Begin();
  // Waits, no longer than until the next step is due, for the oldest call in flight, and settles
  // it.
  absl::Status Settle();
  // Waits for nothing: settles the oldest call if it has ended.
  absl::Status SettleReady();
  bool done() const { return finished_ == count_; }

  // All of it.
  absl::Status Run();

 private:
  struct Step {
    double due = 0;  // when it should have begun
    size_t weights_set = 0;
    std::vector<Future<PushResult>> calls;
    size_t settled = 0;
  };

  double Due(uint64_t step) const;
  void BeginOne(double due);
  absl::Status SettleCall();

  LoadModel& model_;
  const uint64_t count_;
  Histogram* const latency_;
  const double began_;
  uint64_t begun_ = 0;
  uint64_t finished_ = 0;
  std::deque<Step> steps_;
};

// Seconds of a steady clock.
double LoadNow();

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_STEP_H_
