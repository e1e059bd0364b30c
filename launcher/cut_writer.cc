// SPDX-License-Identifier: Apache-2.0
#include "launcher/cut_writer.h"

#include <sys/resource.h>

#include <utility>

namespace weir {
namespace {

constexpr int kNice = 19;

}  // namespace

CutWriter::CutWriter(Options options) : options_(std::move(options)), thread_([this] { Loop(); }) {
  pthread_setname_np(thread_.native_handle(), "weir-ckpt");
}

CutWriter::~CutWriter() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    report_ = {};
  }
  thread_.join();
}

void CutWriter::Expect(uint64_t number, uint64_t epoch) {
  absl::MutexLock lock(&mu_);
  queue_.clear();
  written_ = 0;
  epoch_ = epoch;
  report_ = {number, number == 0 ? CutReport::State::kNone : CutReport::State::kWriting, ""};
}

void CutWriter::Add(std::shared_ptr<const ShardCut> cut) {
  absl::MutexLock lock(&mu_);
  if (IsWanted(*cut)) queue_.push_back(std::move(cut));
}

void CutWriter::Fail(CutReport::State state, std::string why) {
  absl::MutexLock lock(&mu_);
  if (report_.cut == 0) return;
  report_.state = state;
  report_.why = std::move(why);
  queue_.clear();
}

CutReport CutWriter::report() const {
  absl::MutexLock lock(&mu_);
  return report_;
}

void CutWriter::AwaitEnd(absl::Duration limit) const {
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(this, &CutWriter::IsOver), limit);
}

void CutWriter::Loop() {
  setpriority(PRIO_PROCESS, 0, kNice);  // of this thread: 0 is the caller. It may be refused: fine
  while (true) {
    std::shared_ptr<const ShardCut> cut;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &CutWriter::HasWork));
      if (stopping_) return;
      cut = std::move(queue_.front());
      queue_.pop_front();
    }
    const auto is_wanted = [&] {
      absl::MutexLock lock(&mu_);
      return IsWanted(*cut);
    };
    const absl::Status status = WriteShardCut(options_.files, options_.place, *cut, is_wanted);
    absl::MutexLock lock(&mu_);
    if (!IsWanted(*cut)) continue;
    if (!status.ok()) {
      report_.state = CutReport::State::kFailed;
      report_.why = std::string(status.message());
      queue_.clear();
    } else if (++written_ == options_.own_shards) {
      report_.state = CutReport::State::kWritten;
    }
  }
}

}  // namespace weir
