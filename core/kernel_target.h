// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_KERNEL_TARGET_H_
#define WEIR_CORE_KERNEL_TARGET_H_

namespace weir {

// Which vector instructions the kernels use on this host: "SSE4", "AVX2" or "AVX3" (Highway's name
// for AVX-512). The bits of the results do not depend on it; the speed may. For status pages and
// logs. Thread-safe.
const char* KernelTarget();

}  // namespace weir

#endif  // WEIR_CORE_KERNEL_TARGET_H_
