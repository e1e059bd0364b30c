// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_JUDGE_H_
#define WEIR_TESTS_SIM_JUDGE_H_

#include <optional>
#include <string>

#include "tests/sim/totals.h"

namespace weir::sim {

// A promise that was broken, and how.
struct Broken {
  Promise promise = Promise::kCount;
  std::string sentence;
};

// Counts the checks and keeps the first that failed.
class Judge {
 public:
  explicit Judge(Totals* totals) : totals_(totals) {}

  // `sentence()` is asked only when `holds` is false. Returns `holds`.
  template <typename Sentence>
  bool Expect(Promise promise, bool holds, Sentence sentence) {
    ++totals_->of(promise);
    if (!holds && !broken_) broken_ = Broken{promise, sentence()};
    return holds;
  }

  const std::optional<Broken>& broken() const { return broken_; }

 private:
  Totals* const totals_;
  std::optional<Broken> broken_;
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_JUDGE_H_
