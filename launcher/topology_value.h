// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_TOPOLOGY_VALUE_H_
#define WEIR_LAUNCHER_TOPOLOGY_VALUE_H_

#include <optional>
#include <string>

#include "launcher/topology.h"
#include "launcher/topology_schema.h"
#include "launcher/yaml_reader.h"

namespace weir {

// What a value of the key must be: "a whole number from 1 to 1024".
std::string Expectation(const TopologyKey& key);

// Reads `value` into its place in `*topology`; or says what is wrong with it, and where, and
// changes nothing. Relative paths are taken to be below `directory`.
std::optional<YamlProblem> ReadValue(const TopologyKey& key, const YamlNode& value,
                                     const std::string& directory, Topology* topology);

// The value as YAML on one line that ReadValue() reads back to the same value; "" if there is none
// (an empty text or list, an optional without a value).
std::string ValueText(const TopologyKey& key, const Topology& topology);

// Puts the default back.
void ResetValue(const TopologyKey& key, Topology* topology);

// The first condition under which the key has an effect that does not hold; null if all hold.
const Condition* UnmetCondition(const TopologyKey& key, const Topology& topology);

// "two, three or four" of a condition's values, as words: "train.optimizer.type: momentum or
// nesterov".
std::string ConditionWords(const Condition& condition);

}  // namespace weir

#endif  // WEIR_LAUNCHER_TOPOLOGY_VALUE_H_
