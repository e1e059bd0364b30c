// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_PROCESS_H_
#define WEIR_TOOLS_LOAD_PROCESS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/load_options.h"

namespace weir {

// The processes that a load test starts: what `weir-loadtest --as_worker=FILE` and `--as_peer=MODE`
// do. They are called from its verb alone: they read the environment, and a peer blocks signals.

// The options of a load worker, from the file that the load test wrote. As ReadFile and
// LoadOptionsFromJson.
absl::StatusOr<LoadOptions> ReadLoadOptions(const std::string& path);

// Where the worker of that rank leaves its report.
std::string LoadReportPath(const std::string& run_dir, uint64_t rank);

// A load worker's whole life. The job, or the peer's address, is in the environment
// (WEIR_COORDINATOR, WEIR_RANK ...); the report goes to WEIR_RUN_DIR/load-RANK.json; the marks of
// load_cluster.h go to standard output.
//
// FAILED_PRECONDITION: not started by a load test, or the job at hand has no exact formula: it must
// be in mode asp, with plain sgd at a constant rate that is a power of two, one codec for all
// tensors, and no error feedback.
absl::Status RunAsLoadWorker(const std::string& options_path);

// A LoadPeer's whole life, until SIGTERM or SIGINT: listens on a free port of `host` and says where
// on the pipe that WEIR_READY_FD names.
absl::Status RunAsLoadPeer(const std::string& mode, const std::string& host);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_PROCESS_H_
