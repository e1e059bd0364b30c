// SPDX-License-Identifier: Apache-2.0
#include "tools/load_flags.h"

#include <gflags/gflags.h>

#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/codec.h"
#include "launcher/job_of_process.h"
#include "launcher/process_flags.h"
#include "net/spin.h"

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
DEFINE_string(
    values, "lent",
    "how a step's values reach the worker: lent, read where they come, or copied to its memory");
DEFINE_double(rate_hz, 0, "begin so many steps a second, ended or not; 0: each after the last");
DEFINE_double(pull_rate_hz, 0, "begin so many pulls a second; 0: each after the last");
DEFINE_double(compute_ms, 0, "sleep so long before each step, as a gradient would take");
DEFINE_string(mode, "full",
              "what takes part: full; net (gRPC messages alone), echo (frames and sessions, no "
              "shard), apply (a shard's arithmetic alone)");
DEFINE_uint64(memory_mark_steps, 0,
              "note the servers' peak of memory after so many counted steps too, and how much it "
              "grew until the last; 0: not");
DEFINE_int64(conflicts, 0,
             "drive version conflicts instead: so many steps that may be stale, by 4 and by 16 "
             "workers unless --workers says");
DEFINE_string(max_staleness, "0,3", "with --conflicts: the bounds; with commas: a row each");
DEFINE_string(as_peer, "", "be the server's end of this mode");
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
  load.mode = FLAGS_mode;
  load.profile = FLAGS_profile;
  load.warmup_steps = FLAGS_warmup_steps;
  load.steps = FLAGS_steps;
  load.pulls = FLAGS_pulls;
  load.each_pulls = FLAGS_each_pulls;
  load.loaded_pulls = FLAGS_loaded_pulls;
  load.model_pulls = FLAGS_model_pulls;
  load.outstanding = FLAGS_outstanding;
  load.values = FLAGS_values;
  load.rate_hz = FLAGS_rate_hz;
  load.pull_rate_hz = FLAGS_pull_rate_hz;
  load.compute_ms = FLAGS_compute_ms;
  load.conflicts = FLAGS_conflicts;
  load.memory_mark_steps = FLAGS_memory_mark_steps;
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
  if (FLAGS_memory_mark_steps > 0 && !FLAGS_connect.empty())
    return absl::InvalidArgumentError(
        "--memory_mark_steps is of servers that are started here: without --connect");
  if (FLAGS_hosts == 0 && !FLAGS_rate.empty())
    return absl::InvalidArgumentError("--rate is that of the links of --hosts");
  if (!FLAGS_token_file.empty() && FLAGS_connect.empty())
    return absl::InvalidArgumentError("--token_file is the running job's: it goes with --connect");
  if (FLAGS_conflicts > 0 && (!FLAGS_connect.empty() || !FLAGS_topology.empty()))
    return absl::InvalidArgumentError(
        "--conflicts starts its own jobs: without --connect and --topology");
  if (FLAGS_mode != "full" &&
      (!FLAGS_connect.empty() || !FLAGS_topology.empty() || FLAGS_servers > 1))
    return absl::InvalidArgumentError(
        absl::StrCat("--mode=", FLAGS_mode, " has no servers of a job"));
  if (FLAGS_mode != "full" && !FLAGS_spin_us.empty())
    return absl::InvalidArgumentError(
        absl::StrCat("--spin_us is of servers and workers: not with --mode=", FLAGS_mode));
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

// What all rows have in common.
absl::StatusOr<LoadRow> RowOfFlags(const std::vector<std::string>& settings) {
  LoadRow row;
  row.load = OptionsOfFlags();
  const auto servers = Processes("servers", FLAGS_servers);
  if (!servers.ok()) return servers.status();
  const auto workers = Processes("workers", FLAGS_workers);
  if (!workers.ok()) return workers.status();
  const auto pin = ParseLoadPin(FLAGS_pin);
  if (!pin.ok()) return pin.status();
  const auto spin = ParseSpin("--spin_us", FLAGS_spin_us);
  if (!spin.ok()) return spin.status();
  row.servers = *servers;
  row.workers = *workers;
  row.pin = *pin;
  row.spin_us = FLAGS_spin_us;
  row.settings = settings;
  row.topology_file = FLAGS_topology;
  row.connect = FLAGS_connect;
  row.token_file = FLAGS_token_file;
  return row;
}

const char* NameOf(TransportType transport) {
  switch (transport) {
    case TransportType::kAuto:
      return "auto";
    case TransportType::kTcp:
      return "tcp";
    case TransportType::kUds:
      return "uds";
    case TransportType::kShm:
      return "shm";
  }
  return "";
}

// Adds `row` if it can be run, with the transport and the codec that its topology comes to.
absl::Status AddRow(LoadRow row, LoadCall* call) {
  if (call->hosts.count > 0 && row.transport != "tcp" && row.transport != "auto") {
    return absl::InvalidArgumentError(
        absl::StrCat("--transport=", row.transport, ": between --hosts it is tcp or auto"));
  }
  if (row.load.mode != "full" && row.transport != "tcp") {
    return absl::InvalidArgumentError(
        absl::StrCat("--mode=", row.load.mode, " measures tcp, not ", row.transport));
  }
  row.load.asks_servers = row.load.mode == "full" && row.connect.empty();
  if (absl::Status status = CheckLoadOptions(row.load); !status.ok()) return status;
  const auto topology = TopologyOf(row, {"weir-loadtest"});
  if (!topology.ok()) return topology.status();
  row.servers = static_cast<uint32_t>(topology->servers.count);
  row.workers = static_cast<uint32_t>(topology->workers.count);
  row.transport = NameOf(topology->transport);
  row.codec = row.load.codec = CodecName(Specified(topology->codec.all.pull));
  if (row.load.conflicts == 0 && topology->consistency.max_staleness) {
    return absl::InvalidArgumentError(
        "a load has no stale pushes, so the topology may have no consistency.max_staleness; "
        "--conflicts drives them");
  }
  call->rows.push_back(std::move(row));
  return absl::OkStatus();
}

// With --conflicts: `row` for each bound, and for 4 and 16 workers where no count is given.
absl::Status AddConflicts(const LoadRow& row, LoadCall* call) {
  for (const absl::string_view bound : absl::StrSplit(FLAGS_max_staleness, ',')) {
    int64_t staleness = 0;
    if (!absl::SimpleAtoi(bound, &staleness) || staleness < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--max_staleness: '", bound, "' is no count of versions"));
    }
    std::vector<uint32_t> counts = {4, 16};
    if (FLAGS_workers > 0) counts = {row.workers};
    for (const uint32_t workers : counts) {
      LoadRow one = row;
      one.workers = workers;
      one.max_staleness = staleness;
      if (absl::Status status = AddRow(std::move(one), call); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status AddRows(LoadRow row, LoadCall* call) {
  for (const absl::string_view transport : absl::StrSplit(FLAGS_transport, ',')) {
    for (const absl::string_view codec : absl::StrSplit(FLAGS_codec, ',')) {
      row.transport = std::string(transport);
      row.codec = row.load.codec = std::string(codec);
      const absl::Status status =
          row.load.conflicts > 0 ? AddConflicts(row, call) : AddRow(row, call);
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

constexpr const char* kFlags[] = {"profile",
                                  "servers",
                                  "workers",
                                  "transport",
                                  "codec",
                                  "steps",
                                  "warmup_steps",
                                  "pulls",
                                  "each_pulls",
                                  "loaded_pulls",
                                  "model_pulls",
                                  "outstanding",
                                  "values",
                                  "rate_hz",
                                  "pull_rate_hz",
                                  "compute_ms",
                                  "memory_mark_steps",
                                  "conflicts",
                                  "max_staleness",
                                  "mode",
                                  "pin",
                                  "spin_us",
                                  "hosts",
                                  "rate",
                                  "runs",
                                  "roofline",
                                  "json",
                                  "slo",
                                  "connect",
                                  "token_file",
                                  "topology",
                                  "as_worker",
                                  "as_peer",
                                  "host"};

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
  table.flags.assign(std::begin(kFlags), std::end(kFlags));
  table.repeated = "set";
  table.repeated_help = "set a key of the topology, as in --set servers.shards=2";
  table.instead = {{"servers", "how many servers, 1 to 64 (default 1)"},
                   {"workers", "how many workers, 1 to 64 (default 1)"},
                   {"token_file", "with --connect: a file with the running job's token"},
                   {"spin_us",
                    "microseconds that servers and workers look for frames before they sleep, at "
                    "most 1000000, 0: never; else 30 where there are cores enough"},
                   {"topology", "run the load workers of this topology, on its hosts"},
                   {"as_worker", ""},
                   {"as_peer", ""},
                   {"host", ""}};
  return table;
}

absl::StatusOr<LoadCall> LoadCallOfFlags(const std::vector<std::string>& settings) {
  LoadCall call;
  call.as_worker = FLAGS_as_worker;
  call.as_peer = FLAGS_as_peer;
  call.host = FLAGS_host;
  if (!call.as_worker.empty() || !call.as_peer.empty()) return call;
  if (absl::Status status = CheckTogether(); !status.ok()) return status;
  const auto hosts = HostsOfFlags();
  if (!hosts.ok()) return hosts.status();
  call.hosts = *hosts;
  const auto row = RowOfFlags(settings);
  if (!row.ok()) return row.status();
  if (absl::Status status = AddRows(*row, &call); !status.ok()) return status;
  call.runs = FLAGS_runs;
  call.roofline = FLAGS_roofline;
  call.json = FLAGS_json;
  call.slo = FLAGS_slo;
  return call;
}

}  // namespace weir
