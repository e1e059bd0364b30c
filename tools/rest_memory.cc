// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_memory.h"

#include <malloc.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tools/rest_body.h"
#include "tools/rest_load.h"

// jemalloc's; null where it is not linked.
extern "C" int mallctl(const char* name, void* old, size_t* old_size, void* value, size_t size)
    __attribute__((weak));

namespace weir {
namespace {

// Of a process, beside what moves: measured.
constexpr double kRestBytes = 15e6;
constexpr double kWeirWorkerBytes = 60e6;
constexpr double kWeirServerBytes = 60e6;
// Weights, those before them, and those that readers still have.
constexpr double kModels = 3;

// Bytes resident on both sides for each byte of floats that a REST request moves, at its worst
// moment.
double RestBytesPerByte(const std::string& form) {
  // A client's text, its document of 16 bytes a number, which grows by doubling, and the values; a
  // server's document and text, which grows by doubling.
  if (form == RestFormName(RestForm::kNumbers)) return 16;
  // A client's text, its document, the bytes of that, and the values; a server's text and document.
  if (form == RestFormName(RestForm::kBase64)) return 8;
  return 4;  // a client's text and the values; a server's text
}
// Of Weir: what is on its way, and what has been lent.
constexpr double kWeirBytesPerByte = 2;

// The largest of a profile's tensors that `in_flight` requests move at once.
double LargestBytes(const LoadProfile& profile, uint32_t in_flight) {
  std::vector<double> bytes;
  for (const TensorSpec& tensor : profile.tensors)
    bytes.push_back(sizeof(float) * static_cast<double>(ElementCount(tensor.shape)));
  std::sort(bytes.rbegin(), bytes.rend());
  double sum = 0;
  for (size_t i = 0; i < in_flight; ++i) sum += bytes[i % bytes.size()];
  return sum;
}

double SizeBytes(const LoadProfile& profile, const CompareOptions& options,
                 const CompareOptions::Size& size) {
  const uint32_t most = *std::max_element(options.in_flight.begin(), options.in_flight.end());
  const double moving = size.workers * LargestBytes(profile, most);
  const double model = sizeof(float) * static_cast<double>(profile.parameters());
  const double gradients =
      static_cast<double>(size.workers) * static_cast<double>(CompareGradientBytes(profile));
  const double weir = size.workers * kWeirWorkerBytes + size.servers * kWeirServerBytes +
                      kModels * model + gradients + kWeirBytesPerByte * moving;
  double at_rest = 0, slow = 0, turn = 0;
  for (const std::string& form : options.forms) {
    const double idle = (size.workers + size.servers) * kRestBytes + model + gradients;
    const double busy = (kModels - 1) * model + RestBytesPerByte(form) * moving;
    if (form == RestFormName(RestForm::kNumbers)) {
      slow = idle + busy;  // before the others begin
    } else {
      at_rest += idle;
      turn = std::max(turn, busy);
    }
  }
  return std::max(slow, static_cast<double>(options.transports.size()) * weir + at_rest + turn);
}

}  // namespace

uint64_t CompareMemoryBytes(const LoadProfile& profile, const CompareOptions& options) {
  double most = 0;
  for (const CompareOptions::Size& size : options.sizes)
    most = std::max(most, SizeBytes(profile, options, size));
  return static_cast<uint64_t>(most);
}

absl::Status CheckMemory(uint64_t needed, uint64_t available) {
  if (needed <= available || available == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "the comparison needs about %.1f GB of memory, and %.1f GB are available: ask for fewer "
      "--workers, a smaller --in_flight, or fewer --compare_forms",
      static_cast<double>(needed) / 1e9, static_cast<double>(available) / 1e9));
}

void ReturnFreeMemory() {
  // All arenas: MALLCTL_ARENAS_ALL is 4096.
  if (mallctl == nullptr || mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0) != 0)
    malloc_trim(0);
}

}  // namespace weir
