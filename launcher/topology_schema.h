// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_TOPOLOGY_SCHEMA_H_
#define WEIR_LAUNCHER_TOPOLOGY_SCHEMA_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "launcher/topology.h"

namespace weir {

// A member that is an enum, seen as the index of its value. The enum counts from 0 in the order of
// TopologyKey::choices.
class ChoiceField {
 public:
  template <typename Enum>
  explicit ChoiceField(Enum* value)
      : value_(value),
        get_([](const void* value) {
          return static_cast<size_t>(*static_cast<const Enum*>(value));
        }),
        set_([](void* value, size_t index) {
          *static_cast<Enum*>(value) = static_cast<Enum>(index);
        }) {}

  size_t Get() const { return get_(value_); }
  void Set(size_t index) const { set_(value_, index); }

 private:
  void* value_;
  size_t (*get_)(const void*);
  void (*set_)(void*, size_t);
};

// Where the value of a key lies in one Topology. Borrowed from it.
using Field = std::variant<int64_t*, uint64_t*, std::optional<int64_t>*, double*,
                           std::optional<double>*, std::string*, std::vector<std::string>*,
                           std::vector<int64_t>*, absl::Duration*, ChoiceField, CodecChoice*>;

enum class KeyType {
  kInteger,   // int64_t, optional<int64_t>, uint64_t (where 0 is below the limits, it means: not
              // given)
  kNumber,    // double, optional<double>
  kBytes,     // int64_t; 65536, 64KiB or 1MiB
  kDuration,  // absl::Duration; 200ms, 5s, 1h
  kChoice,    // an enum
  kText,      // std::string
  kName,      // std::string of letters, digits, '.', '_' and '-'
  kPath,      // std::string, absolute after parsing
  kTexts,     // vector<string>
  kIntegers,  // vector<int64_t>
  kCodecs,    // CodecChoice
};

struct Choice {
  const char* name;
  const char* not_yet = nullptr;  // what to use until it is built; null: it is built
};

// A key counts only while `key` has one of `values`; with no values: while it has any but none.
struct Condition {
  const char* key;
  std::vector<std::string> values;
};

// All there is to know about one key. The default is the member's initial value in Topology.
struct TopologyKey {
  const char* path = "";
  KeyType type = KeyType::kText;
  Field (*field)(Topology&) = nullptr;
  const char* meaning = "";  // one sentence
  const char* example = "";  // a value, as YAML
  const char* unit = "";     // of numbers
  double min = 0;            // of numbers, and of each item of kIntegers; seconds for kDuration
  double max = 0;
  bool min_excluded = false;          // "over 0"
  bool max_excluded = false;          // "below 1"
  size_t max_items = 0;               // of lists
  std::vector<Choice> choices;        // of kChoice
  std::vector<Condition> conditions;  // all must hold; else the key has no effect
  bool required = false;              // while its conditions hold
  const char* default_note = "";      // the default in words, where it depends on other keys
  const char* not_yet =
      nullptr;  // what happens until it is built; any value but the default is refused
};

// Every key, in the order in which a topology is printed: the keys of one section stand together.
const std::vector<TopologyKey>& TopologyKeys();

// The row of that path, or null.
const TopologyKey* FindTopologyKey(absl::string_view path);

// The names directly below `section` ("" is the root, else "train", "train.optimizer" ...), in
// order; empty if there is no such section.
std::vector<std::string> NamesInSection(absl::string_view section);

}  // namespace weir

#endif  // WEIR_LAUNCHER_TOPOLOGY_SCHEMA_H_
