// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_TOTALS_H_
#define WEIR_TESTS_SIM_TOTALS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "net/frame.h"

namespace weir::sim {

// What goes wrong in a simulated cluster.
enum class Fault : uint8_t {
  kConnectRefused,  // a connection is not made
  kCut,             // a connection is cut; its ends see it at different times
  kRequestLost,     // a frame is lost in a cut
  kAnswerLost,      // an answer is lost in a cut
  kDuplicate,       // a push reaches a shard again
  kReordered,       // a frame overtakes an older one of another connection
  kLateFrame,       // a frame arrives although its client has left the session
  kSlow,            // a connection becomes slow
  kNotReading,      // a client does not read its answers
  kControlLost,     // a call to the coordinator, or its answer, is lost
  kPause,           // a worker stands still
  kPauseOverLease,  // for longer than its lease
  kCrash,           // a worker dies
  kDeathInPush,     // between the slices of one push
  kReplaced,        // a successor takes its place
  kEpochChange,     // a new layout is installed
  kPoison,          // a push holds NaN or infinity
  kHostile,         // a stranger sends what nobody should
  kCount,
};
const char* FaultName(Fault fault);

// What must hold after every event.
enum class Promise : uint8_t {
  kVersions,     // versions of a slice grow by one, within an epoch
  kSnapshot,     // what is read is one committed version, whole
  kOutcome,      // every call and request ends once, and what it is told is true
  kExactlyOnce,  // a push is applied at most once
  kStaleness,    // nothing beyond the bound is applied
  kSameBits,     // every committed version has the bits of the reference
  kDeadline,     // nobody waits for ever
  kFenced,       // an older incarnation changes nothing
  kEpoch,        // nothing of another epoch changes anything
  kPoison,       // NaN and infinity stay out
  kCredits,      // nobody exceeds a credit
  kHostile,      // strangers change nothing and are answered
  kMembership,   // a place has one process at a time
  kCount,
};
const char* PromiseName(Promise promise);

// What happened in one simulation, or in many.
struct Totals {
  uint64_t seeds = 0;
  uint64_t events = 0;
  std::array<uint64_t, static_cast<size_t>(Fault::kCount)> faults{};
  std::array<uint64_t, static_cast<size_t>(Outcome::kPending) + 1> outcomes{};  // of slices pushed
  std::array<uint64_t, static_cast<size_t>(Promise::kCount)> checks{};

  void Add(const Totals& other);
  uint64_t& of(Fault fault) { return faults[static_cast<size_t>(fault)]; }
  uint64_t& of(Outcome outcome) { return outcomes[static_cast<size_t>(outcome)]; }
  uint64_t& of(Promise promise) { return checks[static_cast<size_t>(promise)]; }
  // Slices of pushes that have ended.
  uint64_t ended() const;
  // Those injected, not those that follow from others.
  uint64_t injected() const;
  // The names of what never happened.
  std::vector<std::string> Missing() const;
  std::string Table() const;
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_TOTALS_H_
