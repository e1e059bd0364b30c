// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_CHECKPOINT_SCHEDULE_H_
#define WEIR_LAUNCHER_CHECKPOINT_SCHEDULE_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace weir {

// What a server says of the cut that it was told to write.
struct CutReport {
  enum class State : uint32_t {
    kNone = 0,
    kWriting = 1,  // asked for, collected or being written
    kWritten = 2,  // every shard's part is durable
    kLate = 3,     // the server was beyond that step when it heard of it
    kFailed = 4,   // `why`
  };
  uint64_t cut = 0;
  State state = State::kNone;
  std::string why;
};

// Decides when a job is cut, and follows each cut until it is a checkpoint or is given up.
//
// One cut at a time: its directory is made, every server is told to write it, and when each says
// that its parts are durable, it is committed. In bsp the cut is of a step ahead, `every_steps` or
// more behind the one before, and so far ahead that every server hears of it in time: as far as the
// job comes within `notice`, and twice as far after each that was late. In the other modes it is of
// the moment when a server hears of it, and its number only counts.
//
// A cut that fails, is late, or takes longer than `limit` is given up: its directory is removed, a
// warning is kept, and the next is tried `every_steps` later, at once where it was only late.
//
// Deterministic: no thread, clock or I/O. What is to be done with files comes out of TakeWork, one
// thing at a time, and its end is an event. Part of Membership.
class CheckpointSchedule {
 public:
  struct Options {
    uint64_t every_steps = 0;  // 0: only when asked
    bool by_step = true;       // bsp
    uint32_t servers = 1;
    absl::Duration notice = absl::Seconds(1);
    absl::Duration limit = absl::Minutes(10);
  };

  explicit CheckpointSchedule(Options options) : options_(options) {}

  // The job stands there: in bsp the greatest step of any server, else the least of the workers.
  // `serving`: every shard serves; nothing is begun before.
  void OnProgress(uint64_t step, bool serving, absl::Time now);
  // Cuts at `step` as soon as nothing else is under way, whatever was planned: the job stands still
  // there, and ends after it. Its end is told by asked_is_over.
  void Ask(uint64_t step, absl::Time now);
  void OnReport(uint32_t server, const CutReport& report, absl::Time now);
  // A new epoch begins, at the newest checkpoint or at step 0: whatever was under way is given up.
  void OnEpoch(absl::Time now);
  // The newest checkpoint of the run's directory when the job begins. `step`: where it stands.
  void OnFound(uint64_t cut, uint64_t epoch, uint64_t step);

  // What is to be done with the files of a checkpoint.
  struct Work {
    enum class Kind { kBegin, kCommit, kDrop };
    Kind kind = Kind::kBegin;
    uint64_t cut = 0;
    uint64_t step = 0;
  };
  // Empty while the one before is not done.
  std::optional<Work> TakeWork();
  // Of the work taken last. `epoch`: the job's.
  void OnWorkDone(const absl::Status& status, uint64_t epoch, absl::Time now);

  // What every server is to write; 0: nothing, and whatever it has begun is to be given up.
  uint64_t order() const { return state_ == State::kWriting ? cut_ : 0; }

  struct Committed {
    uint64_t cut = 0;  // 0: there is none
    uint64_t epoch = 0;
    uint64_t step = 0;
  };
  const Committed& newest() const { return newest_; }
  // Nothing that is under way will change `newest` any more.
  bool settled() const { return state_ != State::kCommitting; }
  uint64_t committed() const { return committed_; }  // how many
  bool asked_is_over() const { return asked_is_over_; }
  const absl::Status& asked_status() const { return asked_status_; }
  std::vector<std::string> TakeWarnings();

  // When an event is due though nothing happens; InfiniteFuture: never.
  absl::Time deadline() const {
    return state_ == State::kWriting ? deadline_ : absl::InfiniteFuture();
  }
  void OnTick(absl::Time now);

 private:
  enum class State { kIdle, kBeginning, kWriting, kCommitting, kDropping };

  void MaybeBegin(absl::Time now);
  void Begin(uint64_t cut, uint64_t step);
  void GiveUp(absl::Status why);
  uint64_t StepsWithin(absl::Duration time) const;

  const Options options_;
  State state_ = State::kIdle;
  bool work_is_out_ = false;  // taken, not done
  bool given_up_ = false;     // before the work that is out was done
  absl::Status why_;          // it was given up
  uint64_t cut_ = 0;          // under way
  uint64_t step_of_cut_ = 0;
  bool is_asked_ = false;       // the one under way was asked for
  std::set<uint32_t> written_;  // servers
  absl::Time deadline_ = absl::InfiniteFuture();

  uint64_t last_cut_ = 0;   // the greatest number used
  uint64_t last_step_ = 0;  // of the last tried
  bool serving_ = false;
  uint64_t step_ = 0;
  absl::Time measured_at_ = absl::InfinitePast();
  uint64_t measured_step_ = 0;
  double steps_per_second_ = 0;
  int times_late_ = 0;

  std::optional<uint64_t> asked_;
  bool asked_is_over_ = false;
  absl::Status asked_status_;
  Committed newest_;
  uint64_t committed_ = 0;
  std::vector<std::string> warnings_;
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_CHECKPOINT_SCHEDULE_H_
