// SPDX-License-Identifier: Apache-2.0
#include "launcher/nearest_name.h"

#include <algorithm>
#include <cstddef>

namespace weir {

int EditDistance(absl::string_view a, absl::string_view b) {
  // Rows of the table for a[0..i-2], a[0..i-1], a[0..i] against every prefix of b.
  std::vector<int> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(above);
    above.swap(row);
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replace, above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string NearestName(absl::string_view name, const std::vector<std::string>& names) {
  constexpr size_t kMaxLetters = 64;
  if (name.empty() || name.size() > kMaxLetters) return "";
  int limit = std::min<int>(name.size() > 8 ? 3 : 2, static_cast<int>(name.size() + 1) / 2);
  std::string nearest;
  for (const std::string& candidate : names) {
    if (candidate.size() > kMaxLetters) continue;
    const int distance = EditDistance(name, candidate);
    if (distance > limit) continue;
    nearest = candidate;
    limit = distance - 1;
  }
  return nearest;
}

}  // namespace weir
