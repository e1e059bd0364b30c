// SPDX-License-Identifier: Apache-2.0
#include "core/cpu_baseline.h"

#include <string.h>
#include <unistd.h>

namespace weir {
namespace {

void WriteError(const char* text) {
  // Nothing can be done about a standard error that does not take it.
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

}  // namespace

CpuFeatures HostCpuFeatures() {
  __builtin_cpu_init();
  CpuFeatures cpu;
  cpu.avx2 = __builtin_cpu_supports("avx2") != 0;
  cpu.fma = __builtin_cpu_supports("fma") != 0;
  cpu.bmi1 = __builtin_cpu_supports("bmi") != 0;
  cpu.bmi2 = __builtin_cpu_supports("bmi2") != 0;
  return cpu;
}

const char* MissingCpuFeature(const CpuFeatures& cpu) {
  if (!cpu.avx2) return "AVX2";
  if (!cpu.fma) return "FMA";
  if (!cpu.bmi1) return "BMI1";
  if (!cpu.bmi2) return "BMI2";
  return nullptr;
}

void RefuseHost(const char* feature) {
  WriteError("Weir needs a processor with x86-64-v3 (2013 or newer); this one has no ");
  WriteError(feature);
  WriteError(".\n");
  _exit(1);
}

}  // namespace weir
