// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_TOPOLOGY_ROW_H_
#define WEIR_LAUNCHER_TOPOLOGY_ROW_H_

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "launcher/topology_schema.h"

// How the rows of the schema are written; only topology_keys_*.cc include this.

// The place of a member, as a function: WEIR_FIELD(servers.count).
#define WEIR_FIELD(member) [](Topology& topology) { return AsTopologyField(&topology.member); }

namespace weir {

template <typename T>
Field AsTopologyField(T* member) {
  if constexpr (std::is_enum_v<T>) {
    return ChoiceField(member);
  } else {
    return member;
  }
}

// Fills in one row, so that the rows below read like sentences.
class TopologyRow {
 public:
  TopologyRow(const char* path, KeyType type, Field (*field)(Topology&)) {
    key_.path = path;
    key_.type = type;
    key_.field = field;
    if (type == KeyType::kText || type == KeyType::kName || type == KeyType::kTexts) key_.max = 256;
    if (type == KeyType::kName) key_.max = 64;
    if (type == KeyType::kPath) key_.max = 4096;
  }
  TopologyRow& Means(const char* meaning) { return key_.meaning = meaning, *this; }
  TopologyRow& Example(const char* example) { return key_.example = example, *this; }
  TopologyRow& Unit(const char* unit) { return key_.unit = unit, *this; }
  TopologyRow& Between(double min, double max) { return key_.min = min, key_.max = max, *this; }
  TopologyRow& MinExcluded() { return key_.min_excluded = true, *this; }
  TopologyRow& MaxExcluded() { return key_.max_excluded = true, *this; }
  TopologyRow& AtMostItems(size_t count) { return key_.max_items = count, *this; }
  TopologyRow& OneOf(std::vector<Choice> choices) {
    return key_.choices = std::move(choices), *this;
  }
  TopologyRow& Default(const char* words) { return key_.default_note = words, *this; }
  TopologyRow& Required() { return key_.required = true, *this; }
  TopologyRow& NotYet(const char* instead) { return key_.not_yet = instead, *this; }
  TopologyRow& OnlyWith(const char* key, std::vector<std::string> values) {
    key_.conditions.push_back({key, std::move(values)});
    return *this;
  }
  // For what weir-worker does, and a program of the user's own does in its own way.
  TopologyRow& OnlyBuiltInWorker() { return OnlyWith("workers.program", {""}); }

  // NOLINTNEXTLINE(google-explicit-constructor): so that a list of rows is a list of keys.
  operator TopologyKey() const { return key_; }

 private:
  TopologyKey key_;
};

// The rows, by topic, in the order of TopologyKeys().
std::vector<TopologyKey> ClusterTopologyKeys();
std::vector<TopologyKey> TrainTopologyKeys();
std::vector<TopologyKey> LaterTopologyKeys();

}  // namespace weir

#endif  // WEIR_LAUNCHER_TOPOLOGY_ROW_H_
