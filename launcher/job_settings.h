// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_JOB_SETTINGS_H_
#define WEIR_LAUNCHER_JOB_SETTINGS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "launcher/member.h"
#include "launcher/topology.h"
#include "weir/model.h"

namespace weir {

// What a topology's own model and data come to, before anything is started.
struct PreparedModel {
  std::unique_ptr<Model> model;  // null: workers.program trains a model of its own
  uint64_t steps = 0;            // planned; 0: not known
};

// Loads the data, builds the model, and fills in what the topology leaves to them (the length of a
// cosine schedule). INVALID_ARGUMENT, NOT_FOUND, DATA_LOSS: what is wrong with the data or the
// model, with the file and line where there is one.
absl::StatusOr<PreparedModel> PrepareModel(Topology* topology);

// What the members of the topology's job agree on; with `topology` itself, resolved, as YAML.
JobSettings JobSettingsOf(const Topology& topology);

}  // namespace weir

#endif  // WEIR_LAUNCHER_JOB_SETTINGS_H_
