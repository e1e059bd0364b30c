// SPDX-License-Identifier: Apache-2.0
#include "launcher/flags.h"

#include <gflags/gflags.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "launcher/nearest_name.h"

namespace weir {
namespace {

// One word of the form --name or --name=value.
struct Flag {
  std::string name;
  bool has_value = false;
  std::string value;
};

bool IsFlag(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

Flag Split(const std::string& word) {
  absl::string_view text = word;
  absl::ConsumePrefix(&text, "-");
  absl::ConsumePrefix(&text, "-");
  Flag flag;
  const size_t equals = text.find('=');
  flag.name = std::string(text.substr(0, equals));
  flag.has_value = equals != absl::string_view::npos;
  if (flag.has_value) flag.value = std::string(text.substr(equals + 1));
  return flag;
}

bool IsBool(const std::string& name) {
  gflags::CommandLineFlagInfo info;
  return gflags::GetCommandLineFlagInfo(name.c_str(), &info) && info.type == "bool";
}

class Parser {
 public:
  Parser(const FlagTable& table, const std::vector<std::string>& words)
      : table_(table), words_(words) {}

  absl::StatusOr<CommandLine> Parse() {
    for (next_ = 0; next_ < words_.size();) {
      const std::string& word = words_[next_++];
      if (word == "--") {
        line_.arguments.insert(line_.arguments.end(), words_.begin() + next_, words_.end());
        break;
      }
      if (!IsFlag(word)) {
        line_.arguments.push_back(word);
        continue;
      }
      absl::Status status = Take(Split(word));
      if (line_.help) return line_;
      if (!status.ok()) return status;
    }
    return Checked();
  }

 private:
  bool Knows(const std::string& name) const {
    return std::find(table_.flags.begin(), table_.flags.end(), name) != table_.flags.end();
  }

  absl::Status Take(Flag flag) {
    if (flag.name == "help" || flag.name == "h") {
      line_.help = true;
      return absl::OkStatus();
    }
    const bool repeated = !table_.repeated.empty() && flag.name == table_.repeated;
    if (!repeated && !Knows(flag.name)) {
      const std::string positive(absl::StripPrefix(flag.name, "no"));
      if (flag.has_value || positive == flag.name || !Knows(positive) || !IsBool(positive)) {
        return Unknown(flag.name);
      }
      flag = Flag{positive, true, "false"};
    }
    if (!flag.has_value && !repeated && IsBool(flag.name)) {
      flag.value = "true";
    } else if (!flag.has_value) {
      if (next_ == words_.size() || absl::StartsWith(words_[next_], "--")) {
        return absl::InvalidArgumentError(absl::StrCat("--", flag.name, " wants a value"));
      }
      flag.value = words_[next_++];
    }
    if (repeated) {
      line_.repeated.push_back(flag.value);
    } else if (gflags::SetCommandLineOption(flag.name.c_str(), flag.value.c_str()).empty()) {
      gflags::CommandLineFlagInfo info;
      gflags::GetCommandLineFlagInfo(flag.name.c_str(), &info);
      return absl::InvalidArgumentError(absl::StrCat("--", flag.name, " takes a value of type ",
                                                     info.type, ", not '", flag.value, "'"));
    }
    return absl::OkStatus();
  }

  absl::Status Unknown(const std::string& name) const {
    std::vector<std::string> names = table_.flags;
    if (!table_.repeated.empty()) names.push_back(table_.repeated);
    names.push_back("help");
    const std::string nearest = NearestName(name, names);
    return absl::InvalidArgumentError(
        absl::StrCat("unknown flag --", name,
                     nearest.empty() ? "" : absl::StrCat("; did you mean --", nearest, "?")));
  }

  absl::StatusOr<CommandLine> Checked() {
    const size_t count = line_.arguments.size();
    if (count < table_.min_arguments) {
      return absl::InvalidArgumentError(
          absl::StrCat("an argument is missing; usage: ", table_.usage));
    }
    if (count > table_.max_arguments) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", line_.arguments[table_.max_arguments],
                       "' is one argument too many; usage: ", table_.usage));
    }
    return line_;
  }

  const FlagTable& table_;
  const std::vector<std::string>& words_;
  size_t next_ = 0;
  CommandLine line_;
};

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const FlagTable& table,
                                             const std::vector<std::string>& words) {
  return Parser(table, words).Parse();
}

std::string HelpText(const FlagTable& table) {
  std::string text = absl::StrCat("Usage: ", table.usage, "\n\n", table.about, "\n");
  if (table.flags.empty() && table.repeated.empty()) return text;
  absl::StrAppend(&text, "\nFlags:\n");
  const auto add = [&](std::string left, absl::string_view right) {
    left.resize(std::max<size_t>(left.size() + 2, 28), ' ');
    absl::StrAppend(&text, "  ", left, right, "\n");
  };
  if (!table.repeated.empty()) {
    add(absl::StrCat("--", table.repeated, "=VALUE ..."), table.repeated_help);
  }
  for (const std::string& name : table.flags) {
    gflags::CommandLineFlagInfo info;
    if (!gflags::GetCommandLineFlagInfo(name.c_str(), &info)) continue;
    const auto instead = table.instead.find(name);
    if (instead != table.instead.end()) {
      if (!instead->second.empty()) add(absl::StrCat("--", name, "=VALUE"), instead->second);
      continue;
    }
    const bool quiet = info.default_value.empty() || info.default_value == "false";
    add(absl::StrCat("--", name, info.type == "bool" ? "" : "=VALUE"),
        absl::StrCat(info.description,
                     quiet ? "" : absl::StrCat(" (default ", info.default_value, ")")));
  }
  add("--help", "this page");
  return text;
}

}  // namespace weir
