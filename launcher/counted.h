// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_COUNTED_H_
#define WEIR_LAUNCHER_COUNTED_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace weir {

// "1 server", "2 servers".
inline std::string Counted(int64_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

}  // namespace weir

#endif  // WEIR_LAUNCHER_COUNTED_H_
