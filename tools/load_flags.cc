// SPDX-License-Identifier: Apache-2.0
#include "tools/load_flags.h"

#include <gflags/gflags.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "launcher/job_of_process.h"
#include "launcher/process_flags.h"

DEFINE_string(profile, "resnet50",
              "tensors to move: resnet50, mlp, transformer or uniform:COUNTxSIZE");
DEFINE_string(transport, "tcp",
              "how payloads travel: auto, tcp, uds, shm; with commas: a row each");
DEFINE_string(codec, "f32", "how values travel: f32, f16, bf16, int8; with commas: a row each");
DEFINE_uint64(steps, 30, "counted push-pulls of the whole model, of each worker, 1 to 100000");
DEFINE_uint64(warmup_steps, 3, "push-pulls before these, not counted");
DEFINE_uint64(pulls, 2000, "counted pulls of the smallest tensor, 1 to 1000000");
DEFINE_uint64(each_pulls, 1000, "counted pulls of one tensor, drawn in turn from all; 0: none");
DEFINE_uint64(loaded_pulls, 200, "pulls of the smallest while push-pulls are under way; 0: none");
DEFINE_uint64(model_pulls, 5, "pulls of the whole model, changed and unchanged in turn; 0: none");
DEFINE_uint64(outstanding, 1, "steps in flight of each worker, 1 to 64");
DEFINE_double(rate_hz, 0, "begin so many steps a second, ended or not; 0: each after the last");
DEFINE_double(pull_rate_hz, 0, "begin so many pulls a second; 0: each after the last");
DEFINE_double(compute_ms, 0, "sleep so long before each step, as a gradient would take");
DEFINE_int64(conflicts, 0, "drive version conflicts instead: so many steps that may be stale");
DEFINE_string(pin, "none",
              "keep the processes to one core (same), servers to one and workers to "
              "another (apart), or none");
DEFINE_uint64(runs, 1, "repetitions, interleaved; figures are medians beside lowest and highest");
DEFINE_uint64(
    hosts, 0,
    "give the processes so many hosts in network namespaces, workers first, then servers; "
    "0: all on this one");
DEFINE_string(rate, "", "with --hosts: limit each host's link, each way, as 1gbit; empty: not");
DEFINE_bool(roofline, false, "measure what the machine can do at all, and print the share of it");
DEFINE_string(json, "", "write the figures to this file too");
DEFINE_string(slo, "", "exit with 1 unless it holds: 'pull_us_p99<500,wrong=0'");
DEFINE_string(connect, "", "host:port of a running job's coordinator: start nothing but workers");
DEFINE_string(as_worker, "", "be one load worker, with the options of this file");

namespace weir {
namespace {

constexpr uint64_t kMaxRuns = 1000;
constexpr int32_t kMaxProcesses = 64;

LoadOptions OptionsOfFlags() {
  LoadOptions load;
  load.profile = FLAGS_profile;
  load.warmup_steps = FLAGS_warmup_steps;
  load.steps = FLAGS_steps;
  load.pulls = FLAGS_pulls;
  load.each_pulls = FLAGS_each_pulls;
  load.loaded_pulls = FLAGS_loaded_pulls;
  load.model_pulls = FLAGS_model_pulls;
  load.outstanding = FLAGS_outstanding;
  load.rate_hz = FLAGS_rate_hz;
  load.pull_rate_hz = FLAGS_pull_rate_hz;
  load.compute_ms = FLAGS_compute_ms;
  load.conflicts = FLAGS_conflicts;
  return load;
}

// A count of processes: 0, not given, is 1.
absl::StatusOr<uint32_t> Processes(const char* flag, int32_t value) {
  if (value >= 0 && value <= kMaxProcesses) return static_cast<uint32_t>(value == 0 ? 1 : value);
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": from 1 to ", kMaxProcesses));
}

absl::Status CheckTogether() {
  if (!FLAGS_connect.empty() && !FLAGS_topology.empty())
    return absl::InvalidArgumentError("--connect and --topology: one of them");
  if (FLAGS_hosts > 0 && (!FLAGS_connect.empty() || !FLAGS_topology.empty()))
    return absl::InvalidArgumentError("--hosts are made for processes that are started here");
  if (FLAGS_hosts == 0 && !FLAGS_rate.empty())
    return absl::InvalidArgumentError("--rate is that of the links of --hosts");
  if (!FLAGS_token_file.empty() && FLAGS_connect.empty())
    return absl::InvalidArgumentError("--token_file is the running job's: it goes with --connect");
  if (FLAGS_runs >= 1 && FLAGS_runs <= kMaxRuns) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--runs=", FLAGS_runs, ": from 1 to ", kMaxRuns));
}

absl::StatusOr<NetHostsOptions> HostsOfFlags() {
  NetHostsOptions hosts;
  if (FLAGS_hosts > kMaxNetHosts) {
    return absl::InvalidArgumentError(
        absl::StrCat("--hosts=", FLAGS_hosts, ": from 1 to ", kMaxNetHosts, ", or 0 for none"));
  }
  hosts.count = static_cast<uint32_t>(FLAGS_hosts);
  if (FLAGS_rate.empty()) return hosts;
  const auto rate = ParseLinkRate(FLAGS_rate);
  if (!rate.ok()) return rate.status();
  hosts.rate_bits = *rate;
  return hosts;
}

}  // namespace

FlagTable LoadFlagTable(const std::string& program) {
  FlagTable table;
  table.usage = program + " [flags]";
  table.about =
      "Starts servers and workers on this machine, moves a model's gradients and weights between "
      "them, checks\n"
      "every value that comes back, and prints what it measured. docs/performance.md says what "
      "each figure means.\n\n"
      "Exits with 0; 1: a wrong answer, an --slo that does not hold, or a run that failed; 2: "
      "usage; 128 + n for signal n.";
  table.flags = {"profile",     "servers",      "workers", "transport",    "codec",
                 "steps",       "warmup_steps", "pulls",   "each_pulls",   "loaded_pulls",
                 "model_pulls", "outstanding",  "rate_hz", "pull_rate_hz", "compute_ms",
                 "conflicts",   "pin",          "hosts",   "rate",         "runs",
                 "roofline",    "json",         "slo",     "connect",      "token_file",
                 "topology",    "as_worker"};
  table.repeated = "set";
  table.repeated_help = "set a key of the topology, as in --set servers.shards=2";
  table.instead = {{"servers", "how many servers, 1 to 64 (default 1)"},
                   {"workers", "how many workers, 1 to 64 (default 1)"},
                   {"token_file", "with --connect: a file with the running job's token"},
                   {"topology", "run the load workers of this topology, on its hosts"},
                   {"as_worker", ""}};
  return table;
}

absl::StatusOr<LoadCall> LoadCallOfFlags(const std::vector<std::string>& settings) {
  LoadCall call;
  call.as_worker = FLAGS_as_worker;
  if (!call.as_worker.empty()) return call;
  if (absl::Status status = CheckTogether(); !status.ok()) return status;
  LoadRow row;
  row.load = OptionsOfFlags();
  if (absl::Status status = CheckLoadOptions(row.load); !status.ok()) return status;
  const auto servers = Processes("servers", FLAGS_servers);
  if (!servers.ok()) return servers.status();
  const auto workers = Processes("workers", FLAGS_workers);
  if (!workers.ok()) return workers.status();
  const auto pin = ParseLoadPin(FLAGS_pin);
  if (!pin.ok()) return pin.status();
  row.servers = *servers;
  row.workers = *workers;
  row.pin = *pin;
  row.settings = settings;
  const auto hosts = HostsOfFlags();
  if (!hosts.ok()) return hosts.status();
  call.hosts = *hosts;
  row.topology_file = FLAGS_topology;
  row.connect = FLAGS_connect;
  row.token_file = FLAGS_token_file;
  for (const absl::string_view transport : absl::StrSplit(FLAGS_transport, ',')) {
    for (const absl::string_view codec : absl::StrSplit(FLAGS_codec, ',')) {
      row.transport = std::string(transport);
      if (call.hosts.count > 0 && transport != "tcp" && transport != "auto") {
        return absl::InvalidArgumentError(
            absl::StrCat("--transport=", transport, ": between --hosts it is tcp or auto"));
      }
      row.codec = row.load.codec = std::string(codec);
      const auto topology = TopologyOf(row, {"weir-loadtest"});
      if (!topology.ok()) return topology.status();
      call.rows.push_back(row);
    }
  }
  call.runs = FLAGS_runs;
  call.roofline = FLAGS_roofline;
  call.json = FLAGS_json;
  call.slo = FLAGS_slo;
  return call;
}

}  // namespace weir
