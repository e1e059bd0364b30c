# SPDX-License-Identifier: Apache-2.0
#
# What `cmake --install` gives: the worker API as headers and one shared library with find_package(Weir), and the programs.
# The shared library carries all of Weir that a worker needs; gRPC, Protobuf and Abseil are Debian's shared libraries. It exports
# names of namespace weir only.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(weir_worker_shared SHARED ${CMAKE_CURRENT_LIST_DIR}/worker_shared.cc)
target_link_libraries(weir_worker_shared PRIVATE weir_worker)
set_property(TARGET weir_worker_shared PROPERTY LINK_LIBRARY_OVERRIDE "WHOLE_ARCHIVE,weir_worker,weir_worker_train,weir_worker_api")
target_link_options(weir_worker_shared PRIVATE
  "LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/worker_shared.map" "LINKER:--no-undefined")
target_include_directories(weir_worker_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(weir_worker_shared INTERFACE cxx_std_17)
set_target_properties(weir_worker_shared PROPERTIES
  OUTPUT_NAME weir_worker EXPORT_NAME worker VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
set_property(TARGET weir_worker_shared APPEND PROPERTY LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/worker_shared.map)

install(TARGETS weir_worker_shared EXPORT WeirTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/worker/include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/proto/weir DESTINATION ${CMAKE_INSTALL_DATADIR}/weir/proto)
install(EXPORT WeirTargets NAMESPACE Weir:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Weir)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/WeirConfig.cmake.in ${PROJECT_BINARY_DIR}/WeirConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Weir)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/WeirConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/WeirConfig.cmake ${PROJECT_BINARY_DIR}/WeirConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Weir)
install(DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/ DESTINATION ${CMAKE_INSTALL_BINDIR} USE_SOURCE_PERMISSIONS
  FILES_MATCHING PATTERN "weir*" PATTERN "tests" EXCLUDE)
