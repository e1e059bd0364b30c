// SPDX-License-Identifier: Apache-2.0
#include "launcher/job_settings.h"

#include <algorithm>
#include <utility>

#include "launcher/job_model.h"
#include "launcher/topology_print.h"
#include "models/classifier.h"

namespace weir {
namespace {

// weir.v1.Mode.
uint32_t WireMode(ModeType mode) {
  switch (mode) {
    case ModeType::kBsp:
      return 1;
    case ModeType::kAsp:
      return 2;
    case ModeType::kSsp:
      return 3;
    case ModeType::kQuorum:  // not built yet: no topology has it
      break;
  }
  return 0;
}

// TransportType counts from 0 in the order of weir.v1.Transport, whose 0 is UNSPECIFIED.
uint32_t WireTransport(TransportType type) { return static_cast<uint32_t>(type) + 1; }

}  // namespace

absl::StatusOr<PreparedModel> PrepareModel(Topology* topology) {
  PreparedModel prepared;
  if (!topology->workers.program.empty()) return prepared;
  Result<std::unique_ptr<Model>> model = MakeModel(ModelOptionsOf(*topology));
  // The codes are named alike; what matters to the caller is the sentence.
  if (!model.ok()) return absl::InvalidArgumentError(model.status().message());
  prepared.model = std::move(model).value();
  prepared.steps = static_cast<uint64_t>(topology->train.epochs) * prepared.model->StepsPerEpoch();
  ScheduleSpec& schedule = topology->train.schedule;
  const bool whole_run = WorkerSetsLearningRate(*topology);
  schedule = ScheduleOf(*topology, prepared.steps);
  // A run shorter than its warm-up ends within it.
  if (whole_run) schedule.total_steps = std::max(schedule.total_steps, schedule.warmup_steps + 1);
  return prepared;
}

JobSettings JobSettingsOf(const Topology& topology) {
  JobSettings settings;
  settings.name = topology.name;
  settings.servers = static_cast<uint32_t>(topology.servers.count);
  settings.shards = static_cast<uint32_t>(topology.servers.count * topology.servers.shards);
  settings.workers = static_cast<uint32_t>(topology.workers.count);
  settings.gradient_shards = static_cast<uint32_t>(GradientShards(topology));
  settings.mode = WireMode(topology.consistency.mode);
  settings.has_max_staleness = topology.consistency.max_staleness.has_value();
  settings.max_staleness = static_cast<uint64_t>(topology.consistency.max_staleness.value_or(0));
  settings.slice_bytes = static_cast<uint64_t>(topology.slice_bytes);
  settings.seed = static_cast<uint64_t>(topology.train.seed);
  settings.topology = ResolvedYaml(topology);
  settings.init_path = topology.train.init;
  settings.transport = WireTransport(topology.transport);
  return settings;
}

}  // namespace weir
