// SPDX-License-Identifier: Apache-2.0
#include "core/allocator.h"

#include <gnu/libc-version.h>

#include <cstddef>

// jemalloc's; null where it is not linked.
extern "C" int mallctl(const char* name, void* old, size_t* old_size, void* value, size_t size)
    __attribute__((weak));

namespace weir {

std::string AllocatorName() {
  const char* version = nullptr;
  size_t size = sizeof(version);
  if (mallctl == nullptr || mallctl("version", &version, &size, nullptr, 0) != 0)
    return std::string("glibc ") + gnu_get_libc_version();
  const std::string full = version;  // "5.3.0-0-g54eaed1d..."
  return "jemalloc " + full.substr(0, full.find('-'));
}

}  // namespace weir
