// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_SERVER_SHARDS_H_
#define WEIR_LAUNCHER_SERVER_SHARDS_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "core/payload.h"
#include "launcher/member.h"
#include "ps/shard.h"

namespace weir {

// What a shard of this job is to be, but for its number and the job's id, token and epoch: mode,
// optimizer, schedule and first weights, from the settings and the topology in them.
// INVALID_ARGUMENT: the topology cannot be read. NOT_FOUND, DATA_LOSS and the like: the file of
// first weights.
absl::StatusOr<ShardOptions> ShardOptionsOf(const JobSettings& settings);

// The tensors of a safetensors file, by name, borrowed from its mapping. INVALID_ARGUMENT: some are
// not F32; all are listed.
absl::StatusOr<std::map<std::string, Payload>> FirstWeights(const std::string& path);

}  // namespace weir

#endif  // WEIR_LAUNCHER_SERVER_SHARDS_H_
