// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_flags.h"

#include <gflags/gflags.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "launcher/process_flags.h"
#include "tools/rest_command.h"
#include "tools/rest_compare.h"
#include "tools/rest_plan.h"

DEFINE_string(compare, "",
              "rest-json: move the same over HTTP/1.1 too, as JSON numbers, as base64 as services "
              "write it, and as base64 as fast as it can be made");
DEFINE_string(table, "",
              "seed: with --compare, print network mode, throughput, P99 latency and connection "
              "reuse beside the reference figures for 16 nodes");
DEFINE_string(in_flight, "1,8", "with --compare: requests in flight of each worker");
DEFINE_string(compare_forms, "json-numbers,json-base64-fast,json-base64",
              "with --compare: the forms of JSON");
DEFINE_double(compare_seconds, 2, "with --compare: how long each phase takes");
DEFINE_string(as_rest_server, "", "be a REST server of the comparison, with the plan of this file");
DEFINE_string(as_rest_worker, "", "be a REST worker of it");
DEFINE_string(as_compared_worker, "", "be a Weir worker of it");
DECLARE_string(profile);
DECLARE_string(transport);
DECLARE_string(json);
DECLARE_uint64(runs);

namespace weir {
namespace {

constexpr uint64_t kRuns = 5;  // unless --runs says otherwise

bool Given(const char* flag) {
  gflags::CommandLineFlagInfo info;
  return gflags::GetCommandLineFlagInfo(flag, &info) && !info.is_default;
}

absl::StatusOr<CompareOptions> OptionsOfFlags() {
  if (FLAGS_compare != "rest-json") {
    return absl::InvalidArgumentError(
        FLAGS_compare.empty() ? "--table is of a comparison: it goes with --compare=rest-json"
                              : absl::StrCat("--compare=", FLAGS_compare, ": it is rest-json"));
  }
  if (!FLAGS_table.empty() && FLAGS_table != "seed")
    return absl::InvalidArgumentError(absl::StrCat("--table=", FLAGS_table, ": it is seed"));
  CompareOptions options;
  options.profile = FLAGS_profile;
  options.seconds = FLAGS_compare_seconds;
  options.runs = Given("runs") ? FLAGS_runs : kRuns;
  options.forms = absl::StrSplit(FLAGS_compare_forms, ',', absl::SkipEmpty());
  if (Given("transport")) options.transports = absl::StrSplit(FLAGS_transport, ',');
  if (FLAGS_workers < 0 || FLAGS_servers < 0)
    return absl::InvalidArgumentError("--workers and --servers: from 1 to 64");
  if (FLAGS_workers != 0 || FLAGS_servers != 0) {
    options.sizes = {{static_cast<uint32_t>(FLAGS_workers == 0 ? 1 : FLAGS_workers),
                      static_cast<uint32_t>(FLAGS_servers == 0 ? 1 : FLAGS_servers)}};
  }
  options.in_flight.clear();
  for (const absl::string_view number : absl::StrSplit(FLAGS_in_flight, ',')) {
    uint32_t in_flight = 0;
    if (!absl::SimpleAtoi(number, &in_flight)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--in_flight=", FLAGS_in_flight, ": numbers with commas between, as 1,8"));
    }
    options.in_flight.push_back(in_flight);
  }
  if (absl::Status status = CheckCompareOptions(options); !status.ok()) return status;
  return options;
}

int Ended(const absl::Status& status, int code) {
  return status.ok() ? 0 : ExitWith("weir-loadtest", status.message(), code);
}

// One of the comparison's processes, where a flag says so.
std::optional<absl::Status> RunAsProcess() {
  if (!FLAGS_as_compared_worker.empty()) return RunComparedWorker(FLAGS_as_compared_worker);
  if (FLAGS_as_rest_server.empty() && FLAGS_as_rest_worker.empty()) return std::nullopt;
  const auto rank = RankOfProcess();
  if (!rank.ok()) return rank.status();
  if (!rank->has_value()) return absl::InvalidArgumentError("--rank is missing");
  return FLAGS_as_rest_server.empty() ? RunRestWorker(FLAGS_as_rest_worker, **rank)
                                      : RunRestServer(FLAGS_as_rest_server, **rank);
}

}  // namespace

void AddCompareFlags(FlagTable* table) {
  for (const char* flag : {"compare", "table", "in_flight", "compare_forms", "compare_seconds",
                           "as_rest_server", "as_rest_worker", "as_compared_worker", "rank"}) {
    table->flags.push_back(flag);
  }
  for (const char* hidden : {"as_rest_server", "as_rest_worker", "as_compared_worker", "rank"})
    table->instead[hidden] = "";
}

std::optional<int> RunCompareFlags() {
  if (const std::optional<absl::Status> ended = RunAsProcess()) return Ended(*ended, 1);
  if (FLAGS_compare.empty() && FLAGS_table.empty()) return std::nullopt;
  const auto options = OptionsOfFlags();
  if (!options.ok()) return Ended(options.status(), kExitUsage);
  return RunCompareCommand(*options, FLAGS_table == "seed", FLAGS_json);
}

}  // namespace weir
