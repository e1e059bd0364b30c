// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_BUILD_INFO_H_
#define WEIR_CORE_BUILD_INFO_H_

namespace weir {

// Which build this is. The pointers are to constants; any thread, any time, also before main.

// The release, as in "0.1.0".
const char* Version();

// The commit it was built from, as in "1a2b3c4d5e6f", with "-dirty" when the tree held changes;
// "unknown" outside a repository.
const char* GitId();

// Everything that may change the bits it computes, as in "0.1.0-1a2b3c4d5e6f-GNU-12.2.0-Release":
// sent in every hello, because the promise of same bits is made within one build.
const char* BuildId();

}  // namespace weir

#endif  // WEIR_CORE_BUILD_INFO_H_
