// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_OPTIONS_H_
#define WEIR_TOOLS_REST_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace weir {

// What `--compare=rest-json` runs.
struct CompareOptions {
  std::string profile = "resnet50";
  struct Size {
    uint32_t workers = 1;
    uint32_t servers = 1;
  };
  std::vector<Size> sizes = {{1, 1}, {16, 4}};
  std::vector<uint32_t> in_flight = {1, 8};              // requests, of each worker
  std::vector<std::string> transports = {"tcp", "shm"};  // of Weir
  std::vector<std::string> forms = {"json-numbers", "json-base64-fast", "json-base64"};  // of REST
  uint64_t runs = 5;
  double seconds = 2;                           // of each phase
  std::function<void(const std::string&)> say;  // told how far it has come; none: nothing is said
};

// OK, or INVALID_ARGUMENT naming the option, its value and its range.
absl::Status CheckCompareOptions(const CompareOptions& options);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_OPTIONS_H_
