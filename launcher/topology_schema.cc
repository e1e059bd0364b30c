// SPDX-License-Identifier: Apache-2.0
#include "launcher/topology_schema.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "launcher/topology_row.h"

namespace weir {
namespace {

std::vector<TopologyKey> MakeKeys() {
  std::vector<TopologyKey> keys;
  for (auto part : {ClusterTopologyKeys, TrainTopologyKeys, LaterTopologyKeys}) {
    for (TopologyKey& key : part()) keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace

const std::vector<TopologyKey>& TopologyKeys() {
  static const auto* const keys = new std::vector<TopologyKey>(MakeKeys());
  return *keys;
}

const TopologyKey* FindTopologyKey(absl::string_view path) {
  for (const TopologyKey& key : TopologyKeys()) {
    if (path == key.path) return &key;
  }
  return nullptr;
}

std::vector<std::string> NamesInSection(absl::string_view section) {
  const std::string prefix = section.empty() ? "" : absl::StrCat(section, ".");
  std::vector<std::string> names;
  for (const TopologyKey& key : TopologyKeys()) {
    absl::string_view rest = key.path;
    if (!absl::ConsumePrefix(&rest, prefix)) continue;
    const std::string name(rest.substr(0, rest.find('.')));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

}  // namespace weir
