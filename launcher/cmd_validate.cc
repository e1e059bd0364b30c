// SPDX-License-Identifier: Apache-2.0
#include <gflags/gflags.h>
#include <stdio.h>

#include "absl/strings/str_format.h"
#include "launcher/flags.h"
#include "launcher/job_settings.h"
#include "launcher/load_topology.h"
#include "launcher/process_flags.h"
#include "launcher/topology_print.h"
#include "launcher/verbs.h"
#include "models/matrix.h"

DEFINE_bool(keys, false, "print the page of all keys (docs/topology.md), and check nothing");
DEFINE_bool(resolved, false, "print the topology with every default filled in");

namespace weir {
namespace {

// (What is low of it the topology's own warnings say.)
void PrintStaleness(const Topology& topology) {
  absl::PrintF("Expected share of pushes admitted at once: %.2f\n",
               ExpectedAdmittedShare(topology.consistency.mode, topology.workers.count,
                                     topology.consistency.max_staleness));
}

// `model` is null where workers.program has one of its own.
void WarnOfCodecs(const Topology& topology, const Model* model) {
  if (model == nullptr) return;
  std::vector<TensorShape> tensors;
  for (const TensorSpec& tensor : model->Tensors())
    tensors.push_back({tensor.name, tensor.shape, {}});
  for (const std::string& pattern : UnusedPatterns(topology.codec, tensors)) {
    absl::FPrintF(stderr, "warning: %s\n", UnusedPatternWarning(pattern));
  }
}

}  // namespace

int CmdValidate(const std::string& program, const std::vector<std::string>& words) {
  FlagTable table;
  table.usage = program + " FILE [--set key.path=value ...]";
  table.about =
      "Checks a topology and its data, and says what the run would promise. Starts nothing.";
  table.flags = {"resolved", "keys"};
  table.repeated = "set";
  table.repeated_help = "set a key of the topology, as in --set workers.count=4";
  table.max_arguments = 1;
  absl::StatusOr<CommandLine> line = ParseCommandLine(table, words);
  if (!line.ok()) return ExitWith(program, line.status().message(), kExitUsage);
  if (line->help) {
    fputs(HelpText(table).c_str(), stdout);
    return 0;
  }
  if (FLAGS_keys) {
    fputs(TopologyKeysPage().c_str(), stdout);
    return 0;
  }
  if (line->arguments.empty()) return ExitWith(program, "FILE is missing", kExitUsage);
  std::optional<Topology> topology =
      AcceptTopology(LoadTopology(line->arguments[0], line->repeated));
  if (!topology) return kExitBadTopology;
  FixEigenArithmetic();
  absl::StatusOr<PreparedModel> prepared = PrepareModel(&*topology);
  if (!prepared.ok()) return ExitWith(program, prepared.status().message(), kExitBadTopology);

  if (FLAGS_resolved) fputs(ResolvedYaml(*topology).c_str(), stdout);
  absl::PrintF("%s is a good topology: %d servers, %d workers", line->arguments[0],
               topology->servers.count, topology->workers.count);
  if (prepared->steps > 0) absl::PrintF(", %d steps", prepared->steps);
  absl::PrintF(".\n%s\n", PromiseOf(*topology));
  PrintStaleness(*topology);
  WarnOfCodecs(*topology, prepared->model.get());
  return 0;
}

}  // namespace weir
