// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_NEAREST_NAME_H_
#define WEIR_LAUNCHER_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace weir {

// How many letters to insert, delete, replace, or swap with their neighbour, to make `a` into `b`
// (optimal string alignment). Time and memory grow with the product of the lengths.
int EditDistance(absl::string_view a, absl::string_view b);

// Of `names` the one most like `name`, the first of equals; "" if none is near: more than 2 edits
// away (3 for names of more than 8 letters), or more than half of its letters. Names over 64
// letters are near nothing.
std::string NearestName(absl::string_view name, const std::vector<std::string>& names);

}  // namespace weir

#endif  // WEIR_LAUNCHER_NEAREST_NAME_H_
