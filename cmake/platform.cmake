# SPDX-License-Identifier: Apache-2.0
#
# What every target is compiled with. Flags that change code or macros are the same for all targets, so that they can
# share one precompiled header; warnings are per target (weir.cmake).

if(PROJECT_SOURCE_DIR STREQUAL PROJECT_BINARY_DIR)
  message(FATAL_ERROR "Weir is built outside its source tree: cmake --preset release")
endif()

execute_process(
  COMMAND ${CMAKE_CXX_COMPILER} -dumpmachine
  OUTPUT_VARIABLE weir_target OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(CMAKE_CXX_COMPILER_TARGET)
  set(weir_target ${CMAKE_CXX_COMPILER_TARGET})
endif()
if(NOT weir_target MATCHES "^x86_64")
  message(FATAL_ERROR
    "Weir runs on x86-64 with AVX2 (x86-64-v3); this compiler builds for '${weir_target}'.")
endif()
if(NOT ((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
        OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 14)))
  message(FATAL_ERROR "Weir is built with g++ 12 or clang 14, or newer; this is "
    "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} (${CMAKE_CXX_COMPILER}).")
endif()

if(EXISTS /proc/cpuinfo)
  file(STRINGS /proc/cpuinfo weir_cpu_flags REGEX "^flags" LIMIT_COUNT 1)
  if(weir_cpu_flags AND NOT weir_cpu_flags MATCHES " avx2 ")
    message(WARNING "This host has no AVX2 (x86-64-v3): it can build Weir, but not run it.")
  endif()
endif()

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")  # CHECK is not assert: NDEBUG leaves it alone
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

# Same bits in every build: no contraction into FMA, no reassociation (docs: consistency, "same bits").
add_compile_options(-march=x86-64-v3 -ffp-contract=off -fno-fast-math)

# One choice for all targets instead of CMake's PIC for libraries and PIE for programs: a precompiled header has one.
add_compile_options(-fPIC -pthread)
add_link_options(-pthread)

set(WEIR_SANITIZE "" CACHE STRING "Sanitizers for all targets: 'address,undefined' or 'thread'")
if(WEIR_SANITIZE)
  add_compile_options(
    -fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${WEIR_SANITIZE})
endif()

option(WEIR_FUZZ "Build the fuzz targets (tests/fuzz), with everything instrumented for libFuzzer; clang only" OFF)
if(WEIR_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "libFuzzer comes with clang: cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# ccache understands precompiled headers only when told to.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
else()
  add_compile_options(-fpch-preprocess)
endif()
find_program(WEIR_CCACHE ccache)
if(WEIR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
    env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
    CCACHE_NOHASHDIR=1 ${WEIR_CCACHE})
endif()

find_program(WEIR_MOLD mold)
find_program(WEIR_LLD ld.lld)
if(WEIR_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(WEIR_LLD)
  add_link_options(-fuse-ld=lld)
endif()
