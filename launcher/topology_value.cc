// SPDX-License-Identifier: Apache-2.0
#include "launcher/topology_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "launcher/nearest_name.h"

namespace weir {
namespace {

constexpr size_t kMaxShown = 48;  // letters of a wrong value that a message repeats

// A number as people write it: 1024, 0.5, 1e-08.
std::string NumberText(double value) {
  char buffer[32];
  const bool whole = value == std::floor(value) && std::abs(value) < 1e17;
  const auto end = whole
                       ? std::to_chars(buffer, buffer + sizeof(buffer), static_cast<int64_t>(value))
                       : std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

std::string BytesText(double bytes) {
  if (bytes >= (1 << 20)) return absl::StrCat(NumberText(bytes / (1 << 20)), "MiB");
  return absl::StrCat(NumberText(bytes / 1024), "KiB");
}

// "from 1 to 8", "over 0 and at most 1", "of at least 0 and below 1".
std::string RangeText(const TopologyKey& key) {
  const std::string min = NumberText(key.min), max = NumberText(key.max);
  if (!key.min_excluded && !key.max_excluded) return absl::StrCat("from ", min, " to ", max);
  return absl::StrCat(key.min_excluded ? "over " : "of at least ", min, " and ",
                      key.max_excluded ? "below " : "at most ", max);
}

bool InRange(const TopologyKey& key, double value) {
  return (key.min_excluded ? value > key.min : value >= key.min) &&
         (key.max_excluded ? value < key.max : value <= key.max);
}

std::string Shown(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kScalar:
      break;
  }
  const std::string text =
      node.text.size() > kMaxShown ? node.text.substr(0, kMaxShown) + "..." : node.text;
  return absl::StrCat(node.quoted ? "the quoted text '" : "'", absl::Utf8SafeCEscape(text), "'");
}

YamlProblem Wrong(const TopologyKey& key, const YamlNode& node) {
  const char* hint = "";
  if (node.quoted && (key.type == KeyType::kInteger || key.type == KeyType::kNumber))
    hint = ": remove the quotes";
  return {node.at, absl::StrCat("wants ", Expectation(key), ", got ", Shown(node), hint)};
}

// Digits only: no sign but '-', no leading zero, no fraction.
std::optional<int64_t> ReadInteger(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar || node.quoted) return std::nullopt;
  const absl::string_view digits = absl::StripPrefix(node.text, "-");
  if (digits.empty() || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  if (!std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit)) return std::nullopt;
  int64_t value;
  if (!absl::SimpleAtoi(node.text, &value)) return std::nullopt;
  return value;
}

std::optional<double> ReadNumber(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar || node.quoted) return std::nullopt;
  double value;
  if (!absl::SimpleAtod(node.text, &value) || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<int64_t> ReadBytes(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar) return std::nullopt;
  absl::string_view text = node.text;
  int64_t unit = 1;
  if (absl::ConsumeSuffix(&text, "KiB")) {
    unit = 1 << 10;
  } else if (absl::ConsumeSuffix(&text, "MiB")) {
    unit = 1 << 20;
  }
  YamlNode digits = node;
  digits.text = std::string(absl::StripTrailingAsciiWhitespace(text));
  digits.quoted = node.quoted && unit == 1;
  const std::optional<int64_t> count = ReadInteger(digits);
  if (!count.has_value() || std::abs(*count) > (int64_t{1} << 40) / unit) return std::nullopt;
  return *count * unit;
}

bool IsText(absl::string_view text, double max_letters) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  return static_cast<double>(text.size()) <= max_letters &&
         std::none_of(text.begin(), text.end(), is_control);
}

bool IsName(absl::string_view text) {
  const auto is_letter = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && absl::ascii_isalnum(text[0]) &&
         std::all_of(text.begin(), text.end(), is_letter);
}

// Reads one value into the member it is for; the overload says how each type of member is read.
class ValueReader {
 public:
  ValueReader(const TopologyKey& key, const YamlNode& node, const std::string& directory)
      : key_(key), node_(node), directory_(directory) {}

  std::optional<YamlProblem> operator()(int64_t* member) const {
    const std::optional<int64_t> value =
        key_.type == KeyType::kBytes ? ReadBytes(node_) : ReadInteger(node_);
    if (!value.has_value() || !InRange(key_, static_cast<double>(*value)))
      return Wrong(key_, node_);
    if (key_.type == KeyType::kBytes && *value % 4 != 0) return Wrong(key_, node_);
    *member = *value;
    return std::nullopt;
  }

  std::optional<YamlProblem> operator()(uint64_t* member) const {
    int64_t value;
    if (std::optional<YamlProblem> problem = (*this)(&value)) return problem;
    *member = static_cast<uint64_t>(value);
    return std::nullopt;
  }

  std::optional<YamlProblem> operator()(double* member) const {
    const std::optional<double> value = ReadNumber(node_);
    if (!value.has_value() || !InRange(key_, *value)) return Wrong(key_, node_);
    *member = *value;
    return std::nullopt;
  }

  template <typename T>
  std::optional<YamlProblem> operator()(std::optional<T>* member) const {
    T value;
    if (std::optional<YamlProblem> problem = (*this)(&value)) return problem;
    *member = value;
    return std::nullopt;
  }

  std::optional<YamlProblem> operator()(absl::Duration* member) const {
    absl::Duration value;
    if (node_.kind != YamlNode::Kind::kScalar || !absl::ParseDuration(node_.text, &value) ||
        !InRange(key_, absl::ToDoubleSeconds(value))) {
      return Wrong(key_, node_);
    }
    *member = value;
    return std::nullopt;
  }

  std::optional<YamlProblem> operator()(std::string* member) const {
    if (node_.kind != YamlNode::Kind::kScalar || node_.text.empty() ||
        !IsText(node_.text, key_.max)) {
      return Wrong(key_, node_);
    }
    if (key_.type == KeyType::kName && !IsName(node_.text)) return Wrong(key_, node_);
    *member = node_.text;
    if (key_.type == KeyType::kPath) {
      *member = (std::filesystem::path(directory_) / node_.text).lexically_normal().string();
    }
    return std::nullopt;
  }

  std::optional<YamlProblem> operator()(ChoiceField member) const {
    if (node_.kind != YamlNode::Kind::kScalar) return Wrong(key_, node_);
    std::vector<std::string> names;
    for (size_t i = 0; i < key_.choices.size(); ++i) {
      if (node_.text == key_.choices[i].name) {
        member.Set(i);
        return std::nullopt;
      }
      names.push_back(key_.choices[i].name);
    }
    YamlProblem problem = Wrong(key_, node_);
    const std::string nearest = NearestName(node_.text, names);
    if (!nearest.empty()) absl::StrAppend(&problem.message, "; did you mean ", nearest, "?");
    return problem;
  }

  std::optional<YamlProblem> operator()(CodecChoice* member) const {
    return ReadCodecChoice(node_, member);
  }

  std::optional<YamlProblem> operator()(std::vector<std::string>* member) const {
    if (!IsListOfRightSize()) return Wrong(key_, node_);
    std::vector<std::string> values;
    for (const YamlNode& item : node_.items) {
      if (item.kind != YamlNode::Kind::kScalar || !IsText(item.text, key_.max))
        return Wrong(key_, item);
      values.push_back(item.text);
    }
    *member = std::move(values);
    return std::nullopt;
  }

  std::optional<YamlProblem> operator()(std::vector<int64_t>* member) const {
    if (!IsListOfRightSize()) return Wrong(key_, node_);
    std::vector<int64_t> values;
    for (const YamlNode& item : node_.items) {
      const std::optional<int64_t> value = ReadInteger(item);
      if (!value.has_value() || !InRange(key_, static_cast<double>(*value)))
        return Wrong(key_, item);
      values.push_back(*value);
    }
    *member = std::move(values);
    return std::nullopt;
  }

 private:
  bool IsListOfRightSize() const {
    return node_.kind == YamlNode::Kind::kList && !node_.items.empty() &&
           node_.items.size() <= key_.max_items;
  }

  const TopologyKey& key_;
  const YamlNode& node_;
  const std::string& directory_;
};

// Plain where YAML cannot take it for anything but a text; else in double quotes.
std::string QuotedIfNeeded(const std::string& text) {
  const auto is_plain = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '/' || c == '.' || c == '-';
  };
  const bool starts_plain = !text.empty() && (absl::ascii_isalpha(text[0]) || text[0] == '/');
  const std::string lower = absl::AsciiStrToLower(text);
  const bool is_word =
      lower == "null" || lower == "true" || lower == "false" || lower == "yes" || lower == "no";
  if (starts_plain && !is_word && std::all_of(text.begin(), text.end(), is_plain)) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

// The inverse of ValueReader.
class ValueWriter {
 public:
  explicit ValueWriter(const TopologyKey& key) : key_(key) {}

  std::string operator()(const int64_t* member) const { return absl::StrCat(*member); }
  std::string operator()(const uint64_t* member) const {
    return *member == 0 && key_.min > 0 ? "" : absl::StrCat(*member);
  }
  std::string operator()(const double* member) const { return NumberText(*member); }
  template <typename T>
  std::string operator()(const std::optional<T>* member) const {
    return member->has_value() ? (*this)(&**member) : "";
  }
  std::string operator()(const absl::Duration* member) const {
    return absl::FormatDuration(*member);
  }
  std::string operator()(const std::string* member) const {
    return member->empty() ? "" : QuotedIfNeeded(*member);
  }
  std::string operator()(const CodecChoice* member) const { return CodecChoiceText(*member); }
  std::string operator()(ChoiceField member) const { return key_.choices.at(member.Get()).name; }
  std::string operator()(const std::vector<std::string>* member) const {
    if (member->empty()) return "";
    std::vector<std::string> texts;
    for (const std::string& text : *member) texts.push_back(QuotedIfNeeded(text));
    return absl::StrCat("[", absl::StrJoin(texts, ", "), "]");
  }
  std::string operator()(const std::vector<int64_t>* member) const {
    return member->empty() ? "" : absl::StrCat("[", absl::StrJoin(*member, ", "), "]");
  }

 private:
  const TopologyKey& key_;
};

}  // namespace

std::string Expectation(const TopologyKey& key) {
  switch (key.type) {
    case KeyType::kInteger:
      if (key.min == key.max) return NumberText(key.min);
      return absl::StrCat("a whole number ", RangeText(key));
    case KeyType::kNumber:
      return absl::StrCat("a number ", RangeText(key));
    case KeyType::kBytes:
      return absl::StrCat("bytes from ", BytesText(key.min), " to ", BytesText(key.max),
                          ", a multiple of 4 (as 65536, 64KiB or 1MiB)");
    case KeyType::kDuration:
      return absl::StrCat("a duration from 0 to ", absl::FormatDuration(absl::Seconds(key.max)),
                          " (as 200ms, 5s or 2h)");
    case KeyType::kChoice:
      return absl::StrCat(
          "one of ", absl::StrJoin(key.choices, ", ", [](std::string* out, const Choice& choice) {
            absl::StrAppend(out, choice.name);
          }));
    case KeyType::kText:
      return absl::StrCat("a text of 1 to ", NumberText(key.max), " characters");
    case KeyType::kName:
      return absl::StrCat("a name of 1 to ", NumberText(key.max),
                          " letters, digits, '.', '_' and '-'");
    case KeyType::kPath:
      return "a path";
    case KeyType::kTexts:
      return absl::StrCat("a list of 1 to ", key.max_items, " texts (as ", key.example, ")");
    case KeyType::kIntegers:
      return absl::StrCat("a list of 1 to ", key.max_items, " whole numbers ", RangeText(key),
                          " (as ", key.example, ")");
    case KeyType::kCodecs:
      return "f32, f16, bf16 or int8, or a map of push, pull, error_feedback and tensors";
  }
  return "";
}

std::optional<YamlProblem> ReadValue(const TopologyKey& key, const YamlNode& value,
                                     const std::string& directory, Topology* topology) {
  return std::visit(ValueReader(key, value, directory), key.field(*topology));
}

std::string ValueText(const TopologyKey& key, const Topology& topology) {
  // The rows give places to write to; nothing is written here.
  return std::visit(ValueWriter(key), key.field(const_cast<Topology&>(topology)));
}

void ResetValue(const TopologyKey& key, Topology* topology) {
  Topology defaults;
  const Field from = key.field(defaults);
  const Field to = key.field(*topology);
  std::visit(
      [&](auto to_member) {
        const auto from_member = std::get<decltype(to_member)>(from);
        if constexpr (std::is_same_v<decltype(to_member), ChoiceField>) {
          to_member.Set(from_member.Get());
        } else {
          *to_member = *from_member;
        }
      },
      to);
}

const Condition* UnmetCondition(const TopologyKey& key, const Topology& topology) {
  for (const Condition& condition : key.conditions) {
    const std::string text = ValueText(*FindTopologyKey(condition.key), topology);
    const bool met = condition.values.empty()
                         ? !text.empty()
                         : std::find(condition.values.begin(), condition.values.end(), text) !=
                               condition.values.end();
    if (!met) return &condition;
  }
  return nullptr;
}

std::string ConditionWords(const Condition& condition) {
  if (condition.values.empty()) return condition.key;
  if (condition.values.front().empty()) return absl::StrCat("no ", condition.key);
  std::string words = absl::StrCat(condition.key, ": ");
  for (size_t i = 0; i < condition.values.size(); ++i) {
    const bool last = i + 1 == condition.values.size();
    absl::StrAppend(&words, i == 0 ? "" : (last ? " or " : ", "), condition.values[i]);
  }
  return words;
}

}  // namespace weir
