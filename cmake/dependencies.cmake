# SPDX-License-Identifier: Apache-2.0
#
# Finds everything Weir is built from. When something is missing, configure stops with one message: the apt-get line.

file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/packages.txt weir_packages REGEX "^[a-z0-9]")
list(TRANSFORM weir_packages REPLACE "[ \t].*" "")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/packages.txt)
set(weir_missing "")

# Notes the Debian package `package` as missing unless `found`. -DWEIR_PRETEND_MISSING=libgoogle-glog-dev pretends, to
# see the message.
function(weir_need found package)
  if(NOT package IN_LIST weir_packages)
    message(FATAL_ERROR "cmake/packages.txt does not list ${package}")
  endif()
  if(NOT found OR package IN_LIST WEIR_PRETEND_MISSING)
    set(weir_missing ${weir_missing} ${package} PARENT_SCOPE)
  endif()
endfunction()

# Imports a plain library that has no dependable CMake package as name::name.
function(weir_import name header library)
  find_path(WEIR_${name}_INCLUDE ${header})
  find_library(WEIR_${name}_LIBRARY ${library})
  mark_as_advanced(WEIR_${name}_INCLUDE WEIR_${name}_LIBRARY)
  if(NOT WEIR_${name}_INCLUDE OR NOT WEIR_${name}_LIBRARY)
    set(${name}_FOUND FALSE PARENT_SCOPE)
    return()
  endif()
  set(${name}_FOUND TRUE PARENT_SCOPE)
  add_library(${name}::${name} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${name}::${name} PROPERTIES
    IMPORTED_LOCATION ${WEIR_${name}_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${WEIR_${name}_INCLUDE})
endfunction()

find_program(WEIR_PKG_CONFIG pkg-config)
weir_need("${WEIR_PKG_CONFIG}" pkg-config)
find_package(Threads QUIET)
if(WEIR_SANITIZE STREQUAL "thread")
  set(absl_DIR ${PROJECT_SOURCE_DIR}/build/tsan-abseil/lib/cmake/absl CACHE PATH "" FORCE)
  if(NOT EXISTS ${absl_DIR}/abslConfig.cmake)
    message(FATAL_ERROR "ThreadSanitizer needs an Abseil built for it; run tools/tsan_abseil, then configure again.")
  endif()
endif()
find_package(absl CONFIG QUIET)
weir_need("${absl_FOUND}" libabsl-dev)
find_package(Protobuf MODULE QUIET)
weir_need("${Protobuf_FOUND}" libprotobuf-dev)
weir_need("${Protobuf_PROTOC_EXECUTABLE}" protobuf-compiler)
find_program(WEIR_GRPC_CPP_PLUGIN grpc_cpp_plugin)
weir_need("${WEIR_GRPC_CPP_PLUGIN}" protobuf-compiler-grpc)
find_package(OpenSSL QUIET)
weir_need("${OPENSSL_FOUND}" libssl-dev)
find_package(ZLIB QUIET)
weir_need("${ZLIB_FOUND}" zlib1g-dev)
find_package(gRPC CONFIG QUIET)
find_path(WEIR_GRPCPP_INCLUDE grpcpp/grpcpp.h)
find_library(WEIR_GRPCPP_LIBRARY grpc++)
if(gRPC_FOUND AND WEIR_GRPCPP_INCLUDE AND WEIR_GRPCPP_LIBRARY)  # the CMake package is part of another, libgrpc-dev
  set(weir_grpcpp TRUE)
endif()
weir_need("${weir_grpcpp}" libgrpc++-dev)
find_package(Eigen3 CONFIG QUIET)  # without a version: its version file refuses newer majors
weir_need("${Eigen3_FOUND}" libeigen3-dev)
find_package(gflags CONFIG QUIET)
weir_need("${gflags_FOUND}" libgflags-dev)
find_package(glog CONFIG QUIET)
weir_need("${glog_FOUND}" libgoogle-glog-dev)
find_package(GTest CONFIG QUIET)
weir_need("${GTest_FOUND}" libgtest-dev)
find_path(WEIR_GMOCK_INCLUDE gmock/gmock.h)
weir_need("${WEIR_GMOCK_INCLUDE}" libgmock-dev)
find_package(yaml-cpp CONFIG QUIET)
weir_need("${yaml-cpp_FOUND}" libyaml-cpp-dev)
find_package(nlohmann_json CONFIG QUIET)
weir_need("${nlohmann_json_FOUND}" nlohmann-json3-dev)
weir_import(hwy hwy/highway.h hwy)
weir_need("${hwy_FOUND}" libhwy-dev)
weir_import(xxHash xxhash.h xxhash)
weir_need("${xxHash_FOUND}" libxxhash-dev)

if(weir_missing)
  list(REMOVE_DUPLICATES weir_missing)
  list(JOIN weir_missing " " weir_missing)
  message(FATAL_ERROR "Some packages that Weir is built from are missing. Install them with\n"
    "  sudo apt-get install ${weir_missing}\nor run tools/setup, then configure again.")
endif()

# Optional: an allocator that keeps large blocks. Programs run without it, slower.
find_library(WEIR_JEMALLOC jemalloc)
mark_as_advanced(WEIR_PKG_CONFIG WEIR_GRPC_CPP_PLUGIN WEIR_GRPCPP_INCLUDE WEIR_GRPCPP_LIBRARY WEIR_GMOCK_INCLUDE WEIR_JEMALLOC)
