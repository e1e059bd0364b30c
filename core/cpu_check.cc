// SPDX-License-Identifier: Apache-2.0
//
// Linked into every program by weir_program(): see cpu_baseline.h.
#include "core/cpu_baseline.h"

namespace {

// 101 is the first priority a program may use: before every constructor that is compiled for
// x86-64-v3.
__attribute__((constructor(101))) void CheckHost() {
  const char* missing = weir::MissingCpuFeature(weir::HostCpuFeatures());
  if (missing != nullptr) weir::RefuseHost(missing);
}

}  // namespace
