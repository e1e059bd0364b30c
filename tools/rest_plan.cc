// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/layout.h"
#include "launcher/run_directory.h"

namespace weir {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ComparePlan, socket, group, profile, form, servers, workers,
                                   ports)

namespace {

constexpr uint32_t kMaxProcesses = 64;
constexpr size_t kMaxPlanBytes = size_t{64} << 10;
constexpr uint64_t kWholeTensors = uint64_t{1} << 43;  // longer than any tensor

}  // namespace

nlohmann::json ToJson(const ComparePlan& plan) { return plan; }

absl::StatusOr<ComparePlan> ComparePlanFromJson(const nlohmann::json& json) {
  try {
    const ComparePlan plan = json.get<ComparePlan>();
    const auto in_range = [](uint32_t count) { return count >= 1 && count <= kMaxProcesses; };
    const bool ports = std::all_of(plan.ports.begin(), plan.ports.end(),
                                   [](int port) { return port > 0 && port < 65536; });
    if (in_range(plan.servers) && in_range(plan.workers) && ports) return plan;
    return absl::InvalidArgumentError("a plan of the comparison: a number out of its range");
  } catch (const nlohmann::json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("no plan of the comparison: ", e.what()));
  }
}

absl::StatusOr<ComparePlan> ReadComparePlan(const std::string& path) {
  const auto text = ReadFile(path, kMaxPlanBytes);
  if (!text.ok()) return text.status();
  return ComparePlanFromJson(nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false));
}

absl::StatusOr<std::vector<uint32_t>> PlaceTensors(const LoadProfile& profile, uint32_t servers) {
  std::vector<TensorShape> shapes;
  for (const TensorSpec& tensor : profile.tensors)
    shapes.push_back({tensor.name, tensor.shape, {}});
  const auto layout = MakeLayout(shapes, kWholeTensors, servers, /*epoch=*/1);
  if (!layout.ok()) return layout.status();
  std::vector<uint32_t> places(profile.tensors.size());
  for (const SliceSpec& slice : layout->slices) places[slice.tensor_id - 1] = slice.shard;
  return places;
}

}  // namespace weir
