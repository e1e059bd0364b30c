// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_MODELS_COUNTED_ALLOCATIONS_H_
#define WEIR_TESTS_MODELS_COUNTED_ALLOCATIONS_H_

#include <cstdint>

namespace weir {

// How often this process has asked for memory so far: malloc and its kin, and with them operator
// new. Replaces malloc in the programs that link it (under a sanitizer it listens to the
// sanitizer's).
uint64_t CountedAllocations();

}  // namespace weir

#endif  // WEIR_TESTS_MODELS_COUNTED_ALLOCATIONS_H_
