// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_CONTROL_H_
#define WEIR_WORKER_CONTROL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/layout.h"
#include "net/coordinator_client.h"
#include "weir/v1/coordinator.pb.h"
#include "weir/worker.h"

namespace weir {

// A worker's side of the control plane after Join: renews the lease, carries reports, fetches
// layouts, leaves.
//
// Two threads: "weir-lease" sends a heartbeat every third of the lease, and at least twice a
// second; "weir-layout" asks for a newer layout when one is wanted. Owns the connection to the
// coordinator. Methods may be called from any thread.
class Control {
 public:
  struct Options {
    std::unique_ptr<CoordinatorClient> client;
    v1::JobKey job;
    uint32_t rank = 0;
    uint64_t incarnation = 0;
    absl::Duration lease;
    // Told once when the worker must end: the lease is lost, or the job stops. On a thread of this
    // class; must not wait.
    std::function<void(Status why)> stop;
    // A layout that FetchLayout asked for. As above.
    std::function<void(Layout layout)> layout;
    std::function<std::string()> waits_for;  // for the heartbeat
    std::function<void(LogLevel level, std::string text)> log;
  };

  explicit Control(Options options);
  ~Control();  // Close
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Declares and waits for the layout. See Worker::Declare for the statuses.
  Result<Layout> Declare(const std::vector<TensorShape>& tensors, absl::Duration deadline);
  // Asks for a layout newer than `epoch`, until it comes or Close; Options::layout is given it.
  void FetchLayout(uint64_t newer_than);

  Status Report(const std::string& name, double value);
  void Progress(uint64_t step, uint64_t steps);
  // A heartbeat at once that says the worker ends in failure.
  Status Fail(const std::string& why, absl::Duration deadline);
  Status Leave(absl::Duration deadline);

  // Ends the calls under way and joins the threads. Idempotent. Not from a callback.
  void Close();

 private:
  v1::HeartbeatRequest MakeHeartbeat(const std::string& failure);
  void RunLease();
  void RunLayout();
  Result<Layout> AskLayout(uint64_t newer_than, absl::Duration wait, Status* transient);
  bool MustFetch() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return closing_ || fetching_; }
  bool Closing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return closing_; }
  // Waits unless closed; true when closed.
  bool Pause(absl::Duration time);

  const Options options_;

  mutable absl::Mutex mu_;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  bool fetching_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t newer_than_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t step_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t steps_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, double> values_ ABSL_GUARDED_BY(mu_);

  absl::Mutex close_mu_;  // one Close at a time
  std::thread lease_thread_ ABSL_GUARDED_BY(close_mu_);
  std::thread layout_thread_ ABSL_GUARDED_BY(close_mu_);
};

// The worker API's status for one of ours.
Status ToStatus(const absl::Status& status);

}  // namespace weir

#endif  // WEIR_WORKER_CONTROL_H_
