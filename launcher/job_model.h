// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_JOB_MODEL_H_
#define WEIR_LAUNCHER_JOB_MODEL_H_

#include <cstdint>

#include "core/schedule.h"
#include "launcher/topology.h"
#include "models/classifier.h"

namespace weir {

// What the topology says of the built-in worker's model and data, in the words of models/.
ModelOptions ModelOptionsOf(const Topology& topology);

// The topology's schedule with what only a worker knows filled in: a cosine without total_steps
// covers all `steps` of the run.
ScheduleSpec ScheduleOf(const Topology& topology, uint64_t steps);

// True when the servers cannot know the learning rate of a step, since it depends on the number of
// steps: then the worker that holds part 0 sends it along.
bool WorkerSetsLearningRate(const Topology& topology);

}  // namespace weir

#endif  // WEIR_LAUNCHER_JOB_MODEL_H_
