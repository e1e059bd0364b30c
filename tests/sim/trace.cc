// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/trace.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/sim/random.h"

namespace weir::sim {

void Trace::Event(uint64_t micros, const char* what, std::initializer_list<Field> fields,
                  const std::string& note) {
  hash_ = Mix(hash_ ^ micros);
  Bits(what, std::strlen(what));
  for (const Field& field : fields) hash_ = Mix(hash_ ^ field.value);
  if (lines_ == Lines::kNone) return;
  std::string line = absl::StrFormat("%12.3f ms  %-14s", static_cast<double>(micros) / 1e3, what);
  for (const Field& field : fields) absl::StrAppend(&line, " ", field.name, "=", field.value);
  if (!note.empty()) absl::StrAppend(&line, "  ", note);
  if (lines_ == Lines::kPrint) std::printf("%s\n", line.c_str());
  last_.push_back(std::move(line));
  if (last_.size() > kLinesKept) last_.pop_front();
}

void Trace::Bits(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    uint64_t word = bytes;
    const size_t run = std::min(bytes, sizeof(word));
    std::memcpy(&word, at, run);
    hash_ = (hash_ ^ word) * 0x9fb21c651e98df25;
    hash_ ^= hash_ >> 29;
    at += run;
    bytes -= run;
  }
}

void Trace::Bits(const Payload& payload) {
  for (const Payload::Chunk& chunk : payload.chunks()) Bits(chunk.data, chunk.size);
}

}  // namespace weir::sim
