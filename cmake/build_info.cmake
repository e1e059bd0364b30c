# SPDX-License-Identifier: Apache-2.0
#
# weir::build_info: the version, the commit and the build's name (core/build_info.h). Only this one file is compiled
# again when the commit changes.

set(WEIR_GIT_ID_HEADER ${WEIR_GEN_DIR}/build_info/core/git_id.h)
add_custom_target(weir_git_id
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DOUTPUT=${WEIR_GIT_ID_HEADER}
          -P ${PROJECT_SOURCE_DIR}/cmake/git_id.cmake
  BYPRODUCTS ${WEIR_GIT_ID_HEADER} COMMENT "" VERBATIM)

weir_library(NAME build_info SRCS core/build_info.cc HDRS core/build_info.h)
add_dependencies(weir_build_info weir_git_id)
target_include_directories(weir_build_info PRIVATE ${WEIR_GEN_DIR}/build_info)
target_compile_definitions(weir_build_info PRIVATE
  WEIR_VERSION="${PROJECT_VERSION}"
  WEIR_COMPILER="${CMAKE_CXX_COMPILER_ID}-${CMAKE_CXX_COMPILER_VERSION}"
  WEIR_BUILD_TYPE="${CMAKE_BUILD_TYPE}")
