// SPDX-License-Identifier: Apache-2.0
#include "launcher/checkpoint_schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr size_t kMaxWarnings = 16;
constexpr int kMostTimesLate = 16;  // the notice doubles no more
constexpr absl::Duration kMeasureFor = absl::Milliseconds(200);

}  // namespace

void CheckpointSchedule::OnProgress(uint64_t step, bool serving, absl::Time now) {
  serving_ = serving;
  if (step < step_ || measured_at_ == absl::InfinitePast()) {  // the first, or a step gone back
    measured_at_ = now;
    measured_step_ = step;
  } else if (now - measured_at_ >= kMeasureFor) {
    const double rate =
        static_cast<double>(step - measured_step_) / absl::ToDoubleSeconds(now - measured_at_);
    // A job that speeds up is believed at once, one that pauses slowly.
    steps_per_second_ = std::max(rate, (steps_per_second_ + rate) / 2);
    measured_at_ = now;
    measured_step_ = step;
  }
  step_ = step;
  MaybeBegin(now);
}

void CheckpointSchedule::Ask(uint64_t step, absl::Time now) {
  if (asked_.has_value() || is_asked_ || asked_is_over_) return;
  asked_ = step;
  // What waits for a step that never comes would keep it out.
  if (options_.by_step && state_ == State::kWriting && cut_ > step)
    GiveUp(absl::CancelledError("the job stops before its step"));
  MaybeBegin(now);
}

uint64_t CheckpointSchedule::StepsWithin(absl::Duration time) const {
  const double steps = std::ceil(steps_per_second_ * absl::ToDoubleSeconds(time));
  return static_cast<uint64_t>(std::clamp(steps, 1.0, 1e15));
}

void CheckpointSchedule::MaybeBegin(absl::Time now) {
  if (state_ != State::kIdle || !serving_) return;
  if (asked_.has_value()) {
    const uint64_t step = *std::exchange(asked_, std::nullopt);
    is_asked_ = true;
    return Begin(options_.by_step ? step : last_cut_ + 1, step);
  }
  if (options_.every_steps == 0 || asked_is_over_) return;
  if (!options_.by_step) {
    if (step_ >= last_step_ + options_.every_steps) Begin(last_cut_ + 1, step_);
    return;
  }
  // Not before the rate is known, nor long before the step is due.
  if (measured_at_ == absl::InfinitePast() || now < measured_at_) return;
  if (step_ == 0) return;
  const uint64_t ahead =
      StepsWithin(options_.notice * (1 << std::min(times_late_, kMostTimesLate)));
  const uint64_t due = std::max(last_step_ + options_.every_steps, step_ + ahead);
  if (due > step_ + 2 * ahead) return;
  Begin(due, due);
}

void CheckpointSchedule::Begin(uint64_t cut, uint64_t step) {
  state_ = State::kBeginning;
  cut_ = cut;
  step_of_cut_ = step;
  written_.clear();
}

void CheckpointSchedule::OnReport(uint32_t server, const CutReport& report, absl::Time) {
  if (state_ != State::kWriting || report.cut != cut_) return;
  switch (report.state) {
    case CutReport::State::kNone:
    case CutReport::State::kWriting:
      return;
    case CutReport::State::kLate:
      times_late_ = std::min(times_late_ + 1, kMostTimesLate);
      return GiveUp(absl::OutOfRangeError("a server was past its step when it heard of it"));
    case CutReport::State::kFailed:
      return GiveUp(absl::UnavailableError(absl::StrCat("server ", server, ": ", report.why)));
    case CutReport::State::kWritten:
      written_.insert(server);
      if (written_.size() == options_.servers) state_ = State::kCommitting;
      return;
  }
}

void CheckpointSchedule::OnEpoch(absl::Time) {
  if (state_ == State::kCommitting && work_is_out_) return;  // it is whole: let it be
  if (state_ != State::kIdle && state_ != State::kDropping)
    GiveUp(absl::CancelledError("a new epoch has begun"));
  last_step_ = newest_.step;
  step_ = newest_.step;
  measured_at_ = absl::InfinitePast();
}

void CheckpointSchedule::OnFound(uint64_t cut, uint64_t epoch, uint64_t step) {
  newest_ = {cut, epoch, step};
  last_cut_ = std::max(last_cut_, cut);
  last_step_ = step_ = step;
}

void CheckpointSchedule::OnTick(absl::Time now) {
  if (now >= deadline()) GiveUp(absl::DeadlineExceededError("it took too long"));
}

// The cut under way will not be a checkpoint. Its directory is removed.
void CheckpointSchedule::GiveUp(absl::Status why) {
  const bool is_late = absl::IsOutOfRange(why);
  if (!is_late && !absl::IsCancelled(why) && warnings_.size() < kMaxWarnings) {
    warnings_.push_back(absl::StrCat("checkpoint ", cut_, " is given up: ", why.message()));
  }
  last_cut_ = options_.by_step ? last_cut_ : std::max(last_cut_, cut_);
  if (!is_late) last_step_ = std::max(last_step_, std::min(step_of_cut_, step_));
  if (is_asked_) {
    is_asked_ = false;
    asked_is_over_ = true;
    asked_status_ = why;
  }
  why_ = std::move(why);
  if (work_is_out_) {
    given_up_ = true;
  } else {
    state_ = State::kDropping;
  }
}

std::optional<CheckpointSchedule::Work> CheckpointSchedule::TakeWork() {
  if (work_is_out_) return std::nullopt;
  Work work;
  work.cut = cut_;
  work.step = step_of_cut_;
  switch (state_) {
    case State::kIdle:
    case State::kWriting:
      return std::nullopt;
    case State::kBeginning:
      work.kind = Work::Kind::kBegin;
      break;
    case State::kCommitting:
      work.kind = Work::Kind::kCommit;
      break;
    case State::kDropping:
      work.kind = Work::Kind::kDrop;
      break;
  }
  work_is_out_ = true;
  return work;
}

void CheckpointSchedule::OnWorkDone(const absl::Status& status, uint64_t epoch, absl::Time now) {
  if (!work_is_out_) return;
  work_is_out_ = false;
  if (state_ == State::kCommitting && status.ok()) {  // also when given up meanwhile: it is there
    newest_ = {cut_, epoch, step_of_cut_};
    ++committed_;
    times_late_ = 0;
    last_cut_ = std::max(last_cut_, cut_);
    last_step_ = std::max(last_step_, step_of_cut_);
    if (is_asked_) {
      is_asked_ = false;
      asked_is_over_ = true;
    }
    given_up_ = false;
    state_ = State::kIdle;
  } else if (state_ == State::kDropping) {
    state_ = State::kIdle;  // what could not be removed is removed with the next
  } else if (std::exchange(given_up_, false)) {
    state_ = State::kDropping;
  } else if (!status.ok()) {
    GiveUp(status);
  } else {  // the directory is there
    state_ = State::kWriting;
    deadline_ = now + options_.limit;
  }
  MaybeBegin(now);
}

std::vector<std::string> CheckpointSchedule::TakeWarnings() { return std::exchange(warnings_, {}); }

}  // namespace weir
