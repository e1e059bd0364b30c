// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CPU_BASELINE_H_
#define WEIR_CORE_CPU_BASELINE_H_

namespace weir {

// What all of Weir is compiled for (x86-64-v3) and an older host does not have. Every program looks
// before its first instruction of that kind (cpu_check.cc), so that an old host gets a sentence
// instead of "Illegal instruction".
//
// This and cpu_check.cc alone are compiled for plain x86-64. They use no header of the standard
// library: its inline functions are shared by all of a program's files, and the copy that stays may
// be one that needs AVX2.
struct CpuFeatures {
  bool avx2;
  bool fma;
  bool bmi1;
  bool bmi2;
};

// What this host has.
CpuFeatures HostCpuFeatures();

// The first feature that `cpu` lacks, as in "AVX2"; null when it has all.
const char* MissingCpuFeature(const CpuFeatures& cpu);

// Says on standard error that this host lacks `feature`, and ends the process with exit code 1.
[[noreturn]] void RefuseHost(const char* feature);

}  // namespace weir

#endif  // WEIR_CORE_CPU_BASELINE_H_
