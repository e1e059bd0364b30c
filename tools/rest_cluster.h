// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_CLUSTER_H_
#define WEIR_TOOLS_REST_CLUSTER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/kernel_counters.h"
#include "tools/load_report.h"
#include "tools/rest_conductor.h"
#include "tools/rest_load.h"
#include "tools/rest_plan.h"

namespace weir {

// One of the systems compared.
struct ComparedForm {
  std::string name;       // of its rows: "weir tcp", "json-base64"
  std::string transport;  // of Weir; empty: REST
  std::string rest;       // as ParseRestForm takes it; empty: Weir
};

// Where a comparison's processes come from and go.
struct CompareSetup {
  std::string profile = "resnet50";
  uint32_t servers = 1;
  uint32_t workers = 1;
  std::string program_dir;  // where weir and weir-loadtest lie
  std::string directory;    // exists; for plans, logs and sockets
};

// The processes of one form: its servers and workers, and for Weir what `weir run` starts besides.
// They stay up from Start to End and are idle but for their phases. One thread, which lives as long
// as they do. Forks. Whatever still runs when it is destroyed is killed.
class ComparedCluster {
 public:
  ComparedCluster(ComparedForm form, CompareSetup setup);
  ~ComparedCluster();

  ComparedCluster(const ComparedCluster&) = delete;
  ComparedCluster& operator=(const ComparedCluster&) = delete;

  // Starts everything and waits for it. `conductor` is used until the end. INTERNAL: a process
  // ended; the message has the last lines of its log. Those of Conductor::Await.
  absl::Status Start(Conductor* conductor);

  // One phase of all workers at once. Their results added. As Conductor::Ask.
  absl::StatusOr<PhaseResult> Run(const ComparePhase& phase);

  // Has a REST form's processes give back what memory they keep from request to request; the next
  // phase takes it anew. As Conductor::Ask.
  absl::Status FreeMemory();

  // Ends all processes in order. INTERNAL: one ended otherwise. DATA_LOSS: Weir left no summary of
  // its sessions.
  absl::Status End();

  // OK, or INTERNAL when a process has ended that should not have.
  absl::Status Check();

  const ComparedForm& form() const { return form_; }
  const CompareSetup& setup() const { return setup_; }
  // TCP connections opened while it started and while its phases ran, and requests answered.
  const TcpCounts& opened() const { return opened_; }
  uint64_t exchanges() const { return exchanges_; }
  // After End, of Weir: what its servers counted until they ended.
  const ServerTotals& servers() const { return servers_; }

 private:
  struct Process {
    std::string name;
    pid_t pid = 0;
    std::optional<int> wait_status;
  };

  bool weir() const { return form_.rest.empty(); }
  std::string Group(const char* role) const { return form_.name + " " + role; }
  std::string Path(const std::string& name) const;
  absl::StatusOr<std::string> WritePlan(const char* role, const std::vector<int>& ports);
  absl::Status StartWeir();
  absl::Status StartRest();
  absl::Status StartProcesses(const char* role, uint32_t count, const std::string& flag);
  absl::Status Launch(const std::string& name, const std::vector<std::string>& argv);
  absl::Status ReadSummary();
  absl::Status Failed(const Process& process);
  void Count(const TcpCounts& before);

  const ComparedForm form_;
  const CompareSetup setup_;
  Conductor* conductor_ = nullptr;
  std::vector<Process> processes_;
  TcpCounts opened_;
  uint64_t exchanges_ = 0;
  ServerTotals servers_;
};

}  // namespace weir

#endif  // WEIR_TOOLS_REST_CLUSTER_H_
