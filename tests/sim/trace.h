// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_TRACE_H_
#define WEIR_TESTS_SIM_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <string>

#include "core/payload.h"

namespace weir::sim {

// What happened, as one running hash of every event with the bits of its payload; and, when lines
// are kept, as text. Two runs of a seed have the same hash, or the simulation is not deterministic.
class Trace {
 public:
  struct Field {
    const char* name;
    uint64_t value;
  };
  enum class Lines { kNone, kLast, kPrint };

  explicit Trace(Lines lines) : lines_(lines) {}

  void Event(uint64_t micros, const char* what, std::initializer_list<Field> fields,
             const std::string& note = "");
  // Adds bits to the hash.
  void Bits(const void* data, size_t bytes);
  void Bits(const Payload& payload);

  uint64_t hash() const { return hash_; }
  const std::deque<std::string>& last() const { return last_; }

 private:
  static constexpr size_t kLinesKept = 30;

  const Lines lines_;
  uint64_t hash_ = 0;
  std::deque<std::string> last_;
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_TRACE_H_
