// SPDX-License-Identifier: Apache-2.0
#include "launcher/server_shards.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/build_info.h"
#include "core/safetensors.h"
#include "launcher/topology_parse.h"

namespace weir {

absl::StatusOr<std::map<std::string, Payload>> FirstWeights(const std::string& path) {
  absl::StatusOr<std::unique_ptr<SafetensorsFile>> opened = SafetensorsFile::Open(path);
  if (!opened.ok()) return opened.status();
  const std::shared_ptr<const SafetensorsFile> file = *std::move(opened);
  std::map<std::string, Payload> weights;
  std::vector<std::string> others;
  for (const SafetensorsEntry& tensor : file->tensors()) {
    if (tensor.dtype != "F32")
      others.push_back(absl::StrCat("'", tensor.name, "' is ", tensor.dtype));
    weights[tensor.name].Append(tensor.data.data(), tensor.data.size(), file);
  }
  if (!others.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": first weights must be F32: ", absl::StrJoin(others, ", ")));
  }
  return weights;
}

absl::StatusOr<ShardOptions> ShardOptionsOf(const JobSettings& settings) {
  TopologySource source;
  source.text = settings.topology;
  source.file = "the job's topology";
  const ParsedTopology parsed = ParseTopology(source);
  if (!parsed.ok()) return absl::InvalidArgumentError(parsed.errors[0].ToString());
  const Topology::Train& train = parsed.topology.train;
  ShardOptions options;
  options.mode = static_cast<ConsistencyMode>(settings.mode);
  if (settings.has_max_staleness) options.max_staleness = settings.max_staleness;
  options.gradient_shards = settings.gradient_shards;
  options.workers = settings.workers;
  options.optimizer = train.optimizer;
  options.schedule = train.schedule;
  options.seed = settings.seed;
  options.build_id = BuildId();
  if (settings.init_path.empty()) return options;
  absl::StatusOr<std::map<std::string, Payload>> weights = FirstWeights(settings.init_path);
  if (!weights.ok()) return weights.status();
  options.init_weights = *std::move(weights);
  return options;
}

}  // namespace weir
