# SPDX-License-Identifier: Apache-2.0
#
# weir::cpu_baseline and weir_cpu_check: the two files that run on any x86-64 host, to refuse one that is too old.

weir_library(NAME cpu_baseline SRCS core/cpu_baseline.cc HDRS core/cpu_baseline.h)
add_library(weir_cpu_check OBJECT ${PROJECT_SOURCE_DIR}/core/cpu_check.cc)
target_link_libraries(weir_cpu_check PUBLIC weir::cpu_baseline)
target_compile_options(weir_cpu_check PRIVATE ${WEIR_WARNINGS})
foreach(target IN ITEMS weir_cpu_baseline weir_cpu_check)
  target_compile_options(${target} PRIVATE -march=x86-64)  # after the -march of all targets, so it wins
endforeach()
