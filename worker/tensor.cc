// SPDX-License-Identifier: Apache-2.0
#include "weir/tensor.h"

namespace weir {

int64_t ElementCount(const Shape& shape) {
  constexpr int64_t kMost = int64_t{1} << 40;
  bool empty = false;
  for (int64_t dimension : shape) {
    if (dimension < 0) return -1;
    empty = empty || dimension == 0;
  }
  if (empty) return 0;
  int64_t count = 1;
  for (int64_t dimension : shape) {
    if (dimension > kMost / count) return -1;
    count *= dimension;
  }
  return count;
}

}  // namespace weir
