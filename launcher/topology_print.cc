// SPDX-License-Identifier: Apache-2.0
#include "launcher/topology_print.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "launcher/topology_schema.h"
#include "launcher/topology_value.h"

namespace weir {
namespace {

constexpr char kPageStart[] = R"(# The topology file

One YAML file describes a cluster and the job that it runs. `weir validate FILE` checks it, `weir run FILE` runs it, and
`--set key.path=value` (as often as needed) replaces or adds one value by the same path and with the same checks:

```
weir run digits.yaml --set workers.count=4 --set 'train.hidden=[64, 32]'
```

Keys are nested: `servers.count` below is `count:` under `servers:`. The smallest topology:

```yaml
version: 1
train:
  model: softmax
  batch: 30
  dataset: {format: csv, path: iris.csv, test_fraction: 0.2}
```

Rules

- Every mistake is an error with its line and column, and all of them are shown at once: an unknown key (with the nearest
  known one), a key given twice, a value of the wrong type or out of its limits, a missing key, anchors, aliases and tags.
- A key that has no effect beside the others is an error. It is ignored with a warning when it belongs to a data format that
  is not in use, to a worker that `workers.program` replaces, or when a `--set` took its effect away.
- A relative path is relative to the topology file; in a `--set`, to the current directory.
- What is *not built yet* is known by name and refused.

This page is printed by `weir validate --keys`.

)";

constexpr char kPageEnd[] = R"(## How the bits depend on the topology

- `bsp`: the trained weights are bit for bit the same for any number of servers, shards and workers and any order of arrival,
  as long as `train.gradient_shards` stays the same. It defaults to `workers.count`: give it to keep the bits while
  `workers.count` changes. With a push `codec` other than f32, `workers.count` and `slice_bytes` must stay the same too:
  gradients are rounded as each worker sums them up. With `error_feedback` the promise does not hold: what a worker's pushes
  lost is kept in that worker alone. `weir validate` says which promise a topology keeps.
- `ssp`: the weights depend on the order in which pushes arrive. With `max_staleness: s` a worker reads, and its push counts, only
  while it has finished at most s steps more than the slowest; else it waits. `s = 0` is lockstep, but not the same bits: each
  push is an update of its own.
- `asp`: the weights depend on the order in which pushes arrive. With `max_staleness: s` and W workers that commit at once about
  (s + 1) / W of the pushes are admitted; the others are answered *stale* and computed again. `weir validate` prints the
  expected share and warns under 0.9.
)";

std::string DefaultWords(const TopologyKey& key) {
  if (key.required) return "**required**";
  if (*key.default_note != '\0') return key.default_note;
  return absl::StrCat("`", ValueText(key, Topology{}), "`");
}

// Choices are listed with what is not built yet; other types by what they expect.
std::string ValueWords(const TopologyKey& key) {
  if (key.type != KeyType::kChoice) return Expectation(key);
  return absl::StrJoin(key.choices, ", ", [](std::string* out, const Choice& choice) {
    absl::StrAppend(out, "`", choice.name, "`",
                    choice.not_yet == nullptr ? "" : " (not built yet)");
  });
}

std::string MeaningWords(const TopologyKey& key) {
  std::string words = key.meaning;
  for (const Condition& condition : key.conditions) {
    // True of nearly every key of train: said once, above the table.
    if (!condition.values.empty() && condition.values.front().empty()) continue;
    absl::StrAppend(&words, " Only with ", ConditionWords(condition), ".");
  }
  if (*key.unit != '\0') absl::StrAppend(&words, " Unit: ", key.unit, ".");
  if (key.not_yet != nullptr) absl::StrAppend(&words, " *Not built yet: ", key.not_yet, ".*");
  return words;
}

std::string SectionTitle(const std::string& top) {
  if (top == "train")
    return "## train\n\nOf these, a `workers.program` is trained with `seed`, `gradient_shards`, "
           "`init`, "
           "`optimizer` and `schedule`; the rest is for the built-in worker.\n\n";
  return absl::StrCat("## ", top.empty() ? "Top level" : top, "\n\n");
}

std::string Cell(const std::string& text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); }

}  // namespace

std::string ResolvedYaml(const Topology& topology) {
  std::string yaml;
  std::vector<std::string> open;  // the section that the last line stands in
  for (const TopologyKey& key : TopologyKeys()) {
    const std::string value = ValueText(key, topology);
    if (value.empty() || UnmetCondition(key, topology) != nullptr) continue;
    std::vector<std::string> section = absl::StrSplit(key.path, '.');
    const std::string name = section.back();
    section.pop_back();
    size_t same = 0;
    while (same < std::min(open.size(), section.size()) && open[same] == section[same]) ++same;
    for (size_t i = same; i < section.size(); ++i)
      absl::StrAppend(&yaml, std::string(2 * i, ' '), section[i], ":\n");
    absl::StrAppend(&yaml, std::string(2 * section.size(), ' '), name, ": ", value, "\n");
    open = section;
  }
  return yaml;
}

std::string TopologyKeysPage() {
  std::vector<std::string> tops = {""};  // first what stands at the top level
  for (const std::string& name : NamesInSection("")) {
    if (FindTopologyKey(name) == nullptr) tops.push_back(name);
  }
  std::string page = kPageStart;
  for (const std::string& top : tops) {
    absl::StrAppend(&page, SectionTitle(top),
                    "| key | value | default | meaning | example |\n"
                    "| --- | --- | --- | --- | --- |\n");
    for (const TopologyKey& key : TopologyKeys()) {
      const std::vector<std::string> names = absl::StrSplit(key.path, '.');
      if ((names.size() == 1 ? "" : names.front()) != top) continue;
      absl::StrAppend(&page, "| `", key.path, "` | ", Cell(ValueWords(key)), " | ",
                      Cell(DefaultWords(key)), " | ", Cell(MeaningWords(key)), " | `",
                      Cell(key.example), "` |\n");
    }
    absl::StrAppend(&page, "\n");
  }
  return absl::StrCat(page, kPageEnd);
}

}  // namespace weir
