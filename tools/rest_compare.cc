// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_compare.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "net/shm_segment.h"
#include "tools/load_profile.h"
#include "tools/rest_body.h"
#include "tools/rest_memory.h"

namespace weir {
namespace {

const char* const kSlow = RestFormName(RestForm::kNumbers);

// The signals that end the load test, blocked while it lives, to be asked for.
class Interrupts {
 public:
  Interrupts() {
    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
    sigprocmask(SIG_BLOCK, &signals, &before_);
    fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~Interrupts() {
    if (fd_ >= 0) close(fd_);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  // The first signal that came; 0: none.
  int first() {
    signalfd_siginfo info{};
    if (first_ == 0 && read(fd_, &info, sizeof(info)) == sizeof(info))
      first_ = static_cast<int>(info.ssi_signo);
    return first_;
  }

 private:
  sigset_t before_;
  int fd_ = -1;
  int first_ = 0;
};

// All forms at one size.
class SizeComparison {
 public:
  SizeComparison(const CompareOptions& options, CompareSetup setup, size_t tensors,
                 Interrupts* interrupts)
      : options_(options),
        setup_(std::move(setup)),
        least_pulls_((tensors + setup_.workers - 1) / setup_.workers),
        interrupts_(interrupts) {}

  absl::Status Run(std::vector<CompareRow>* rows) {
    auto conductor =
        Conductor::Listen(absl::StrCat(setup_.directory, "/conductor"), [this] { return Check(); });
    if (!conductor.ok()) return conductor.status();
    conductor_ = *std::move(conductor);
    std::vector<ComparedForm> forms;
    for (const std::string& transport : options_.transports)
      forms.push_back({absl::StrCat("weir ", transport), transport, ""});
    absl::Status status = absl::OkStatus();
    for (const std::string& form : options_.forms) {
      if (form != kSlow) {
        forms.push_back({form, "", form});
      } else if (status.ok()) {
        status = RunTogether({{form, "", form}}, 1, rows);
      }
    }
    if (status.ok()) status = RunTogether(forms, options_.runs, rows);
    return status;
  }

 private:
  void Say(const std::string& line) const {
    if (options_.say) options_.say(line);
  }

  absl::Status Check() {
    if (interrupts_->first() != 0) return absl::CancelledError("interrupted: nothing was measured");
    for (const auto& cluster : clusters_) {
      if (absl::Status status = cluster->Check(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status RunTogether(const std::vector<ComparedForm>& forms, uint64_t runs,
                           std::vector<CompareRow>* rows) {
    const size_t first = rows->size();
    for (const ComparedForm& form : forms) {
      clusters_.push_back(std::make_unique<ComparedCluster>(form, setup_));
      Say(absl::StrCat("starting ", form.name));
      if (absl::Status status = clusters_.back()->Start(conductor_.get()); !status.ok())
        return status;
      for (const uint32_t in_flight : options_.in_flight)
        rows->push_back({form.name, setup_.workers, setup_.servers, in_flight});
    }
    for (uint64_t run = 0; run < runs; ++run) {
      for (size_t c = 0; c < clusters_.size(); ++c) {
        CompareRow* const its = &(*rows)[first + c * options_.in_flight.size()];
        if (absl::Status status = TakeTurn(clusters_[c].get(), its); !status.ok()) return status;
      }
    }
    // Taken out first: processes that end now are not to be found missing.
    const std::vector<std::unique_ptr<ComparedCluster>> clusters = std::move(clusters_);
    clusters_.clear();
    for (size_t c = 0; c < clusters.size(); ++c) {
      if (absl::Status status = clusters[c]->End(); !status.ok()) return status;
      CompareRow* const its = &(*rows)[first + c * options_.in_flight.size()];
      for (size_t i = 0; i < options_.in_flight.size(); ++i) {
        its[i].opened = clusters[c]->opened();
        its[i].exchanges = clusters[c]->exchanges();
        its[i].transport = forms[c].transport;
        its[i].carried = clusters[c]->servers();
      }
    }
    return absl::OkStatus();
  }

  // `rows`: its, one for each number of requests in flight.
  absl::Status TakeTurn(ComparedCluster* cluster, CompareRow* rows) {
    if (absl::Status status = WarmUp(cluster); !status.ok()) return status;
    for (size_t i = 0; i < options_.in_flight.size(); ++i) {
      if (absl::Status status = Measure(cluster, rows + i); !status.ok()) return status;
    }
    return cluster->FreeMemory();
  }

  // Connections are made and memory is mapped before anything counts.
  absl::Status WarmUp(ComparedCluster* cluster) {
    const uint32_t most = *std::max_element(options_.in_flight.begin(), options_.in_flight.end());
    const auto warm = cluster->Run({/*push=*/true, most, /*seconds=*/0, most});
    if (!warm.ok()) return warm.status();
    if (warm->wrong == 0) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(warm->wrong, " wrong values"));
  }

  absl::Status Measure(ComparedCluster* cluster, CompareRow* row) {
    const auto pushed = cluster->Run({/*push=*/true, row->in_flight, options_.seconds, 1});
    if (!pushed.ok()) return pushed.status();
    const auto pulled =
        cluster->Run({/*push=*/false, row->in_flight, options_.seconds, least_pulls_});
    if (!pulled.ok()) return pulled.status();
    row->mb_s.push_back(pushed->mb_per_second);
    const auto microseconds = [&pulled](double percent) {
      return static_cast<double>(pulled->latency_ns.Percentile(percent)) / 1e3;
    };
    row->pull_us_p50.push_back(microseconds(50));
    row->pull_us_p99.push_back(microseconds(99));
    Say(absl::StrFormat("%s, %d on %d, %d in flight: %.0f MB/s, p99 %.0f us", row->form,
                        row->workers, row->servers, row->in_flight, row->mb_s.back(),
                        row->pull_us_p99.back()));
    row->checked += pushed->checked + pulled->checked;
    row->wrong += pushed->wrong + pulled->wrong;
    return absl::OkStatus();
  }

  const CompareOptions& options_;
  const CompareSetup setup_;
  const uint64_t least_pulls_;  // of each worker, so that all together have pulled every tensor
  Interrupts* const interrupts_;
  std::unique_ptr<Conductor> conductor_;
  std::vector<std::unique_ptr<ComparedCluster>> clusters_;
};

}  // namespace

absl::StatusOr<std::vector<CompareRow>> RunComparison(const CompareOptions& options,
                                                      const std::string& program_dir,
                                                      const std::string& directory,
                                                      int* interrupted) {
  const auto profile = MakeLoadProfile(options.profile);
  if (!profile.ok()) return profile.status();
  const absl::Status enough =
      CheckMemory(CompareMemoryBytes(*profile, options), AvailableMemoryBytes());
  if (!enough.ok()) return enough;
  Interrupts interrupts;
  std::vector<CompareRow> rows;
  for (const CompareOptions::Size& size : options.sizes) {
    CompareSetup setup;
    setup.profile = options.profile;
    setup.servers = size.servers;
    setup.workers = size.workers;
    setup.program_dir = program_dir;
    setup.directory = absl::StrCat(directory, "/", size.workers, "x", size.servers);
    if (mkdir(setup.directory.c_str(), 0700) != 0)
      return absl::ErrnoToStatus(errno, setup.directory);
    SizeComparison comparison(options, setup, profile->tensors.size(), &interrupts);
    const absl::Status status = comparison.Run(&rows);
    *interrupted = interrupts.first();
    if (!status.ok()) return status;
  }
  return rows;
}

}  // namespace weir
