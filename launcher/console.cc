// SPDX-License-Identifier: Apache-2.0
#include "launcher/console.h"

#include "absl/strings/str_cat.h"

namespace weir {

void Console::Status(const std::string& line, absl::Time now) {
  last_ = line;
  if (!options_.terminal) {
    if (line == shown_ || now - shown_at_ < kPlainInterval) return;
    fprintf(options_.out, "%s\n", line.c_str());
  } else {
    if (line == shown_ && live_) return;
    const std::string cut =
        line.substr(0, static_cast<size_t>(options_.columns > 1 ? options_.columns - 1 : 1));
    fprintf(options_.out, "\r%s\x1b[K", cut.c_str());
    live_ = true;
  }
  fflush(options_.out);
  shown_ = line;
  shown_at_ = now;
}

void Console::EndLine() {
  if (live_) fputc('\n', options_.out);
  if (!options_.terminal && last_ != shown_) fprintf(options_.out, "%s\n", last_.c_str());
  live_ = false;
  shown_ = last_;
}

void Console::Say(absl::string_view text) {
  EndLine();
  fwrite(text.data(), 1, text.size(), options_.out);
  fflush(options_.out);
}

void Console::SayWrong(absl::string_view text) {
  if (options_.color) {
    Say(absl::StrCat("\x1b[31m", text, "\x1b[0m"));
  } else {
    Say(text);
  }
}

}  // namespace weir
