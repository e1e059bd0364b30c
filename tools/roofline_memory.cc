// SPDX-License-Identifier: Apache-2.0
#include "tools/roofline_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;

// Eight floats: what the baseline's registers hold, so that memory is the limit and not the loop.
typedef float Lanes __attribute__((vector_size(32)));

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Sgd(Lanes* w, const Lanes* g, size_t n) {
  for (size_t i = 0; i < n; ++i) w[i] -= 0.125f * g[i];
}

void Momentum(Lanes* w, Lanes* v, const Lanes* g, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    v[i] = 0.5f * v[i] + g[i];
    w[i] -= 0.125f * v[i];
  }
}

void Adam(Lanes* w, Lanes* m, Lanes* v, const Lanes* g, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    m[i] = 0.5f * m[i] + 0.5f * g[i];
    v[i] = 0.5f * v[i] + 0.5f * g[i];
    w[i] -= 0.125f * (m[i] + v[i]);
  }
}

// Memory that is mapped, and all of it touched.
class Mapping {
 public:
  Mapping(uint64_t bytes, bool huge) : bytes_(bytes + kHugePage) {
    void* memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    memory_ = memory;
    madvise(memory_, bytes_, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    std::memset(memory_, 0, bytes_);
  }
  ~Mapping() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // The first address that is a multiple of a huge page; null: there is no memory.
  char* start() const {
    const auto address = reinterpret_cast<uintptr_t>(memory_);
    return reinterpret_cast<char*>((address + kHugePage - 1) / kHugePage * kHugePage);
  }

 private:
  const uint64_t bytes_;
  void* memory_ = nullptr;
};

// The rate of `work`, which moves `bytes`.
template <typename Work>
double Rate(double bytes, const Work& work) {
  const double start = Now();
  work();
  asm volatile("" ::: "memory");
  return bytes / (Now() - start) / 1e6;
}

}  // namespace

absl::StatusOr<MemorySpeed> MeasureMemory(uint64_t bytes, bool huge) {
  bytes = bytes / kHugePage * kHugePage;
  const Mapping mapping(bytes, huge);
  char* const memory = mapping.start();
  if (memory == nullptr || bytes == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("roofline: no ", bytes, " bytes of memory: ", std::strerror(errno)));
  }
  const auto part = [&](size_t parts, size_t i) {
    return reinterpret_cast<Lanes*>(memory + bytes / parts / sizeof(Lanes) * sizeof(Lanes) * i);
  };
  const auto lanes = [&](size_t parts) { return bytes / parts / sizeof(Lanes); };
  const auto moved = [&](size_t parts, double an_element) {
    return static_cast<double>(lanes(parts) * sizeof(Lanes) / sizeof(float)) * an_element;
  };
  MemorySpeed speed;
  speed.memcpy_mb_s = Rate(static_cast<double>(bytes / 2),
                           [&] { std::memcpy(memory + bytes / 2, memory, bytes / 2); });
  speed.sgd_mb_s = Rate(moved(2, 12), [&] { Sgd(part(2, 0), part(2, 1), lanes(2)); });
  speed.momentum_mb_s =
      Rate(moved(3, 20), [&] { Momentum(part(3, 0), part(3, 1), part(3, 2), lanes(3)); });
  speed.adam_mb_s =
      Rate(moved(4, 28), [&] { Adam(part(4, 0), part(4, 1), part(4, 2), part(4, 3), lanes(4)); });
  return speed;
}

}  // namespace weir
