# SPDX-License-Identifier: Apache-2.0
#
# weir::allocator names the allocator of the program that asks; weir_allocator_settings is what weir_program() links, so
# that large blocks stay mapped.

weir_library(NAME allocator SRCS core/allocator.cc HDRS core/allocator.h)
add_library(weir_allocator_settings OBJECT ${PROJECT_SOURCE_DIR}/core/allocator_settings.cc)
target_compile_options(weir_allocator_settings PRIVATE ${WEIR_WARNINGS})
