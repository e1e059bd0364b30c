// SPDX-License-Identifier: Apache-2.0
#include "ps/shard_server.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "core/steady_clock.h"

namespace weir {
namespace {

constexpr int kMaxJobThreads = 256;

// Beside the first weights: the version before, and one that is being made or that workers read.
constexpr int kMoreVersions = 2;
// What the system can give within a fraction of a lease.
constexpr uint64_t kMostReservedBytes = uint64_t{1} << 30;

// A job of fewer elements is done before another thread wakes up.
constexpr uint64_t kWorthAThread = uint64_t{64} << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<ShardServer>> ShardServer::Create(Options options,
                                                                 SessionOutlet* outlet) {
  if (absl::Status status = ValidateShardOptions(options.shard); !status.ok()) return status;
  if (options.job_threads < 0 || options.job_threads > kMaxJobThreads) {
    return absl::InvalidArgumentError(absl::StrCat("job_threads is ", options.job_threads,
                                                   ", not between 0 and ", kMaxJobThreads));
  }
  if (!options.clock) options.clock = SteadyNow;
  return std::unique_ptr<ShardServer>(new ShardServer(std::move(options), outlet));
}

ShardServer::ShardServer(Options options, SessionOutlet* outlet)
    : options_(std::move(options)),
      outlet_(outlet),
      pool_(BufferPool::kNoLimit, options_.arena),
      shard_(options_.shard, &pool_),
      max_requests_(shard_.max_requests()) {}

ShardServer::~ShardServer() { Stop(); }

absl::Status ShardServer::Start() {
  absl::MutexLock lock(&mu_);
  if (started_) return absl::FailedPreconditionError("this shard was started before");
  started_ = true;
  running_ = true;
  const std::string name = absl::StrCat("ps-", options_.shard.shard);
  if (options_.job_threads > 0) {
    job_threads_ = std::make_unique<JobThreads>(name, options_.job_threads,
                                                [this](uint64_t job, const JobResult& result) {
                                                  Post(JobDone{job, result}, kJobThreads);
                                                });
  }
  loop_ = std::thread([this] { Loop(); });
  pthread_setname_np(loop_.native_handle(), name.substr(0, 15).c_str());
  return absl::OkStatus();
}

void ShardServer::Stop() {
  {
    absl::MutexLock lock(&mu_);
    if (!started_ || stopping_) return;
    stopping_ = true;
  }
  loop_.join();
  std::unique_ptr<JobThreads> ended;  // not in the turn: one of its threads may wait for that
  RunInTurn([&] { ended = std::move(job_threads_); });
}

absl::Status ShardServer::Install(const Layout& layout) { return InstallWith(layout, nullptr); }

absl::Status ShardServer::InstallRestored(const Layout& layout, const ShardRestore& restore) {
  return InstallWith(layout, &restore);
}

absl::Status ShardServer::Cut(uint64_t number) {
  absl::Status status;
  RunInTurn([&] {
    status = shard_.OnCut(number, options_.clock(), &effects_);
    Perform(/*shares=*/true);
  });
  return status;
}

void ShardServer::CutDone() {
  RunInTurn([&] {
    shard_.OnCutDone(options_.clock(), &effects_);
    Perform(/*shares=*/true);
  });
}

absl::Status ShardServer::InstallWith(const Layout& layout, const ShardRestore* restore) {
  absl::Status status;
  RunInTurn([&] {
    const absl::Time now = options_.clock();
    status = restore == nullptr ? shard_.Install(layout, now, &effects_)
                                : shard_.InstallRestored(layout, *restore, now, &effects_);
    max_requests_ = std::max(max_requests_.load(), shard_.max_requests());
    Perform(/*shares=*/true);
    if (status.ok() && options_.arena != nullptr) Reserve(layout);
  });
  return status;
}

void ShardServer::SetLease(absl::Time until) {
  RunInTurn([&] {
    shard_.SetLease(until, options_.clock(), &effects_);
    Perform(/*shares=*/true);
  });
}

void ShardServer::OnRoster(const Roster& roster) {
  RunInTurn([&] {
    shard_.OnRoster(roster, options_.clock(), &effects_);
    Perform(/*shares=*/true);
  });
}

void ShardServer::Reserve(const Layout& layout) {
  std::vector<Buffer> blocks;
  uint64_t bytes = 0;
  for (const SliceSpec& slice : layout.slices) {
    if (slice.shard != options_.shard.shard) continue;
    if (layout.codec(slice.tensor_id).pull != Codec::kF32) continue;
    bytes += kMoreVersions * slice.count * sizeof(float);
    if (bytes > kMostReservedBytes) return;
    for (int i = 0; i < kMoreVersions; ++i)
      blocks.push_back(pool_.Allocate(slice.count * sizeof(float)));
  }
}

ShardTotals ShardServer::totals() {
  ShardTotals totals;
  RunInTurn([&] { totals = shard_.totals(); });
  return totals;
}

ShardStatus ShardServer::status() {
  ShardStatus status;
  RunInTurn([&] { status = shard_.status(); });
  return status;
}

void ShardServer::OnOpen(SessionId id, const std::string&) { Post(Opened{id}, kReceivers); }
void ShardServer::OnSent(SessionId id, uint64_t payload_bytes) {
  Post(Taken{id, payload_bytes}, kReceivers);
}
void ShardServer::OnClosed(SessionId id) { Post(Ended{id}, kReceivers); }

void ShardServer::OnFrame(SessionId id, ClientFrame&& frame, size_t wire_bytes) {
  Arrive(Arrived{id, std::move(frame), /*shared=*/false}, wire_bytes);
}

void ShardServer::OnSharedFrame(SessionId id, ClientFrame&& frame, size_t wire_bytes) {
  Arrive(Arrived{id, std::move(frame), /*shared=*/true}, wire_bytes);
}

void ShardServer::Arrive(Arrived arrived, size_t wire_bytes) {
  const SessionId id = arrived.id;
  const ShardLimits& limits = options_.shard.limits;
  bool flood = false;
  bool drive = false;
  {
    absl::MutexLock lock(&mu_);
    if (!running_ || stopping_) return;
    Load& load = load_[id];
    // A client within its credits has no more than these unanswered, wherever they are.
    flood = load.frames > max_requests_ ||
            load.bytes + wire_bytes > 2 * limits.max_push_bytes + limits.max_frame_bytes;
    if (!flood) {
      ++load.frames;
      load.bytes += wire_bytes;
      mailbox_.push_back(std::move(arrived));
      drive = TryTakeTurn();
    }
  }
  if (drive) Drive(kReceivers);
  if (!flood) return;
  outlet_->Close(
      id, absl::ResourceExhaustedError("more frames in flight than the session has credit for"));
}

void ShardServer::Post(Event event, const Stint& stint) {
  bool drive = false;
  {
    absl::MutexLock lock(&mu_);
    if (!running_ || stopping_) return;
    mailbox_.push_back(std::move(event));
    drive = TryTakeTurn();
  }
  if (drive) Drive(stint);
}

bool ShardServer::TryTakeTurn() {
  if (turn_ || !HasWork()) return false;
  turn_ = true;
  return true;
}

void ShardServer::RunInTurn(const std::function<void()>& run) {
  absl::Notification done;
  bool running, drive;
  {
    absl::MutexLock lock(&mu_);
    running = running_;
    if (running) {
      mailbox_.push_back(Call{[&] {
        run();
        done.Notify();
      }});
      drive = TryTakeTurn();
    } else {  // nobody would look into the mailbox
      const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !turn_; };
      mu_.Await(absl::Condition(&free));
      drive = turn_ = true;
    }
  }
  if (!running) {
    run();
    absl::MutexLock lock(&mu_);
    return GiveTurnBack(kOwn);
  }
  if (drive) return Drive(kCallers);
  done.WaitForNotification();
}

absl::Duration ShardServer::Patience() const {
  if (deadline_ == absl::InfiniteFuture()) return absl::InfiniteDuration();
  return std::max(absl::ZeroDuration(), deadline_ - options_.clock());
}

void ShardServer::Loop() {
  for (;;) {
    {
      absl::MutexLock lock(&mu_);
      awaited_ = deadline_;
      const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return !turn_ && (stopping_ || HasWork() || deadline_ < awaited_);
      };
      const bool called = mu_.AwaitWithTimeout(absl::Condition(&due), Patience());
      if (turn_) {
        // The deadline has come while another thread has the turn, and will see to it.
        const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !turn_; };
        mu_.Await(absl::Condition(&free));
      }
      if (stopping_ && !HasWork()) {
        running_ = false;
        return;
      }
      if (called && !HasWork() && Patience() > absl::ZeroDuration()) continue;  // wait anew
      turn_ = true;
    }
    Drive(kOwn);
  }
}

void ShardServer::GiveTurnBack(const Stint& stint) {
  deadline_ = shard_.NextDeadline();
  jobs_left_ = HasJob(stint) && !stopping_;
  turn_ = false;
}

void ShardServer::Drive(const Stint& stint) {
  for (size_t round = 0;; ++round) {
    TickIfDue();
    {
      absl::MutexLock lock(&mu_);
      const bool idle = mailbox_.empty() && (!HasJob(stint) || stopping_);
      if (idle || round == stint.rounds) return GiveTurnBack(stint);
      events_.swap(mailbox_);
      load_.clear();
    }
    for (Event& event : events_) Handle(std::move(event));
    events_.clear();
    RunOneJob(stint);
  }
}

void ShardServer::Handle(Event event) {
  const absl::Time now = options_.clock();
  bool shares = true;
  if (auto* call = std::get_if<Call>(&event)) return call->run();
  if (auto* arrived = std::get_if<Arrived>(&event)) {
    shares = arrived->shared;
    shard_.OnFrame(arrived->id, std::move(arrived->frame), now, &effects_);
  } else if (auto* taken = std::get_if<Taken>(&event)) {
    shard_.OnSent(taken->id, taken->payload_bytes, now, &effects_);
  } else if (auto* done = std::get_if<JobDone>(&event)) {
    shard_.OnJobDone(done->job, done->result, now, &effects_);
  } else if (auto* opened = std::get_if<Opened>(&event)) {
    shard_.OnOpen(opened->id, now, &effects_);
  } else if (auto* ended = std::get_if<Ended>(&event)) {
    shard_.OnClosed(ended->id, now, &effects_);
  }
  Perform(shares);
}

void ShardServer::TickIfDue() {
  const absl::Time now = options_.clock();
  if (shard_.NextDeadline() > now) return;
  shard_.OnTick(now, &effects_);
  Perform(/*shares=*/true);
}

bool ShardServer::HasJob(const Stint& stint) const {
  if (!jobs_.empty()) return true;
  return job_threads_ != nullptr && !stint.is_job_thread && job_threads_->HasExcess();
}

absl::optional<Job> ShardServer::TakeJob(const Stint& stint) {
  if (!jobs_.empty()) {
    absl::optional<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }
  if (job_threads_ == nullptr || stint.is_job_thread) return absl::nullopt;
  return job_threads_->TakeExcess();
}

void ShardServer::RunOneJob(const Stint& stint) {
  absl::optional<Job> job = TakeJob(stint);
  if (!job) return;
  const JobResult result = RunJob(*job);
  const uint64_t id = job->id;
  job.reset();  // lets go of the payload
  shard_.OnJobDone(id, result, options_.clock(), &effects_);
  Perform(/*shares=*/true);
}

void ShardServer::Perform(bool shares) {
  for (Effects::Send& send : effects_.sends) outlet_->Send(send.session, std::move(send.frame));
  for (Effects::Close& close : effects_.closes) outlet_->Close(close.session, close.status);
  for (Job& job : effects_.jobs) {
    if (shares && job_threads_ != nullptr && job.count >= kWorthAThread) {
      job_threads_->Submit(std::move(job));
    } else {
      jobs_.push_back(std::move(job));
    }
  }
  for (std::shared_ptr<const ShardCut>& cut : effects_.cuts) options_.on_cut(std::move(cut));
  effects_.clear();
}

}  // namespace weir
