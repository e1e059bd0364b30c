// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_PUSH_LEDGER_H_
#define WEIR_PS_PUSH_LEDGER_H_

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "net/frame.h"

namespace weir {

// Names one push of one worker. Its slices share it.
struct PushId {
  uint64_t worker = 0;
  uint64_t incarnation = 0;
  uint64_t sequence = 0;

  friend bool operator==(const PushId& a, const PushId& b) {
    return a.worker == b.worker && a.incarnation == b.incarnation && a.sequence == b.sequence;
  }
  friend bool operator<(const PushId& a, const PushId& b) {
    return std::tie(a.worker, a.incarnation, a.sequence) <
           std::tie(b.worker, b.incarnation, b.sequence);
  }
};

// How the push of one slice ended: applied, stale or invalid.
struct PushEnd {
  Outcome outcome = Outcome::kUnspecified;
  uint64_t version = 0;  // applied: the version it made; stale, invalid: the one current then
  std::string reason;    // invalid: why
};

// Remembers how recent pushes ended, so that a push sent again gets its first answer and changes
// nothing; and which incarnation of each worker is the newest, so that an older one never changes
// anything again.
//
// Holds, per worker, the newest incarnation seen, the outcomes per (sequence, slice) that it has
// not yet confirmed, and its last final sequence and batch, which outlive the incarnation. A worker
// confirms by naming the lowest sequence it still waits for. Bounded: `max_workers` workers,
// `max_unconfirmed` outcomes each.
//
// Deterministic; no threads, no clock. Part of the shard's state.
class PushLedger {
 public:
  PushLedger(uint64_t max_workers, uint64_t max_unconfirmed)
      : max_workers_(max_workers), max_unconfirmed_(max_unconfirmed) {}

  // What a hello of (worker, incarnation) is told.
  enum class Standing {
    kCurrent,  // go on; an older incarnation of this worker is fenced from now on
    kFenced,   // a newer incarnation has been here
    kFull,     // a new worker, and max_workers are known already
  };
  Standing Enter(uint64_t worker, uint64_t incarnation);

  // Whether a newer incarnation of `worker` has entered.
  bool IsFenced(uint64_t worker, uint64_t incarnation) const;
  // The newest incarnation of `worker`; 0: none has entered.
  uint64_t newest(uint64_t worker) const;

  enum class Verdict {
    kNew,
    kDuplicate,  // `*outcome` is its first answer
    kFenced,  // a newer incarnation has entered, or this sequence was confirmed: the sender is not
              // who it thinks it is
    kFull,  // it is new, and max_unconfirmed outcomes are held: the worker must confirm some first
  };
  Verdict Look(const PushId& id, uint32_t slice, PushEnd* outcome) const;

  // Records how a push ended. Ignored for a fenced incarnation, and for a sequence confirmed
  // meanwhile: nobody will ask.
  void Record(const PushId& id, uint32_t slice, uint64_t batch, PushEnd outcome);

  // Forgets the outcomes of (worker, incarnation) below `lowest_pending`. The floor never falls;
  // ignored when fenced.
  void Confirm(uint64_t worker, uint64_t incarnation, uint64_t lowest_pending);

  // The greatest sequence of the newest incarnation that has any final outcome, and its batch; {0,
  // 0}: none.
  struct Last {
    uint64_t sequence = 0;
    uint64_t batch = 0;
  };
  Last last(uint64_t worker) const;
  // One above the greatest batch of which any push of the worker was applied, by whichever of its
  // incarnations; 0: none.
  uint64_t next_batch(uint64_t worker) const;

  // Forgets every outcome, floor, last sequence and batch: a new epoch begins. Incarnations stay.
  void Forget(uint64_t max_unconfirmed);

  // Every worker seen, ascending.
  std::vector<uint64_t> workers() const;
  // What a cut says of `worker`: next_batch() goes on from there, and older incarnations are
  // fenced. Ignored for a worker never seen when max_workers are known.
  void Restore(uint64_t worker, uint64_t incarnation, uint64_t next_batch);

  // Outcomes held for `worker`.
  uint64_t unconfirmed(uint64_t worker) const;

 private:
  struct Worker {
    uint64_t incarnation = 0;
    uint64_t floor = 0;  // sequences below are confirmed
    uint64_t last_incarnation = 0;
    Last last;
    uint64_t next_batch = 0;
    std::map<std::pair<uint64_t, uint32_t>, PushEnd> outcomes;  // by (sequence, slice)
  };

  const Worker* Find(uint64_t worker) const;

  const uint64_t max_workers_;
  uint64_t max_unconfirmed_;
  std::map<uint64_t, Worker> workers_;
};

}  // namespace weir

#endif  // WEIR_PS_PUSH_LEDGER_H_
