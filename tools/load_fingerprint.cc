// SPDX-License-Identifier: Apache-2.0
#include "tools/load_fingerprint.h"

#include <dlfcn.h>
#include <google/protobuf/stubs/common.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/build_info.h"
#include "core/kernel_target.h"
#include "tools/load_memory.h"
#include "tools/raw_stream_service.h"

namespace weir {
namespace {

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) ? line : "unknown";
}

std::string ProcessorName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos)
      return line.substr(colon + 2);
  }
  return "unknown";
}

// Which allocator the program was linked with: each has a function that no other has.
std::string Allocator() {
  if (dlsym(RTLD_DEFAULT, "mallctl") != nullptr) return "jemalloc";
  if (dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty") != nullptr) return "tcmalloc";
  return "libc";
}

std::string Compiler() {
#if defined(__clang__)
  return absl::StrCat("clang ", __clang_major__, ".", __clang_minor__, ".", __clang_patchlevel__);
#else
  return absl::StrCat("g++ ", __GNUC__, ".", __GNUC_MINOR__, ".", __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

nlohmann::json MachineFingerprint() {
  utsname system{};
  uname(&system);
  const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
  return {{"processor", ProcessorName()},
          {"cores", std::thread::hardware_concurrency()},
          {"last_cache_bytes", LastCacheBytes()},
          {"memory_bytes", pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))},
          {"kernel", system.release},
          {"transparent_huge_pages", FirstLine("/sys/kernel/mm/transparent_hugepage/enabled")},
          {"build", BuildId()},
          {"compiler", Compiler()},
          {"grpc", GrpcVersion()},
          {"protobuf", google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION)},
          {"allocator", Allocator()},
          {"kernel_target", KernelTarget()}};
}

std::string FingerprintLine(const nlohmann::json& f) {
  return absl::StrFormat(
      "%s, %d cores, Linux %s, %s, gRPC %s, Protobuf %s, %s, kernels %s, huge pages %s, build %s",
      f.value("processor", ""), f.value("cores", 0), f.value("kernel", ""), f.value("compiler", ""),
      f.value("grpc", ""), f.value("protobuf", ""), f.value("allocator", ""),
      f.value("kernel_target", ""), f.value("transparent_huge_pages", ""), f.value("build", ""));
}

}  // namespace weir
