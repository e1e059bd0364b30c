// SPDX-License-Identifier: Apache-2.0
#include "worker/options.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "net/spin.h"

namespace weir {

Result<Options> Options::FromEnvironment() {
  Options options;
  const char* coordinator = std::getenv("WEIR_COORDINATOR");
  if (coordinator == nullptr || *coordinator == '\0') {
    return Status(
        StatusCode::kInvalidArgument,
        "WEIR_COORDINATOR is not set: the coordinator's host:port, as `weir run` sets it");
  }
  options.coordinator = coordinator;
  if (const char* token = std::getenv("WEIR_TOKEN")) options.token = token;
  if (const char* file = std::getenv("WEIR_TOKEN_FILE")) options.token_file = file;
  if (const char* rank = std::getenv("WEIR_RANK"); rank != nullptr && *rank != '\0') {
    uint32_t number = 0;
    if (!absl::SimpleAtoi(rank, &number)) {
      return Status(StatusCode::kInvalidArgument,
                    absl::StrCat("WEIR_RANK is \"", rank, "\", not a worker's rank"));
    }
    options.rank = number;
  }
  const char* spin = std::getenv("WEIR_SPIN_US");
  const auto asked = ParseSpin("WEIR_SPIN_US", spin == nullptr ? "" : spin);
  if (!asked.ok())
    return Status(StatusCode::kInvalidArgument, std::string(asked.status().message()));
  if (*asked) options.spin = absl::ToChronoMicroseconds(**asked);
  return options;
}

Result<std::string> ReadToken(const Options& options) {
  if (!options.token.empty() || options.token_file.empty()) return options.token;
  std::ifstream file(options.token_file);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) {
    return Status(StatusCode::kInvalidArgument,
                  absl::StrCat("the token file ", options.token_file, " cannot be read"));
  }
  const std::string token(absl::StripAsciiWhitespace(text.str()));
  if (token.empty())
    return Status(StatusCode::kInvalidArgument,
                  absl::StrCat("the token file ", options.token_file, " is empty"));
  return token;
}

}  // namespace weir
