// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_RUN_DIRECTORY_H_
#define WEIR_LAUNCHER_RUN_DIRECTORY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace weir {

// Makes the directory of one run and returns its absolute path: `path`, which must not hold a run
// already, or, when that is empty, runs/<name>-<time> below the current directory, with the link
// runs/latest to it.
//
// Until this process ends nobody else is given `path`. FAILED_PRECONDITION: `path` holds a run (a
// summary.json or a topology.yaml), or somebody has been given it. Else what the file system said,
// with the path.
absl::StatusOr<std::string> MakeRunDirectory(const std::string& path, absl::string_view name,
                                             absl::Time now);

// Writes `content` under `path` as a whole: beside first, then renamed. `mode` as of open(). What
// the file system said otherwise.
absl::Status WriteFile(const std::string& path, absl::string_view content, int mode);

// The file's content. RESOURCE_EXHAUSTED: more than `limit_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit_bytes);

// The last `lines` lines of a log, of its last 64 KiB at most, control characters but tab made
// visible; "" when there is none.
std::string LastLines(const std::string& path, int lines);

// `bytes` random bytes of the system.
std::string RandomBytes(size_t bytes);

// The token that the file at `path` holds, without surrounding white space. INVALID_ARGUMENT: it is
// empty or longer than 4 KiB.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

}  // namespace weir

#endif  // WEIR_LAUNCHER_RUN_DIRECTORY_H_
