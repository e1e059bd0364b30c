// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_MEMBERSHIP_H_
#define WEIR_LAUNCHER_MEMBERSHIP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/layout.h"
#include "launcher/codec_choice.h"
#include "launcher/member.h"
#include "launcher/restart_budget.h"

namespace weir {

// Who is in the job, which layout and epoch hold, who died: the state machine behind the
// Coordinator service.
//
// It has one place for each server and worker of the settings. A process takes a place by Join and
// is given an incarnation, larger than that of every process that held the place before; it keeps
// the place while it is heard at least once in `lease`. A place is given away again only when its
// process has left, was reported lost, or let its lease run out.
//
// A lost worker is replaced, as often as `restart_workers` says: its place is free for a successor,
// which gets a larger incarnation, and which is waited for no longer than `replace_within`. A
// worker beyond that is *inherited* if `inherit` says so and another takes part. The loss of a
// server, of any other worker, or of one that never joined (unless Scale added it), and a failure
// that a member reports itself make the job fail, with a reason that names role, rank, host and
// process; the first reason stays. A job that has failed or is told to stop answers every heartbeat
// with stop and the reason, ends all waits, and lets nobody in.
//
// The roster says which workers share the steps' parts: those of the settings, without those that
// have been inherited, retired, or left with steps to do; and those that Scale added, each from its
// Declare on, so that nobody waits for a program that starts. One that has left because its steps
// are done stays: what it did is not done again. Every member is told a newer roster with its
// heartbeat; a worker that is to retire is told so, and leaves when its step is finished.
//
// Deterministic: no thread, lock, clock or I/O. Each event is one call with the time it happened,
// never earlier than the one before. The answer is returned, but for GetLayout, whose answer comes
// out of TakeAnswers() after that or any later event. Between events Tick() is due at NextTick();
// when it comes much later, the coordinator itself was paused, nobody could be heard, and all
// leases are extended by that time. Everything is bounded: places by the settings, one wait a
// member, names and values by member.h.
//
// Statuses of all calls with a key: UNAUTHENTICATED wrong token, FAILED_PRECONDITION wrong job or a
// fenced or lost caller or a job that is over (stop), INVALID_ARGUMENT the caller's mistake. Each
// message is a sentence that names both sides.
class Membership {
 public:
  struct Options {
    JobId job_id{};
    std::string job_token;  // empty: none
    JobSettings settings;
    CodecChoice codecs;
    absl::Duration lease = absl::Seconds(10);
    uint64_t epoch = 1;
    RestartRules restart_workers;
    absl::Duration replace_within = absl::Minutes(1);  // from when the successor may be started
    bool inherit = false;
    // Of the layout as a message: gRPC's default limit is 4 MiB.
    size_t max_layout_bytes = (4 << 20) - (64 << 10);
  };

  // INVALID_ARGUMENT: counts of 0 or absurd, shards that do not divide by servers.
  static absl::Status CheckSettings(const JobSettings& settings);

  // REQUIRES: CheckSettings(options.settings).ok().
  Membership(Options options, absl::Time now);

  // ALREADY_EXISTS: the place is held by a living process, which the message names.
  // RESOURCE_EXHAUSTED: no place is free. UNIMPLEMENTED: no common protocol. The very process that
  // holds the place (same host and process id) may join it again by rank, when it never saw its
  // answer: it gets a new incarnation and the old one is fenced.
  absl::StatusOr<JoinAnswer> Join(const JoinEvent& event, absl::Time now);

  // The epoch. The first declaration makes the layout; the same again is welcome; a differing one
  // is FAILED_PRECONDITION and names the first difference. RESOURCE_EXHAUSTED: the layout would not
  // fit a message; use larger slices.
  absl::StatusOr<uint64_t> Declare(const JobKey& job, const MemberId& who,
                                   const std::vector<TensorShape>& tensors, absl::Time now);

  // Asks for a layout of an epoch above `newer_than`, until now + wait (at most kMaxWait). Its
  // answer is found in TakeAnswers() under `wait_id`, chosen by the caller and unique: the layout,
  // or UNAVAILABLE naming whom it waits for when the time is over, or ABORTED when the same member
  // asks again meanwhile.
  void GetLayout(uint64_t wait_id, const JobKey& job, const MemberId& who, absl::Duration wait,
                 uint64_t newer_than, absl::Time now);
  // The caller is gone: no answer will come.
  void CancelWait(uint64_t wait_id);

  absl::StatusOr<HeartbeatAnswer> Heartbeat(const JobKey& job, const MemberId& who,
                                            const HeartbeatEvent& event, absl::Time now);

  // Leaving twice is leaving once. Whoever was lost and whose place nobody has taken yet leaves in
  // order all the same: it has done its work. A server that leaves while workers still need it
  // makes the job fail.
  absl::Status Leave(const JobKey& job, const MemberId& who, const LeaveEvent& event,
                     absl::Time now);

  // The agent of a process says that it has ended. `restarts`: of the place, when that process was
  // started; fewer than by now: its loss has been counted, if only because its lease ran out.
  // Nothing changes then, nor when it had left in order. Says whether a successor is to be started.
  absl::StatusOr<LossAnswer> ReportLoss(const JobKey& job, MemberRole role, uint32_t rank,
                                        uint64_t restarts, absl::string_view reason,
                                        absl::Time now);

  // From now on `workers` take part. More: places are expected to be joined, those that nobody
  // holds any more first. Fewer: the highest ranks retire. INVALID_ARGUMENT: 0, more than
  // gradient_shards or than a job may have. FAILED_PRECONDITION: a worker has finished already, or
  // the job is over.
  absl::StatusOr<ScaleAnswer> Scale(const JobKey& job, uint32_t workers, absl::Time now);

  absl::Status Stop(const JobKey& job, absl::string_view reason, absl::Time now);

  // The job id may be empty: the status tells it.
  absl::StatusOr<JobStatus> GetStatus(const JobKey& job, absl::Time now) const;

  // Takes places from members whose lease has run out and ends waits that are over.
  void Tick(absl::Time now);
  // When Tick is next needed; InfiniteFuture: not before the next event.
  absl::Time NextTick() const;

  // An answer to GetLayout.
  struct Answer {
    uint64_t wait_id = 0;
    absl::StatusOr<std::shared_ptr<const Layout>> layout;
  };
  std::vector<Answer> TakeAnswers();

  // What a person should know of the declared model: each is told once, a sentence.
  std::vector<std::string> TakeWarnings() { return std::exchange(warnings_, {}); }

  const Options& options() const { return options_; }
  const Roster& roster() const { return roster_; }
  // Not empty: the job has failed, and why.
  const std::string& failure() const { return failure_; }
  bool stopping() const { return stopping_; }
  bool finished() const;
  // No process holds a place.
  bool empty() const;

  static constexpr absl::Duration kMaxWait = absl::Minutes(1);
  // A Tick later than this: the coordinator was paused.
  static constexpr absl::Duration kPatience = absl::Seconds(2);

 private:
  struct Member {
    MemberStatus status;
    absl::Time heard;
    RestartBudget restarts;
    // Of workers.
    bool wanted = true;  // false: it retires, or has
    bool added = false;  // by Scale
    bool counts = true;  // has parts; an added one: once it has declared
    bool done = false;   // left when its steps were finished
    // While it is lost and to be replaced: from when to when a successor is expected.
    absl::Time successor_from = absl::InfiniteFuture();
    absl::Time successor_until = absl::InfiniteFuture();
  };
  struct Wait {
    uint64_t id = 0;
    uint64_t newer_than = 0;
    absl::Time deadline;
  };
  using Place = std::pair<MemberRole, uint32_t>;

  absl::Status CheckJob(const JobKey& job, bool id_required) const;
  absl::Status CheckOpen() const;
  absl::StatusOr<Member*> FindMember(const JobKey& job, const MemberId& who);
  absl::StatusOr<Member*> ChoosePlace(const JoinEvent& event);
  bool PlaceIsFree(const Member& member) const;
  void ForgivePause(absl::Time now);
  static bool IsLiving(const Member& member) {
    return member.status.state == MemberState::kJoined ||
           member.status.state == MemberState::kServing;
  }
  static bool AwaitsSuccessor(const Member& member) {
    return member.status.state == MemberState::kLost &&
           member.successor_until != absl::InfiniteFuture();
  }
  uint32_t WorkerPlaces() const;
  // membership_roster.cc
  static bool TakesPart(const Member& member);
  static bool OwnsParts(const Member& member);
  uint32_t WorkersTakingPart() const;
  bool SomeAreDone() const;
  bool HasHeirs(const Member& member) const;
  void GiveUp(Member* member, const std::string& reason);
  void UpdateRoster();
  absl::Status CheckScale(uint32_t workers) const;
  void AddWorkers(uint32_t count, ScaleAnswer* answer, absl::Time now);
  void RetireWorkers(uint32_t count, ScaleAnswer* answer);
  uint64_t StepOfJob() const;
  void Lose(Member* member, const std::string& reason, absl::Time now);
  void Fail(std::string reason);
  void Stopped();
  void EndWait(std::map<Place, Wait>::iterator wait,
               absl::StatusOr<std::shared_ptr<const Layout>> layout);
  void AnswerWaits();
  bool EveryShardServes() const;
  std::string WaitsFor(MemberRole role, uint64_t newer_than) const;
  std::shared_ptr<const Layout> LayoutWithAddresses() const;
  std::string StopReason() const;

  const Options options_;
  std::map<Place, Member> members_;
  std::map<Place, Wait> waits_;
  Roster roster_;
  std::vector<ScaleEvent> scaled_;        // at most kMaxScaleEvents
  std::shared_ptr<const Layout> layout_;  // without addresses; null before the first Declare
  std::string failure_;
  bool stopping_ = false;
  std::string stop_reason_;
  std::vector<Answer> answers_;
  std::vector<std::string> warnings_;
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_MEMBERSHIP_H_
