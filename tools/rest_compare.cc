// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_compare.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "tools/load_profile.h"

namespace weir {
namespace {

constexpr uint64_t kMaxRuns = 1000;
constexpr uint32_t kMaxProcesses = 64;
constexpr uint32_t kMaxInFlight = 64;
constexpr double kMaxSeconds = 600;

absl::Status OutOfRange(const char* what, double value, double most) {
  return absl::InvalidArgumentError(absl::StrCat(what, "=", value, ": from 1 to ", most));
}

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
    forms.push_back({"json-base64-fast", "", "json-base64-fast"});
    forms.push_back({"json-base64", "", "json-base64"});
    absl::Status status = RunTogether({{"json-numbers", "", "json-numbers"}}, 1, rows);
    if (status.ok()) status = RunTogether(forms, options_.runs, rows);
    return status;
  }

 private:
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
      if (absl::Status status = Start(clusters_.back().get()); !status.ok()) return status;
      for (const uint32_t in_flight : options_.in_flight)
        rows->push_back({form.name, setup_.workers, setup_.servers, in_flight});
    }
    for (uint64_t run = 0; run < runs; ++run) {
      for (size_t i = 0; i < options_.in_flight.size(); ++i) {
        for (size_t c = 0; c < clusters_.size(); ++c) {
          CompareRow* row = &(*rows)[first + c * options_.in_flight.size() + i];
          if (absl::Status status = Measure(clusters_[c].get(), row); !status.ok()) return status;
        }
      }
    }
    for (size_t r = first; r < rows->size(); ++r) {
      const auto& cluster = clusters_[(r - first) / options_.in_flight.size()];
      (*rows)[r].opened = cluster->opened();
      (*rows)[r].exchanges = cluster->exchanges();
    }
    return End();
  }

  // Connections are made and memory is mapped before anything counts.
  absl::Status Start(ComparedCluster* cluster) {
    if (absl::Status status = cluster->Start(conductor_.get()); !status.ok()) return status;
    for (const uint32_t in_flight : options_.in_flight) {
      const auto warm = cluster->Run({/*push=*/true, in_flight, /*seconds=*/0, 2 * in_flight});
      if (!warm.ok()) return warm.status();
      if (warm->wrong != 0) return absl::DataLossError(absl::StrCat(warm->wrong, " wrong values"));
    }
    return absl::OkStatus();
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
    row->checked += pushed->checked + pulled->checked;
    row->wrong += pushed->wrong + pulled->wrong;
    return absl::OkStatus();
  }

  absl::Status End() {
    // Taken out first: processes that end now are not to be found missing.
    const std::vector<std::unique_ptr<ComparedCluster>> clusters = std::move(clusters_);
    clusters_.clear();
    for (const auto& cluster : clusters) {
      if (absl::Status status = cluster->End(); !status.ok()) return status;
    }
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

absl::Status CheckCompareOptions(const CompareOptions& options) {
  if (options.runs < 1 || options.runs > kMaxRuns)
    return OutOfRange("--runs", static_cast<double>(options.runs), kMaxRuns);
  if (!(options.seconds > 0) || options.seconds > kMaxSeconds) {
    return absl::InvalidArgumentError(
        absl::StrCat("--compare_seconds=", options.seconds, ": above 0, at most ", kMaxSeconds));
  }
  for (const uint32_t in_flight : options.in_flight) {
    if (in_flight < 1 || in_flight > kMaxInFlight)
      return OutOfRange("--in_flight", in_flight, kMaxInFlight);
  }
  for (const CompareOptions::Size& size : options.sizes) {
    if (size.workers < 1 || size.workers > kMaxProcesses)
      return OutOfRange("--workers", size.workers, kMaxProcesses);
    if (size.servers < 1 || size.servers > kMaxProcesses)
      return OutOfRange("--servers", size.servers, kMaxProcesses);
  }
  for (const std::string& transport : options.transports) {
    if (transport != "tcp" && transport != "uds" && transport != "shm" && transport != "auto") {
      return absl::InvalidArgumentError(
          absl::StrCat("--transport=", transport, ": tcp, uds, shm or auto, with commas between"));
    }
  }
  if (options.in_flight.empty() || options.sizes.empty() || options.transports.empty())
    return absl::InvalidArgumentError("nothing to compare");
  return MakeLoadProfile(options.profile).status();
}

absl::StatusOr<std::vector<CompareRow>> RunComparison(const CompareOptions& options,
                                                      const std::string& program_dir,
                                                      const std::string& directory,
                                                      int* interrupted) {
  const auto profile = MakeLoadProfile(options.profile);
  if (!profile.ok()) return profile.status();
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
