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

// "1st", "2nd", "3rd", "4th" ... "11th".
inline std::string Ordinal(int64_t count) {
  const int64_t tens = count / 10 % 10, ones = tens == 1 ? 0 : count % 10;
  return absl::StrCat(count, ones == 1 ? "st" : ones == 2 ? "nd" : ones == 3 ? "rd" : "th");
}

}  // namespace weir

#endif  // WEIR_LAUNCHER_COUNTED_H_
