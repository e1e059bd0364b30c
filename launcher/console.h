// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_CONSOLE_H_
#define WEIR_LAUNCHER_CONSOLE_H_

#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace weir {

// Where a run talks to its operator: on a terminal one live line that is written over, elsewhere a
// plain line every kPlainInterval. Not thread-safe.
class Console {
 public:
  struct Options {
    FILE* out = nullptr;    // borrowed
    bool terminal = false;  // it understands carriage returns and "erase to the end of the line"
    bool color = false;     // and colours
    int columns = 80;
  };
  explicit Console(Options options) : options_(options) {}

  // The state of affairs at `now`. Shown at once on a terminal; elsewhere when kPlainInterval has
  // passed since the last one shown, and it is another line.
  void Status(const std::string& line, absl::Time now);
  // Shows the last line of Status if it was not; then text stays: whole lines, each ending with a
  // newline.
  void Say(absl::string_view text);
  // The same in red, where there is colour.
  void SayWrong(absl::string_view text);

  static constexpr absl::Duration kPlainInterval = absl::Seconds(2);

 private:
  void EndLine();

  const Options options_;
  std::string last_;   // of Status
  std::string shown_;  // of Status
  absl::Time shown_at_ = absl::InfinitePast();
  bool live_ = false;  // the cursor stands behind a live line
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_CONSOLE_H_
