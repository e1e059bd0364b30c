# SPDX-License-Identifier: Apache-2.0
#
# The four ways to declare a target. Under ThreadSanitizer only the tests without gRPC are built, and what they need.
# Paths in SRCS and HDRS are relative to the calling CMakeLists.txt, or to the repository root. Includes are relative to the
# repository root: #include "ps/shard.h".
#
#   weir_library(NAME ps_ledger SRCS ps/ledger.cc DEPS absl::flat_hash_map weir::core_span)
#       Static library weir::ps_ledger; without a .cc an interface library. Every include of SRCS is named in DEPS.
#       HDRS files            headers, for IDEs only
#       PUBLIC_INCLUDE dir    also `#include` what is below dir, for itself and its users (installed headers)
#       PCH grpc              includes gRPC or Protobuf: shares one precompiled header of them
#
#   weir_test(NAME ledger_test SRCS tests/ps/ledger_test.cc DEPS weir::ps_ledger)
#       GoogleTest program <build>/bin/tests/ledger_test with gtest_main and gmock, known to ctest as ledger_test.
#       TIMEOUT seconds       default 60
#       LABELS words          default unit
#       ARGS arguments        of the program
#       PCH grpc              as above; GoogleTest is precompiled in any case
#       ctest runs it with WEIR_SOURCE_DIR (this tree) and WEIR_BIN_DIR (<build>/bin) in its environment.
#
#   weir_program(NAME weir SRCS launcher/main.cc DEPS gflags weir::launcher LINKS weir-ps weir-worker)
#       Program <build>/bin/weir, with jemalloc where there is one (never under a sanitizer), set to keep large blocks
#       (core/allocator_settings.cc). On a host without x86-64-v3 it says so and ends (core/cpu_baseline.h).
#       LINKS names           symbolic links to it, beside it
#       PCH grpc              as above
#
#   weir_proto(NAME proto PROTOS weir/v1/session.proto)
#       Library weir::proto of the generated messages and services; import root is proto/, and the headers are
#       "weir/v1/session.pb.h" and, where the file has a service, "weir/v1/session.grpc.pb.h".

set(WEIR_GEN_DIR ${PROJECT_BINARY_DIR}/gen)

# One line for each source of a test: "ledger_test tests/ps/ledger_test.cc". tools/check compares it to the tree.
set(WEIR_TEST_SOURCES ${PROJECT_BINARY_DIR}/test_sources.txt)
file(WRITE ${WEIR_TEST_SOURCES} "")

set(WEIR_ON_DEMAND OFF)  # whether a target is built only when another needs it
if(WEIR_SANITIZE STREQUAL "thread")
  set(WEIR_ON_DEMAND ON)
endif()

set(WEIR_WARNINGS -Wall -Wextra -Werror -Wnon-virtual-dtor -Woverloaded-virtual
  -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND WEIR_WARNINGS -Wthread-safety -Werror=thread-safety)
else()
  # False alarms of g++ 12 inside the standard library (PR105651, PR105329).
  list(APPEND WEIR_WARNINGS -Wno-restrict -Wno-error=maybe-uninitialized -Wno-error=stringop-overflow
    -Wno-error=stringop-overread -Wno-error=array-bounds)
endif()

# While somebody works on one directory, a file or a target that it names may not exist yet: a warning, so that the rest
# can be built. tools/check makes it an error.
option(WEIR_STRICT "Stop when a CMakeLists.txt names a file or a weir:: target that does not exist" OFF)
function(weir_complain)
  if(WEIR_STRICT)
    message(SEND_ERROR ${ARGN})
  else()
    message(WARNING ${ARGN})
  endif()
endfunction()

# To be called after the last target: every weir:: target that some DEPS names must exist by now.
function(weir_check_deps)
  get_property(deps GLOBAL PROPERTY WEIR_DEPS)
  list(REMOVE_DUPLICATES deps)
  foreach(dep IN LISTS deps)
    if(NOT TARGET ${dep})
      weir_complain("${dep} is named in DEPS, but there is no weir_library or weir_proto of that name")
      string(REPLACE "::" "_absent_" stand_in ${dep})
      add_library(${stand_in} INTERFACE)
      add_library(${dep} ALIAS ${stand_in})
    endif()
  endforeach()
endfunction()

# The sources as absolute paths, without those that are in neither place.
function(weir_resolve out)
  set(paths "")
  foreach(src IN LISTS ARGN)
    if(IS_ABSOLUTE ${src})
      list(APPEND paths ${src})
    elseif(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${src})
      list(APPEND paths ${CMAKE_CURRENT_SOURCE_DIR}/${src})
    elseif(EXISTS ${PROJECT_SOURCE_DIR}/${src})
      list(APPEND paths ${PROJECT_SOURCE_DIR}/${src})
    else()
      weir_complain("${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt: no file ${src}, "
        "neither there nor relative to the repository root")
    endif()
  endforeach()
  set(${out} ${paths} PARENT_SCOPE)
endfunction()

# Parses the arguments into ARG_* of the caller and refuses unknown ones.
macro(weir_arguments one many)
  cmake_parse_arguments(ARG "" "${one}" "${many}" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS OR NOT ARG_NAME)
    message(FATAL_ERROR "${CMAKE_CURRENT_FUNCTION}: needs NAME; not understood: ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  set(ours ${ARG_DEPS})
  list(FILTER ours INCLUDE REGEX "^weir::")
  set_property(GLOBAL APPEND PROPERTY WEIR_DEPS ${ours})
endmacro()

# What is precompiled, once each for the whole tree: gRPC and Protobuf; GoogleTest; all of them.
set(WEIR_PCH_std <algorithm> <cstdint> <functional> <map> <memory> <optional> <string> <utility> <vector>)
set(WEIR_PCH_grpc ${WEIR_PCH_std}
  <google/protobuf/message.h> <google/protobuf/map.h> <google/protobuf/arena.h> <google/protobuf/repeated_field.h>
  <google/protobuf/generated_message_reflection.h> <google/protobuf/unknown_field_set.h>
  <google/protobuf/io/coded_stream.h>
  <grpcpp/grpcpp.h> <grpcpp/generic/async_generic_service.h> <grpcpp/generic/generic_stub.h>)
set(WEIR_PCH_test ${WEIR_PCH_std} <gmock/gmock.h> <gtest/gtest.h>)
set(WEIR_PCH_grpc_test ${WEIR_PCH_grpc} <gmock/gmock.h> <gtest/gtest.h>)

# Tests are compiled once and run for a second: less optimisation costs less than it saves.
set(WEIR_TEST_OPTIONS $<$<CONFIG:Release>:-O1>)

# Gives `target` the precompiled headers of WEIR_PCH_<kind>; none when `kind` is empty or "none".
function(weir_use_pch target kind)
  if(NOT kind OR kind STREQUAL "none")
    return()
  elseif(NOT DEFINED WEIR_PCH_${kind})
    message(FATAL_ERROR "PCH is 'grpc' or 'none', not '${kind}'")
  endif()
  set(carrier weir_${kind}_pch)
  if(NOT TARGET ${carrier})
    set(source ${WEIR_GEN_DIR}/${kind}_pch.cc)
    if(NOT EXISTS ${source})
      file(WRITE ${source} "// Carries a precompiled header.\n")
    endif()
    add_library(${carrier} OBJECT ${source})
    set_target_properties(${carrier} PROPERTIES EXCLUDE_FROM_ALL ${WEIR_ON_DEMAND})
    if(kind MATCHES "grpc")
      target_link_libraries(${carrier} PRIVATE gRPC::grpc++ protobuf::libprotobuf)
    endif()
    if(kind MATCHES "test")
      target_link_libraries(${carrier} PRIVATE GTest::gmock)
      target_compile_options(${carrier} PRIVATE ${WEIR_TEST_OPTIONS})
    endif()
    target_precompile_headers(${carrier} PRIVATE ${WEIR_PCH_${kind}})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${carrier})
endfunction()

# Whether `target`, or a target of ours that it links, links gRPC.
function(weir_uses_grpc out target)
  set(seen "")
  set(queue ${target})
  while(queue)
    list(POP_FRONT queue next)
    if(next MATCHES "^gRPC::")
      set(${out} TRUE PARENT_SCOPE)
      return()
    endif()
    if(TARGET ${next} AND next MATCHES "^weir|^${target}$" AND NOT next IN_LIST seen)
      list(APPEND seen ${next})
      get_target_property(type ${next} TYPE)
      get_target_property(deps ${next} INTERFACE_LINK_LIBRARIES)
      list(APPEND queue ${deps})
      if(NOT type STREQUAL "INTERFACE_LIBRARY")
        get_target_property(deps ${next} LINK_LIBRARIES)
        list(APPEND queue ${deps})
      endif()
    endif()
  endwhile()
  set(${out} FALSE PARENT_SCOPE)
endfunction()

function(weir_library)
  weir_arguments("NAME;PUBLIC_INCLUDE;PCH" "SRCS;HDRS;DEPS" ${ARGN})
  set(target weir_${ARG_NAME})
  weir_resolve(srcs ${ARG_SRCS})
  weir_resolve(hdrs ${ARG_HDRS})
  set(sources ${srcs})
  list(FILTER sources INCLUDE REGEX "\\.(cc|c)$")
  if(sources)
    add_library(${target} STATIC ${srcs} ${hdrs})
    set(scope PUBLIC)
    target_compile_options(${target} PRIVATE ${WEIR_WARNINGS})
    weir_use_pch(${target} "${ARG_PCH}")
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(weir::${ARG_NAME} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${ARG_NAME} EXCLUDE_FROM_ALL ${WEIR_ON_DEMAND})
  target_include_directories(${target} ${scope} $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  if(ARG_PUBLIC_INCLUDE)
    weir_resolve(public ${ARG_PUBLIC_INCLUDE})
    target_include_directories(${target} ${scope} $<BUILD_INTERFACE:${public}>)
  endif()
  target_link_libraries(${target} ${scope} ${ARG_DEPS})
endfunction()

function(weir_test)
  weir_arguments("NAME;TIMEOUT;PCH" "SRCS;DEPS;LABELS;ARGS" ${ARGN})
  weir_resolve(srcs ${ARG_SRCS})
  if(NOT srcs)
    return()
  endif()
  add_executable(${ARG_NAME} ${srcs})
  target_compile_options(${ARG_NAME} PRIVATE ${WEIR_WARNINGS} ${WEIR_TEST_OPTIONS})
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  set_target_properties(${ARG_NAME} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/tests EXCLUDE_FROM_ALL ${WEIR_ON_DEMAND})
  if(ARG_PCH STREQUAL "grpc")
    weir_use_pch(${ARG_NAME} grpc_test)
  else()
    weir_use_pch(${ARG_NAME} test)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(WEIR_SANITIZE STREQUAL "thread")  # gRPC is not instrumented: see tools/tsan_abseil
    weir_uses_grpc(uses_grpc ${ARG_NAME})
    if(uses_grpc)
      message(STATUS "ThreadSanitizer: ${ARG_NAME} is left out, it uses gRPC")
      return()
    endif()
    set_target_properties(${ARG_NAME} PROPERTIES EXCLUDE_FROM_ALL FALSE)
  endif()
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME} ${ARG_ARGS})
  foreach(src IN LISTS srcs)
    file(RELATIVE_PATH src ${PROJECT_SOURCE_DIR} ${src})
    file(APPEND ${WEIR_TEST_SOURCES} "${ARG_NAME} ${src}\n")
  endforeach()
  set_tests_properties(${ARG_NAME} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    ENVIRONMENT "WEIR_SOURCE_DIR=${PROJECT_SOURCE_DIR};WEIR_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};\
TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/tsan_suppressions.txt")
endfunction()

function(weir_program)
  weir_arguments("NAME;PCH" "SRCS;DEPS;LINKS" ${ARGN})
  weir_resolve(srcs ${ARG_SRCS})
  if(NOT srcs)
    return()
  endif()
  add_executable(${ARG_NAME} ${srcs})
  target_compile_options(${ARG_NAME} PRIVATE ${WEIR_WARNINGS})
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} weir_cpu_check weir_allocator_settings)
  set_target_properties(${ARG_NAME} PROPERTIES EXCLUDE_FROM_ALL ${WEIR_ON_DEMAND})
  weir_use_pch(${ARG_NAME} "${ARG_PCH}")
  foreach(link IN LISTS ARG_LINKS)
    add_custom_command(TARGET ${ARG_NAME} POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE_NAME:${ARG_NAME}> ${link}
      WORKING_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} VERBATIM)
  endforeach()
  if(WEIR_JEMALLOC AND NOT WEIR_SANITIZE)
    target_link_libraries(${ARG_NAME} PRIVATE
      -Wl,--push-state,--no-as-needed,${WEIR_JEMALLOC},--pop-state)
  endif()
endfunction()

function(weir_proto)
  weir_arguments("NAME" "PROTOS;DEPS" ${ARGN})
  set(root ${PROJECT_SOURCE_DIR}/proto)
  set(generated "")
  foreach(proto IN LISTS ARG_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${root}/${proto})
    file(STRINGS ${root}/${proto} services REGEX "^service ")
    set(files ${WEIR_GEN_DIR}/${stem}.pb.cc ${WEIR_GEN_DIR}/${stem}.pb.h)
    set(plugin "")
    if(services)
      list(APPEND files ${WEIR_GEN_DIR}/${stem}.grpc.pb.cc ${WEIR_GEN_DIR}/${stem}.grpc.pb.h)
      set(plugin --grpc_out=${WEIR_GEN_DIR} --plugin=protoc-gen-grpc=${WEIR_GRPC_CPP_PLUGIN})
    endif()
    # A change of any file of the set regenerates all: they import one another.
    list(TRANSFORM ARG_PROTOS PREPEND ${root}/ OUTPUT_VARIABLE inputs)
    add_custom_command(OUTPUT ${files}
      COMMAND ${Protobuf_PROTOC_EXECUTABLE} -I ${root} --cpp_out=${WEIR_GEN_DIR} ${plugin} ${proto}
      DEPENDS ${inputs} WORKING_DIRECTORY ${root} COMMENT "protoc ${proto}" VERBATIM)
    list(APPEND generated ${files})
  endforeach()
  set(target weir_${ARG_NAME})
  add_library(${target} STATIC ${generated})
  add_library(weir::${ARG_NAME} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${ARG_NAME} EXCLUDE_FROM_ALL ${WEIR_ON_DEMAND})
  target_compile_options(${target} PRIVATE -w)
  target_include_directories(${target} SYSTEM PUBLIC $<BUILD_INTERFACE:${WEIR_GEN_DIR}>)
  target_link_libraries(${target} PUBLIC ${ARG_DEPS} gRPC::grpc++ protobuf::libprotobuf)
  weir_use_pch(${target} grpc)
endfunction()

file(MAKE_DIRECTORY ${WEIR_GEN_DIR})
