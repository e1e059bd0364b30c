// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/scenario.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/sim/random.h"

namespace weir::sim {
namespace {

constexpr uint64_t kSliceElements = 64;
constexpr uint64_t kMaxSlicesOfTensor = 3;

// Tensors that are cut into `slices` slices of at most kSliceElements.
std::vector<TensorShape> DrawTensors(uint64_t slices, Random* random) {
  std::vector<TensorShape> tensors;
  while (slices > 0) {
    const uint64_t mine = random->Between(1, std::min(slices, kMaxSlicesOfTensor));
    const uint64_t count =
        (mine - 1) * kSliceElements + random->Between(mine == 1 ? 4 : 34, kSliceElements);
    TensorShape tensor;
    tensor.name = absl::StrCat("tensor", tensors.size());
    tensor.shape = {static_cast<int64_t>(count)};
    tensor.initializer.kind =
        random->Chance(50) ? InitializerSpec::Kind::kNormal : InitializerSpec::Kind::kUniform;
    tensor.initializer.a = -0.5;
    tensor.initializer.b = 0.5;
    tensors.push_back(tensor);
    slices -= mine;
  }
  return tensors;
}

OptimizerSpec DrawOptimizer(Random* random) {
  OptimizerSpec optimizer;
  optimizer.type = static_cast<OptimizerType>(random->Below(7));
  optimizer.weight_decay = random->Chance(30) ? 0.01 : 0;
  optimizer.clip_value = random->Chance(20) ? 0.5 : 0;
  return optimizer;
}

ScheduleSpec DrawSchedule(Random* random) {
  ScheduleSpec schedule;
  schedule.base_rate = 0.01;
  schedule.warmup_steps = random->Chance(30) ? 3 : 0;
  if (random->Chance(30)) {
    schedule.type = ScheduleType::kStep;
    schedule.every = 5;
    schedule.gamma = 0.5;
  }
  return schedule;
}

// Wide ones and narrow ones, where the client must wait for credits.
ShardLimits DrawLimits(Random* random) {
  ShardLimits limits;
  limits.max_wait_ms = 4000;
  limits.hello_timeout_ms = 3000;
  limits.write_timeout_ms = 6000;
  limits.max_frame_bytes = 1024 + kSliceElements * sizeof(float);
  if (random->Chance(50)) return limits;
  limits.max_requests = random->Between(2, 12);
  limits.max_push_bytes = random->Between(limits.max_frame_bytes, 3 * limits.max_frame_bytes);
  limits.max_reply_bytes = random->Between(3200, 6400);
  return limits;
}

void DrawMode(Random* random, Scenario* scenario) {
  ShardOptions& shard = scenario->shard;
  const uint64_t mode = random->Below(100);
  shard.mode = mode < 35   ? ConsistencyMode::kBsp
               : mode < 65 ? ConsistencyMode::kSsp
                           : ConsistencyMode::kAsp;
  shard.gradient_shards = static_cast<uint32_t>(random->Between(1, 9));
  shard.workers = scenario->workers;
  if (scenario->ssp() || (!scenario->bsp() && random->Chance(70)))
    shard.max_staleness = random->Between(0, 3);
}

std::vector<PlannedFault> DrawFaults(Random* random) {
  std::vector<PlannedFault> faults(random->Between(Scenario::kMinFaults, 12));
  bool epoch_changes = false;
  for (PlannedFault& fault : faults) {
    fault.after_ended = random->Between(3, Scenario::kMinEnded - 30);
    do {
      fault.kind = static_cast<FaultKind>(random->Below(static_cast<uint64_t>(FaultKind::kCount)));
    } while (fault.kind == FaultKind::kEpochChange && epoch_changes);
    epoch_changes = epoch_changes || fault.kind == FaultKind::kEpochChange;
  }
  std::sort(faults.begin(), faults.end(), [](const PlannedFault& a, const PlannedFault& b) {
    return a.after_ended < b.after_ended;
  });
  return faults;
}

void FillSettings(Scenario* scenario, uint32_t shards) {
  JobSettings& job = scenario->job;
  job.name = "simulated";
  job.servers = shards;
  job.shards = shards;
  job.workers = scenario->workers;
  job.gradient_shards = scenario->shard.gradient_shards;
  job.mode = static_cast<uint32_t>(scenario->shard.mode);
  job.has_max_staleness = scenario->shard.max_staleness.has_value();
  job.max_staleness = scenario->shard.max_staleness.value_or(0);
  job.slice_bytes = kSliceElements * sizeof(float);
  job.seed = scenario->seed;
}

}  // namespace

Scenario MakeScenario(uint64_t seed) {
  Random random(Mix(seed, 1));
  Scenario scenario;
  scenario.seed = seed;
  scenario.workers = static_cast<uint32_t>(random.Between(2, 6));
  const uint32_t shards = static_cast<uint32_t>(random.Between(1, 4));
  DrawMode(&random, &scenario);
  scenario.shard.optimizer = DrawOptimizer(&random);
  scenario.shard.schedule = DrawSchedule(&random);
  scenario.shard.limits = DrawLimits(&random);
  scenario.shard.seed = seed;
  scenario.shard.job_id.fill(static_cast<uint8_t>(seed));
  scenario.shard.job_token = random.Chance(50) ? "secret" : "";
  FillSettings(&scenario, shards);
  const std::vector<TensorShape> tensors = DrawTensors(random.Between(3, 12), &random);
  scenario.layout = MakeLayout(tensors, scenario.job.slice_bytes, shards, 1).value();
  scenario.faults = DrawFaults(&random);
  scenario.shortest_delay = absl::Microseconds(50);
  scenario.longest_delay = absl::Microseconds(random.Between(200, 20000));
  scenario.longest_job = absl::Microseconds(random.Between(50, 10000));
  scenario.call_deadline = absl::Milliseconds(random.Between(2000, 12000));
  return scenario;
}

std::string Scenario::Describe() const {
  std::string text = absl::StrCat("seed ", seed, ": ", job.shards, " shards, ", workers,
                                  " workers, ", layout.slices.size(), " slices, ",
                                  bsp()   ? "bsp"
                                  : ssp() ? "ssp"
                                          : "asp");
  if (bsp()) absl::StrAppend(&text, ", G = ", shard.gradient_shards);
  if (shard.max_staleness) absl::StrAppend(&text, ", max_staleness ", *shard.max_staleness);
  absl::StrAppend(&text, ", ", OptimizerName(shard.optimizer.type), ", ", faults.size(), " faults");
  return text;
}

}  // namespace weir::sim
