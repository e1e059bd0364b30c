// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_OPTIONS_H_
#define WEIR_WORKER_OPTIONS_H_

#include <string>

#include "weir/worker.h"

namespace weir {

// The job's token: Options::token, else the content of Options::token_file without surrounding
// white space, else nothing. kInvalidArgument: the file cannot be read or is empty.
Result<std::string> ReadToken(const Options& options);

}  // namespace weir

#endif  // WEIR_WORKER_OPTIONS_H_
