// SPDX-License-Identifier: Apache-2.0
#include "launcher/topology_checks.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "launcher/counted.h"
#include "launcher/job_limits.h"

namespace weir {
namespace {

constexpr double kLowShare = 0.9;  // of pushes admitted: below it a run wastes noticeable work

class Checker {
 public:
  explicit Checker(const Topology& topology) : topology_(topology) {}

  std::vector<TopologyFinding> Run() {
    CheckHosts();
    CheckShards();
    CheckParts();
    CheckConsistency();
    CheckOptimizer();
    CheckSchedule();
    CheckTestSet();
    return std::move(findings_);
  }

 private:
  void Error(std::vector<std::string> keys, std::string message) {
    findings_.push_back({/*is_error=*/true, std::move(keys), std::move(message)});
  }
  void Warning(std::vector<std::string> keys, std::string message) {
    findings_.push_back({/*is_error=*/false, std::move(keys), std::move(message)});
  }

  void CheckHosts() {
    std::set<std::string> seen;
    for (const std::string& host : topology_.hosts) {
      if (!seen.insert(host).second) Error({"hosts"}, absl::StrCat("'", host, "' is named twice"));
      if (host != "localhost" && host != "127.0.0.1") {
        Error({"hosts"},
              absl::StrCat(
                  "'", host,
                  "' is another machine, which is not built yet; use localhost, or start the "
                  "processes by hand"));
      }
    }
  }

  void CheckShards() {
    const int64_t servers = topology_.servers.count, shards = topology_.servers.shards;
    if (servers * shards <= int64_t{kMaxJobShards}) return;
    Error({"servers.shards", "servers.count"},
          absl::StrCat(Counted(servers, "server"), " of ", Counted(shards, "shard"), " are ",
                       servers * shards, " shards, at most ", kMaxJobShards, " make a job"));
  }

  void CheckParts() {
    const int64_t workers = topology_.workers.count, parts = GradientShards(topology_),
                  batch = topology_.train.batch;
    if (workers > parts) {
      Error({"workers.count", "train.gradient_shards"},
            absl::StrCat(workers, " workers share the ", Counted(parts, "part"),
                         " of a step (train.gradient_shards), and each needs at "
                         "least one: lower workers.count or raise train.gradient_shards"));
    }
    if (!topology_.workers.program.empty() || parts <= batch) return;
    if (topology_.train.gradient_shards.has_value()) {
      Error({"train.gradient_shards", "train.batch"},
            absl::StrCat("a batch of ", batch, " examples (train.batch) cannot be cut into ", parts,
                         " parts"));
    } else {
      Error({"workers.count", "train.batch", "train.gradient_shards"},
            absl::StrCat("a batch of ", batch, " examples (train.batch) cannot be shared by ",
                         workers, " workers"));
    }
  }

  void CheckConsistency() {
    const Topology::Consistency& consistency = topology_.consistency;
    const int64_t parts = GradientShards(topology_);
    if (consistency.mode == ModeType::kQuorum && consistency.quorum.value_or(0) > parts) {
      Error({"consistency.quorum", "train.gradient_shards", "workers.count", "consistency.mode"},
            absl::StrCat(*consistency.quorum, " parts are more than the ", parts,
                         " of a step (train.gradient_shards)"));
    }
    const double share =
        ExpectedAdmittedShare(consistency.mode, topology_.workers.count, consistency.max_staleness);
    if (share < kLowShare) {
      Warning({"consistency.max_staleness", "workers.count", "consistency.mode"},
              absl::StrFormat("with %d workers and a bound of %d about %d%% of the pushes are "
                              "admitted at once, the others "
                              "are stale and computed again; a bound of %d admits all",
                              topology_.workers.count, *consistency.max_staleness,
                              static_cast<int>(share * 100 + 0.5), topology_.workers.count - 1));
    }
  }

  // The servers' own checks: what a float cannot hold, and what only they know.
  void CheckOptimizer() {
    const absl::Status status = Validate(topology_.train.optimizer);
    if (!status.ok()) Error({"train.optimizer.type"}, std::string(status.message()));
  }

  void CheckSchedule() {
    ScheduleSpec schedule = topology_.train.schedule;
    schedule.base_rate = topology_.train.optimizer.learning_rate;
    if (schedule.type == ScheduleType::kStep && schedule.every == 0) return;  // named as missing
    if (schedule.type == ScheduleType::kCosine && schedule.total_steps == 0) {
      if (!topology_.workers.program.empty()) {
        Error({"train.schedule.type", "workers.program"},
              "cosine wants train.schedule.total_steps: only workers.program knows how long it "
              "trains");
      }
      schedule.total_steps = schedule.warmup_steps + 1;
    }
    const absl::Status status = Validate(schedule);
    if (status.ok()) return;
    Error({"train.schedule.type", "train.schedule.total_steps", "train.schedule.warmup_steps",
           "train.schedule.min_rate", "train.optimizer.learning_rate"},
          std::string(status.message()));
  }

  void CheckTestSet() {
    if (!topology_.workers.program.empty()) return;
    const Topology::Dataset& data = topology_.train.dataset;
    const bool is_idx = data.format == DataFormat::kIdx;
    const bool has_test_file = is_idx ? !data.test_images.empty() : !data.test_path.empty();
    if (has_test_file && data.test_fraction.has_value()) {
      const char* const file = is_idx ? "train.dataset.test_images" : "train.dataset.test_path";
      Error({"train.dataset.test_fraction", file, "train.dataset.format"},
            absl::StrCat("there is a test set already (", file, "): give one of the two"));
    }
    if (is_idx && data.test_images.empty() != data.test_labels.empty()) {
      const bool no_images = data.test_images.empty();
      Error({no_images ? "train.dataset.test_labels" : "train.dataset.test_images",
             no_images ? "train.dataset.test_images" : "train.dataset.test_labels",
             "train.dataset.format"},
            absl::StrCat("needs ",
                         no_images ? "train.dataset.test_images" : "train.dataset.test_labels",
                         " beside it"));
    }
  }

  const Topology& topology_;
  std::vector<TopologyFinding> findings_;
};

}  // namespace

std::vector<TopologyFinding> CheckTogether(const Topology& topology) {
  return Checker(topology).Run();
}

}  // namespace weir
