// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/totals.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::sim {
namespace {

// In a simulation of this build every outcome of a push can be seen, but for the one that is none.
constexpr size_t kFirstOutcome = 1;

template <typename Array>
void AddAll(const Array& from, Array* to) {
  for (size_t i = 0; i < from.size(); ++i) (*to)[i] += from[i];
}

}  // namespace

const char* FaultName(Fault fault) {
  static constexpr const char* kNames[] = {
      "connection refused", "connection cut",       "request lost",
      "answer lost",        "push sent again",      "reordered",
      "late frame",         "slow connection",      "client not reading",
      "control call lost",  "worker paused",        "paused over its lease",
      "worker crashed",     "died within one push", "worker replaced",
      "epoch changed",      "poison pushed",        "hostile session"};
  static_assert(sizeof(kNames) / sizeof(kNames[0]) == static_cast<size_t>(Fault::kCount));
  return kNames[static_cast<size_t>(fault)];
}

const char* PromiseName(Promise promise) {
  static constexpr const char* kNames[] = {
      "versions", "snapshot", "outcome", "exactly once", "staleness", "same bits", "deadline",
      "fenced",   "epoch",    "poison",  "credits",      "hostile",   "membership"};
  static_assert(sizeof(kNames) / sizeof(kNames[0]) == static_cast<size_t>(Promise::kCount));
  return kNames[static_cast<size_t>(promise)];
}

void Totals::Add(const Totals& other) {
  seeds += other.seeds;
  events += other.events;
  AddAll(other.faults, &faults);
  AddAll(other.outcomes, &outcomes);
  AddAll(other.checks, &checks);
}

uint64_t Totals::ended() const {
  return outcomes[static_cast<size_t>(Outcome::kApplied)] +
         outcomes[static_cast<size_t>(Outcome::kStale)] +
         outcomes[static_cast<size_t>(Outcome::kInvalid)] +
         outcomes[static_cast<size_t>(Outcome::kDuplicate)];
}

uint64_t Totals::injected() const {
  uint64_t sum = 0;
  for (const Fault fault :
       {Fault::kCut, Fault::kSlow, Fault::kNotReading, Fault::kPause, Fault::kCrash,
        Fault::kEpochChange, Fault::kPoison, Fault::kHostile, Fault::kControlLost}) {
    sum += faults[static_cast<size_t>(fault)];
  }
  return sum;
}

std::vector<std::string> Totals::Missing() const {
  std::vector<std::string> missing;
  for (size_t i = 0; i < faults.size(); ++i) {
    if (faults[i] == 0)
      missing.push_back(absl::StrCat("fault '", FaultName(static_cast<Fault>(i)), "'"));
  }
  for (size_t i = kFirstOutcome; i < outcomes.size(); ++i) {
    if (outcomes[i] == 0)
      missing.push_back(absl::StrCat("outcome '", OutcomeName(static_cast<Outcome>(i)), "'"));
  }
  for (size_t i = 0; i < checks.size(); ++i) {
    if (checks[i] == 0)
      missing.push_back(absl::StrCat("promise '", PromiseName(static_cast<Promise>(i)), "'"));
  }
  return missing;
}

std::string Totals::Table() const {
  std::string table = absl::StrFormat("%-24s %14d\n%-24s %14d\n", "seeds", seeds, "events", events);
  absl::StrAppend(&table, "\nfaults\n");
  for (size_t i = 0; i < faults.size(); ++i) {
    absl::StrAppendFormat(&table, "  %-22s %14d\n", FaultName(static_cast<Fault>(i)), faults[i]);
  }
  absl::StrAppend(&table, "\noutcomes of slices pushed\n");
  for (size_t i = kFirstOutcome; i < outcomes.size(); ++i) {
    absl::StrAppendFormat(&table, "  %-22s %14d\n", OutcomeName(static_cast<Outcome>(i)),
                          outcomes[i]);
  }
  absl::StrAppend(&table, "\nchecks of promises\n");
  for (size_t i = 0; i < checks.size(); ++i) {
    absl::StrAppendFormat(&table, "  %-22s %14d\n", PromiseName(static_cast<Promise>(i)),
                          checks[i]);
  }
  return table;
}

}  // namespace weir::sim
