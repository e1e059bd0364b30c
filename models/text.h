// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_TEXT_H_
#define WEIR_MODELS_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

// Walks over the lines of a text that outlives it. Lines end with \n or \r\n; a byte order mark at
// the start is skipped.
class Lines {
 public:
  explicit Lines(std::string_view text);

  // Moves to the next line; false at the end.
  bool Next();
  // The line without its end, and without spaces and tabs around it.
  std::string_view line() const { return line_; }
  int64_t number() const { return number_; }  // from 1

 private:
  std::string_view rest_;
  std::string_view line_;
  int64_t number_ = 0;
};

// `text` without spaces, tabs and \r around it.
std::string_view Trimmed(std::string_view text);

// The number that the whole of `text` spells in decimal, by the C locale's rules, a leading +
// allowed; infinite or NaN where it says so or is out of a double's range. Nothing when it is no
// number.
std::optional<double> ParseNumber(std::string_view text);

// `text` in quotes for a message: at most 40 bytes of it, unprintable ones as '?'.
std::string Quoted(std::string_view text);

}  // namespace weir

#endif  // WEIR_MODELS_TEXT_H_
