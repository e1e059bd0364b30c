// SPDX-License-Identifier: Apache-2.0
#include "launcher/job_of_process.h"

#include <gflags/gflags.h>
#include <string.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "launcher/job_model.h"
#include "launcher/job_settings.h"
#include "launcher/load_topology.h"
#include "launcher/process_flags.h"
#include "launcher/run_directory.h"

DEFINE_string(topology, "", "the job's topology file");

namespace weir {
namespace {

constexpr char kBareTopology[] = "version: 1\nname: job\nworkers:\n  program: [started by hand]\n";

}  // namespace

std::optional<Topology> TopologyOfProcess(std::vector<std::string> settings) {
  if (FLAGS_servers > 0) settings.push_back(absl::StrCat("servers.count=", FLAGS_servers));
  if (FLAGS_workers > 0) settings.push_back(absl::StrCat("workers.count=", FLAGS_workers));
  if (!FLAGS_topology.empty()) return AcceptTopology(LoadTopology(FLAGS_topology, settings));
  TopologySource source;
  source.text = kBareTopology;
  source.file = "the command line";
  source.settings = std::move(settings);
  return AcceptTopology(ParseTopology(source));
}

absl::StatusOr<Membership::Options> JobOfProcess(Topology* topology, std::string token) {
  if (WorkerSetsLearningRate(*topology)) {
    absl::StatusOr<PreparedModel> prepared = PrepareModel(topology);
    if (!prepared.ok()) return prepared.status();
  }
  Membership::Options options;
  const std::string id = RandomBytes(options.job_id.size());
  memcpy(options.job_id.data(), id.data(), id.size());
  options.job_token = std::move(token);
  options.settings = JobSettingsOf(*topology);
  options.codecs = topology->codec;
  options.restart_workers.limit = static_cast<uint32_t>(topology->restart.workers);
  options.restart_workers.window = topology->restart.window;
  options.restart_workers.backoff = topology->restart.backoff;
  absl::Status status = Membership::CheckSettings(options.settings);
  if (!status.ok()) return status;
  return options;
}

}  // namespace weir
