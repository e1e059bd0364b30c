// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_cluster.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "launcher/child_process.h"
#include "launcher/process_end.h"
#include "launcher/run_directory.h"
#include "launcher/topology_print.h"
#include "tools/load_rows.h"

namespace weir {
namespace {

constexpr absl::Duration kStartLimit = absl::Minutes(2);
constexpr absl::Duration kPhaseGrace = absl::Minutes(5);  // beyond the phase's own seconds
constexpr absl::Duration kFreeLimit = absl::Seconds(20);
constexpr absl::Duration kEndLimit = absl::Seconds(20);
constexpr int kLogLines = 30;
constexpr size_t kMaxSummaryBytes = size_t{1} << 20;

}  // namespace

ComparedCluster::ComparedCluster(ComparedForm form, CompareSetup setup)
    : form_(std::move(form)), setup_(std::move(setup)) {}

ComparedCluster::~ComparedCluster() {
  for (const Process& process : processes_) {
    if (process.wait_status) continue;
    kill(-process.pid, SIGKILL);
    while (waitpid(process.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

std::string ComparedCluster::Path(const std::string& name) const {
  return absl::StrCat(setup_.directory, "/",
                      absl::StrReplaceAll(absl::StrCat(form_.name, "-", name), {{" ", "-"}}));
}

absl::Status ComparedCluster::Start(Conductor* conductor) {
  conductor_ = conductor;
  const auto before = ReadTcpCounts();
  if (!before.ok()) return before.status();
  if (absl::Status status = weir() ? StartWeir() : StartRest(); !status.ok()) return status;
  const auto joined = conductor_->Await(Group("worker"), setup_.workers, absl::Now() + kStartLimit);
  if (!joined.ok()) return joined.status();
  Count(*before);
  return absl::OkStatus();
}

void ComparedCluster::Count(const TcpCounts& before) {
  const auto after = ReadTcpCounts();
  if (!after.ok()) return;  // it was read before; then it can be read now
  const TcpCounts more = Since(before, *after);
  opened_.active_opens += more.active_opens;
  opened_.passive_opens += more.passive_opens;
  opened_.retransmitted += more.retransmitted;
}

absl::StatusOr<std::string> ComparedCluster::WritePlan(const char* role,
                                                       const std::vector<int>& ports) {
  ComparePlan plan;
  plan.socket = absl::StrCat(setup_.directory, "/conductor");
  plan.group = Group(role);
  plan.profile = setup_.profile;
  plan.form = form_.rest;
  plan.servers = setup_.servers;
  plan.workers = setup_.workers;
  plan.ports = ports;
  const std::string path = Path(absl::StrCat(role, ".json"));
  if (absl::Status status = WriteFile(path, ToJson(plan).dump(), 0644); !status.ok()) return status;
  return path;
}

absl::Status ComparedCluster::StartWeir() {
  const auto plan = WritePlan("worker", {});
  if (!plan.ok()) return plan.status();
  LoadRow row;
  row.transport = form_.transport;
  row.servers = setup_.servers;
  row.workers = setup_.workers;
  row.load.learning_rate = kCompareLearningRate;
  const auto topology = TopologyOf(row, {absl::StrCat(setup_.program_dir, "/weir-loadtest"),
                                         absl::StrCat("--as_compared_worker=", *plan)});
  if (!topology.ok()) return topology.status();
  const std::string path = Path("topology.yaml");
  if (absl::Status status = WriteFile(path, ResolvedYaml(*topology), 0644); !status.ok())
    return status;
  return Launch("run", {absl::StrCat(setup_.program_dir, "/weir"), "run", path,
                        absl::StrCat("--run_dir=", Path("run"))});
}

absl::Status ComparedCluster::StartRest() {
  auto plan = WritePlan("server", {});
  if (!plan.ok()) return plan.status();
  absl::Status status =
      StartProcesses("server", setup_.servers, absl::StrCat("--as_rest_server=", *plan));
  if (!status.ok()) return status;
  const auto servers =
      conductor_->Await(Group("server"), setup_.servers, absl::Now() + kStartLimit);
  if (!servers.ok()) return servers.status();
  std::vector<int> ports;
  for (const nlohmann::json& server : *servers) ports.push_back(server.value("port", 0));
  plan = WritePlan("worker", ports);
  if (!plan.ok()) return plan.status();
  return StartProcesses("worker", setup_.workers, absl::StrCat("--as_rest_worker=", *plan));
}

absl::Status ComparedCluster::StartProcesses(const char* role, uint32_t count,
                                             const std::string& flag) {
  for (uint32_t rank = 0; rank < count; ++rank) {
    absl::Status status = Launch(
        absl::StrCat(role, "-", rank),
        {absl::StrCat(setup_.program_dir, "/weir-loadtest"), flag, absl::StrCat("--rank=", rank)});
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ComparedCluster::Launch(const std::string& name,
                                     const std::vector<std::string>& argv) {
  ProcessSpec spec;
  spec.argv = argv;
  spec.log_path = Path(absl::StrCat(name, ".log"));
  const auto pid = StartProcess(spec);
  if (!pid.ok()) return pid.status();
  processes_.push_back({name, *pid, std::nullopt});
  return absl::OkStatus();
}

absl::StatusOr<PhaseResult> ComparedCluster::Run(const ComparePhase& phase) {
  const auto before = ReadTcpCounts();
  if (!before.ok()) return before.status();
  const absl::Time limit = absl::Now() + absl::Seconds(phase.seconds) + kPhaseGrace;
  const auto answers = conductor_->Ask(Group("worker"), ToJson(phase), limit);
  if (!answers.ok()) return answers.status();
  Count(*before);
  PhaseResult all;
  for (const nlohmann::json& answer : *answers) {
    const auto one = PhaseResultFromJson(answer);
    if (!one.ok()) return one.status();
    all.Add(*one);
  }
  exchanges_ += all.exchanges;
  return all;
}

absl::Status ComparedCluster::FreeMemory() {
  if (weir()) return absl::OkStatus();
  for (const char* role : {"worker", "server"}) {
    const auto freed =
        conductor_->Ask(Group(role), {{"free_memory", true}}, absl::Now() + kFreeLimit);
    if (!freed.ok()) return freed.status();
  }
  return absl::OkStatus();
}

absl::Status ComparedCluster::Failed(const Process& process) {
  return absl::InternalError(
      absl::StrCat(form_.name, " ", process.name, " ended with ",
                   ProcessEnd::FromWaitStatus(*process.wait_status).Describe(), ":\n",
                   LastLines(Path(absl::StrCat(process.name, ".log")), kLogLines)));
}

absl::Status ComparedCluster::Check() {
  for (Process& process : processes_) {
    int wait_status = 0;
    if (!process.wait_status && waitpid(process.pid, &wait_status, WNOHANG) == process.pid)
      process.wait_status = wait_status;
    if (process.wait_status) return Failed(process);
  }
  return absl::OkStatus();
}

absl::Status ComparedCluster::End() {
  const absl::Time limit = absl::Now() + kEndLimit;
  for (const char* role : {"worker", "server"}) {
    if (weir() && role == std::string("server")) continue;
    const auto ended = conductor_->Ask(Group(role), {{"end", true}}, limit);
    if (!ended.ok()) return ended.status();
  }
  for (Process& process : processes_) {
    int wait_status = 0;
    while (waitpid(process.pid, &wait_status, WNOHANG) != process.pid) {
      if (absl::Now() >= limit) {
        return absl::DeadlineExceededError(
            absl::StrCat(form_.name, " ", process.name, " did not end"));
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
    process.wait_status = wait_status;
    if (!ProcessEnd::FromWaitStatus(wait_status).ok()) return Failed(process);
  }
  return weir() ? ReadSummary() : absl::OkStatus();
}

// What `weir run` says of its servers, once they have ended.
absl::Status ComparedCluster::ReadSummary() {
  const auto text = ReadFile(absl::StrCat(Path("run"), "/summary.json"), kMaxSummaryBytes);
  if (!text.ok()) return text.status();
  try {
    const nlohmann::json summary = nlohmann::json::parse(*text);
    const nlohmann::json& carried = summary.at("transports");
    carried.at("tcp").get_to(servers_.tcp_sessions);
    carried.at("uds").get_to(servers_.uds_sessions);
    carried.at("shm").get_to(servers_.shm_sessions);
    const nlohmann::json& payload = summary.at("payload_bytes");
    payload.at("received").get_to(servers_.received_bytes);
    payload.at("received_copied").get_to(servers_.received_copied_bytes);
    payload.at("sent").get_to(servers_.sent_bytes);
    payload.at("sent_copied").get_to(servers_.sent_copied_bytes);
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(absl::StrCat(form_.name, ": no summary of its run: ", e.what()));
  }
  return absl::OkStatus();
}

}  // namespace weir
