// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "launcher/flags.h"
#include "launcher/process_flags.h"
#include "launcher/run_directory.h"
#include "launcher/verbs.h"
#include "tools/load_fingerprint.h"
#include "tools/load_flags.h"
#include "tools/load_hosts.h"
#include "tools/load_process.h"
#include "tools/load_rows.h"
#include "tools/load_slo.h"
#include "tools/load_table.h"
#include "tools/private_network.h"
#include "tools/rest_flags.h"

// `weir-loadtest`: starts servers and load workers as processes on this machine, drives them,
// checks every answer, and prints one table. Exit codes: 0; 1 a wrong answer, an objective that
// does not hold, or a run that failed; 2 usage; 128 and the number of the signal that ended it.
namespace weir {
namespace {

int Complain(const absl::Status& status, int code) {
  return ExitWith("weir-loadtest", status.message(), code);
}

// Whether the figures can go to the file of --json, before anything is measured. Leaves no file.
absl::Status CheckJsonPath(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const int flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC;
  const auto refused = [&] {
    return absl::ErrnoToStatus(errno, absl::StrCat("--json=", path, ": cannot be written"));
  };
  int file = open(path.c_str(), flags | O_CREAT | O_EXCL, 0644);
  if (file >= 0) {
    close(file);
    return unlink(path.c_str()) == 0 ? absl::OkStatus() : refused();
  }
  if (errno == EEXIST) file = open(path.c_str(), flags);
  if (file < 0) return refused();
  struct stat about {};
  const bool plain = fstat(file, &about) == 0 && S_ISREG(about.st_mode);
  close(file);
  if (plain) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--json=", path, ": is not a plain file"));
}

// All rows and the roofline, in turn, as often as asked for. `hosts`: none when all is on this one.
absl::Status Measure(const LoadCall& call, const NetHosts* hosts, std::vector<LoadResult>* results,
                     std::vector<Roofline>* rooflines, int* interrupted) {
  for (const LoadRow& row : call.rows) {
    results->push_back({row, {}, {}});
    if (hosts == nullptr) continue;
    results->back().row.seat = SeatsOnHosts(*hosts, row.workers);
    results->back().row.namespaces = hosts->keepers();
  }
  for (uint64_t run = 0; run < call.runs; ++run) {
    if (call.roofline) {
      RooflineOptions options;
      options.pin = call.rows.front().pin;
      auto measured = hosts == nullptr
                          ? MeasureRoofline(options)
                          : MeasureRooflineOfHosts(options, *hosts, call.hosts.rate_bits);
      if (!measured.ok()) return measured.status();
      rooflines->push_back(*measured);
    }
    for (LoadResult& result : *results) {
      auto one = RunRow(result.row, interrupted);
      if (!one.ok()) return one.status();
      if (call.roofline) AddShares(result.row, rooflines->back(), &one->figures);
      result.runs.push_back(one->figures);
      result.report = run == 0 ? one->report : Merge({result.report, one->report});
    }
  }
  return absl::OkStatus();
}

absl::Status Judge(const std::vector<LoadObjective>& objectives,
                   const std::vector<LoadResult>& results) {
  for (const LoadResult& result : results) {
    if (result.report.wrong > 0) {
      return absl::DataLossError(
          absl::StrCat(result.report.wrong, " answers were wrong (", result.row.Label(), ")"));
    }
  }
  for (const LoadResult& result : results) {
    if (absl::Status status = CheckSlo(objectives, result.row.Label(), result.runs); !status.ok())
      return status;
  }
  return absl::OkStatus();
}

int RunCall(const LoadCall& call, const NetHosts* hosts) {
  const auto objectives = ParseSlo(call.slo);
  if (!objectives.ok()) return Complain(objectives.status(), kExitUsage);
  if (absl::Status status = CheckJsonPath(call.json); !status.ok())
    return Complain(status, kExitUsage);
  std::vector<LoadResult> results;
  std::vector<Roofline> rooflines;
  int interrupted = 0;
  if (absl::Status status = Measure(call, hosts, &results, &rooflines, &interrupted); !status.ok())
    return Complain(status, interrupted == 0 ? 1 : 128 + interrupted);
  const nlohmann::json machine = MachineFingerprint();
  std::cout << FingerprintLine(machine) << "\n\n" << FormatTable(results, rooflines, *objectives);
  if (!call.json.empty()) {
    const std::string text = ToJson(results, rooflines, machine).dump(2) + "\n";
    if (absl::Status status = WriteFile(call.json, text, 0644); !status.ok())
      return Complain(status, 1);
  }
  const absl::Status judged = Judge(*objectives, results);
  return judged.ok() ? 0 : Complain(judged, 1);
}

// As RunCall, on hosts that are gone when it returns.
int RunCallOnHosts(const LoadCall& call) {
  const auto code = RunInPrivateNetwork([&call] {
    const auto hosts = NetHosts::Make(call.hosts);
    return hosts.ok() ? RunCall(call, hosts->get()) : Complain(hosts.status(), 1);
  });
  return code.ok() ? *code : Complain(code.status(), 1);
}

}  // namespace

int CmdLoadtest(const std::string& program, const std::vector<std::string>& words) {
  FlagTable table = LoadFlagTable(program);
  AddCompareFlags(&table);
  const auto line = ParseCommandLine(table, words);
  if (!line.ok()) return Complain(line.status(), kExitUsage);
  if (line->help) {
    std::cout << HelpText(table);
    return 0;
  }
  if (const std::optional<int> code = RunCompareFlags()) return *code;
  const auto call = LoadCallOfFlags(line->repeated);
  if (!call.ok()) return Complain(call.status(), kExitUsage);
  if (!call->as_peer.empty()) {
    const absl::Status served = RunAsLoadPeer(call->as_peer, call->host);
    return served.ok() ? 0 : Complain(served, 1);
  }
  if (call->as_worker.empty())
    return call->hosts.count > 0 ? RunCallOnHosts(*call) : RunCall(*call, nullptr);
  const absl::Status status = RunAsLoadWorker(call->as_worker);
  return status.ok() ? 0 : Complain(status, 1);
}

}  // namespace weir
