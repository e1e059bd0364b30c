// SPDX-License-Identifier: Apache-2.0
#include "launcher/topology.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "launcher/counted.h"
#include "launcher/topology_schema.h"
#include "launcher/topology_value.h"

namespace weir {

bool operator==(const Topology& a, const Topology& b) {
  const std::vector<TopologyKey>& keys = TopologyKeys();
  return std::all_of(keys.begin(), keys.end(), [&](const TopologyKey& key) {
    return ValueText(key, a) == ValueText(key, b);
  });
}

int64_t GradientShards(const Topology& topology) {
  return topology.train.gradient_shards.value_or(topology.workers.count);
}

double ExpectedAdmittedShare(ModeType mode, int64_t workers, std::optional<int64_t> max_staleness) {
  if (mode != ModeType::kAsp || !max_staleness.has_value()) return 1;
  return std::min(1.0, (static_cast<double>(*max_staleness) + 1) / static_cast<double>(workers));
}

std::string PromiseOf(const Topology& topology) {
  if (topology.consistency.mode == ModeType::kBsp && HasErrorFeedback(topology.codec)) {
    return "Not the same bits: error feedback (codec) keeps what its pushes lost in each worker, "
           "so "
           "the weights depend on "
           "which worker pushed what, and on none being replaced.";
  }
  if (topology.consistency.mode == ModeType::kBsp && EncodesPushes(topology.codec)) {
    return absl::StrCat(
        "Same bits for ", Counted(topology.workers.count, "worker"),
        ": gradients are rounded (codec) as each worker sums them up, so the weights are bit for "
        "bit the same for any number of servers and shards and for any order of arrival, as long "
        "as workers.count stays ",
        topology.workers.count, ", train.gradient_shards ", GradientShards(topology),
        " and slice_bytes ", topology.slice_bytes,
        topology.workers.program.empty() ? "."
                                         : ", and workers.program computes the same gradients.");
  }
  if (topology.consistency.mode == ModeType::kBsp) {
    return absl::StrCat(
        "Same bits: the weights are bit for bit the same for any number of servers, shards and "
        "workers and for any order of "
        "arrival, as long as train.gradient_shards stays ",
        GradientShards(topology),
        topology.workers.program.empty() ? "."
                                         : " and workers.program computes the same gradients.");
  }
  if (topology.consistency.mode == ModeType::kSsp) {
    return absl::StrCat(
        "Not the same bits: the weights depend on the order in which pushes arrive. Each push "
        "still counts exactly once, and no worker reads, nor does its push count, while it is more "
        "than ",
        Counted(*topology.consistency.max_staleness, "step"), " ahead of the slowest.");
  }
  return "Not the same bits: the weights depend on the order in which pushes arrive. Each push "
         "still counts exactly once, "
         "and none that is stale is applied.";
}

}  // namespace weir
