// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tools/rest_conductor.h"
#include "tools/rest_lane.h"
#include "tools/rest_load.h"
#include "tools/rest_memory.h"
#include "tools/rest_plan.h"
#include "tools/rest_server.h"
#include "tools/rest_store.h"
#include "weir/worker.h"

namespace weir {
namespace {

// Does what the conductor says: `answer` answers each command but the last, and those to free
// memory, which `free_memory` does.
absl::Status Play(
    Player* player, const std::function<void()>& free_memory,
    const std::function<absl::StatusOr<nlohmann::json>(const nlohmann::json&)>& answer) {
  for (;;) {
    const auto command = player->Next();
    if (!command.ok()) return command.status();
    if (command->contains("end")) return player->Answer(nlohmann::json(true));
    if (command->contains("free_memory")) {
      free_memory();
      ReturnFreeMemory();
    }
    const auto said = command->contains("free_memory")
                          ? absl::StatusOr<nlohmann::json>(nlohmann::json(true))
                          : answer(*command);
    if (absl::Status status = player->Answer(said); !status.ok()) return status;
    if (!said.ok()) return said.status();
  }
}

absl::Status PlayWorker(Player* player, const std::function<void()>& free_memory,
                        CompareLoad* load) {
  return Play(player, free_memory,
              [load](const nlohmann::json& command) -> absl::StatusOr<nlohmann::json> {
                const auto phase = ComparePhaseFromJson(command);
                if (!phase.ok()) return phase.status();
                const auto result = load->Run(*phase);
                if (!result.ok()) return result.status();
                return ToJson(*result);
              });
}

// Memory of no Worker's.
TensorMemory PlainMemory(size_t bytes) {
  constexpr std::align_val_t kAlign{64};
  return {std::shared_ptr<void>(::operator new(bytes, kAlign),
                                [](void* block) { ::operator delete(block, kAlign); }),
          bytes};
}

// A worker's first call: the versions that its first gradients are based on.
absl::Status PullOnce(const LoadProfile& profile, Worker* worker) {
  WeirLane lane(worker);
  for (const uint32_t tensor : CompareTensors(profile)) {
    const auto pulled =
        lane.Pull(tensor, static_cast<size_t>(ElementCount(profile.tensors[tensor].shape)));
    if (!pulled.ok()) return pulled.status();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunRestServer(const std::string& plan_path, uint32_t rank) {
  const auto plan = ReadComparePlan(plan_path);
  if (!plan.ok()) return plan.status();
  const auto profile = MakeLoadProfile(plan->profile);
  if (!profile.ok()) return profile.status();
  const auto form = ParseRestForm(plan->form);
  if (!form.ok()) return form.status();
  const auto places = PlaceTensors(*profile, plan->servers);
  if (!places.ok()) return places.status();
  std::vector<std::pair<std::string, size_t>> tensors;
  for (size_t t = 0; t < places->size(); ++t) {
    const TensorSpec& tensor = profile->tensors[t];
    if ((*places)[t] == rank)
      tensors.emplace_back(tensor.name, static_cast<size_t>(ElementCount(tensor.shape)));
  }
  RestStore store(tensors, kCompareLearningRate);
  const auto server = RestServer::Start(*form, &store);
  if (!server.ok()) return server.status();
  const auto player = Player::Join(plan->socket, plan->group, rank, {{"port", (*server)->port()}});
  if (!player.ok()) return player.status();
  const auto free_memory = [&] {
    (*server)->FreeMemory();
    store.FreeMemory();
  };
  return Play(player->get(), free_memory,
              [](const nlohmann::json&) -> absl::StatusOr<nlohmann::json> {
                return absl::UnimplementedError("a REST server only serves until the end");
              });
}

absl::Status RunRestWorker(const std::string& plan_path, uint32_t rank) {
  const auto plan = ReadComparePlan(plan_path);
  if (!plan.ok()) return plan.status();
  const auto profile = MakeLoadProfile(plan->profile);
  if (!profile.ok()) return profile.status();
  const auto form = ParseRestForm(plan->form);
  if (!form.ok()) return form.status();
  if (plan->ports.size() != plan->servers)
    return absl::InvalidArgumentError("a worker of the comparison needs the port of each server");
  auto places = PlaceTensors(*profile, plan->servers);
  if (!places.ok()) return places.status();
  RestPlacement placement;
  for (const TensorSpec& tensor : profile->tensors) placement.names.push_back(tensor.name);
  placement.servers = *std::move(places);
  placement.ports = plan->ports;
  RestMemory memory;
  CompareLoad load(*profile, rank, plan->workers, PlainMemory(CompareGradientBytes(*profile)),
                   [&] { return std::make_unique<RestLane>(*form, placement, &memory); });
  const auto player = Player::Join(plan->socket, plan->group, rank, nullptr);
  if (!player.ok()) return player.status();
  return PlayWorker(
      player->get(), [&memory] { memory.Clear(); }, &load);
}

absl::Status RunComparedWorker(const std::string& plan_path) {
  const auto plan = ReadComparePlan(plan_path);
  if (!plan.ok()) return plan.status();
  const auto profile = MakeLoadProfile(plan->profile);
  if (!profile.ok()) return profile.status();
  const Result<Options> options = Options::FromEnvironment();
  if (!options.ok()) return absl::FailedPreconditionError(options.status().ToString());
  Result<std::unique_ptr<Worker>> connected = Worker::Connect(options.value());
  if (!connected.ok()) return absl::UnavailableError(connected.status().ToString());
  Worker* const worker = connected->get();
  if (const Status declared = worker->Declare(profile->tensors); !declared.ok())
    return absl::UnavailableError(declared.ToString());
  if (absl::Status status = PullOnce(*profile, worker); !status.ok()) return status;
  Result<TensorMemory> gradients = worker->Allocate(CompareGradientBytes(*profile));
  if (!gradients.ok()) return absl::ResourceExhaustedError(gradients.status().ToString());
  CompareLoad load(*profile, worker->job().rank, plan->workers, *gradients,
                   [worker] { return std::make_unique<WeirLane>(worker); });
  const auto player = Player::Join(plan->socket, plan->group, worker->job().rank, nullptr);
  if (!player.ok()) return player.status();
  const auto nothing = [] {};  // its memory is the Worker's to keep
  if (absl::Status status = PlayWorker(player->get(), nothing, &load); !status.ok()) {
    (void)worker->Fail(std::string(status.message()));
    return status;
  }
  const Status left = worker->Leave();
  return left.ok() ? absl::OkStatus() : absl::InternalError(left.ToString());
}

}  // namespace weir
