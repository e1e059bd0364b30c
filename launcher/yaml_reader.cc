// SPDX-License-Identifier: Apache-2.0
#include "launcher/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace weir {
namespace {

TextPosition PositionOf(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {mark.line + 1, mark.column + 1};
}

// Leaves the parser from within an event; never leaves this file.
struct StopReading {};

// Builds the tree from the parser's events. Of a duplicate key the first value stays.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(YamlDocument* document) : document_(*document) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) return;
    Refuse(PositionOf(mark), "a second document (after '---') is not accepted");
    throw StopReading();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
    Add(Node(YamlNode::Kind::kNull, mark));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(PositionOf(mark), "aliases (*name) are not accepted: write the value out");
    Add(Node(YamlNode::Kind::kNull, mark));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
    YamlNode node = Node(YamlNode::Kind::kScalar, mark);
    node.text = value;
    node.quoted = tag == "!";
    last_quote_ = node.quoted ? std::optional<TextPosition>(node.at) : std::nullopt;
    Add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { Close(); }

  // Where the last scalar began, if it was in quotes.
  std::optional<TextPosition> last_quote() const { return last_quote_; }

 private:
  // A list or map whose end is still to come.
  struct Level {
    YamlNode node;
    bool key_is_text = true;                    // of a map: of `entry`
    std::optional<YamlEntry> entry;             // of a map: a key that waits for its value
    std::map<std::string, TextPosition> first;  // of a map: where each key was
  };

  YamlNode Node(YamlNode::Kind kind, const YAML::Mark& mark) {
    YamlNode node;
    node.kind = kind;
    node.at = PositionOf(mark);
    if (++nodes_ > kMaxYamlNodes) {
      Refuse(node.at, absl::StrCat("more than ", kMaxYamlNodes, " values: not a topology"));
      throw StopReading();
    }
    return node;
  }

  void Open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
    Level level;
    level.node = Node(kind, mark);
    if (levels_.size() >= kMaxYamlDepth) {
      Refuse(level.node.at, absl::StrCat("nested more than ", kMaxYamlDepth, " levels deep"));
      throw StopReading();
    }
    levels_.push_back(std::move(level));
  }

  void Close() {
    YamlNode node = std::move(levels_.back().node);
    levels_.pop_back();
    Add(std::move(node));
  }

  // Puts a finished value where it belongs: the root, an item of a list, a key or a value of a map.
  void Add(YamlNode node) {
    if (levels_.empty()) {
      document_.root = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == YamlNode::Kind::kList) {
      level.node.items.push_back(std::move(node));
    } else if (!level.entry.has_value()) {
      level.key_is_text = node.kind == YamlNode::Kind::kScalar;
      level.entry = YamlEntry{std::move(node.text), node.at, {}};
      if (!level.key_is_text) Refuse(node.at, "a key is a plain text");
    } else {
      level.entry->value = std::move(node);
      AddEntry(*std::exchange(level.entry, std::nullopt), &level);
    }
  }

  void AddEntry(YamlEntry entry, Level* level) {
    if (!level->key_is_text) return;
    // Of nothing the parser knows no place but that of what follows.
    const YamlNode& value = entry.value;
    if (value.kind == YamlNode::Kind::kNull && value.text.empty()) entry.value.at = entry.at;
    const auto [first, is_new] = level->first.emplace(entry.key, entry.at);
    if (is_new) {
      level->node.entries.push_back(std::move(entry));
      return;
    }
    Refuse(entry.at, absl::StrCat("duplicate key '", absl::Utf8SafeCEscape(entry.key),
                                  "': it stands already at line ", first->second.line, ", column ",
                                  first->second.column));
  }

  void RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) Refuse(PositionOf(mark), "anchors (&name) are not accepted");
  }

  void RefuseTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    Refuse(PositionOf(mark),
           absl::StrCat("tags are not accepted, got '", absl::Utf8SafeCEscape(tag), "'"));
  }

  void Refuse(TextPosition at, std::string message) {
    document_.problems.push_back({at, std::move(message)});
    if (document_.problems.size() >= kMaxYamlProblems) throw StopReading();
  }

  YamlDocument& document_;
  std::vector<Level> levels_;
  size_t nodes_ = 0;
  int documents_ = 0;
  std::optional<TextPosition> last_quote_;
};

// The first byte that cannot stand in a text, if any.
std::optional<YamlProblem> FindBinary(absl::string_view text) {
  TextPosition at;
  for (const char c : text) {
    if (c == '\n') {
      ++at.line;
      at.column = 1;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\r') || byte == 0x7f) {
      return YamlProblem{at, absl::StrCat("byte 0x", absl::Hex(byte, absl::kZeroPad2),
                                          " is not text: is this a YAML file?")};
    }
    ++at.column;
  }
  return std::nullopt;
}

// What follows `at` in the text.
absl::string_view From(absl::string_view text, TextPosition at) {
  for (int line = 1; line < at.line; ++line) {
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos) return "";
    text.remove_prefix(end + 1);
  }
  text.remove_prefix(std::min(text.size(), static_cast<size_t>(at.column - 1)));
  return text;
}

// Whether the text in quotes that begins `text` never ends; yaml-cpp takes the end of the file for
// its end.
bool IsUnclosed(absl::string_view text) {
  if (text.empty() || (text[0] != '"' && text[0] != '\'')) return false;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[0] == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == text[0]) {
      if (text[0] == '"' || i + 1 >= text.size() || text[i + 1] != '\'') return false;
      ++i;
    }
  }
  return true;
}

// The first line up to `last` whose indentation holds a tab.
std::optional<TextPosition> FindTab(absl::string_view text, int last) {
  int line = 0;
  for (const absl::string_view words : absl::StrSplit(text, '\n')) {
    if (++line > last) break;
    const size_t end = words.find_first_not_of(' ');
    if (end != absl::string_view::npos && words[end] == '\t') {
      return TextPosition{line, static_cast<int>(end) + 1};
    }
  }
  return std::nullopt;
}

// Our words for why the parser gave up; yaml-cpp's own where they help.
YamlProblem SyntaxProblem(absl::string_view text, const YAML::Exception& e) {
  const TextPosition at = PositionOf(e.mark);
  if (const std::optional<TextPosition> tab = FindTab(text, at.line)) {
    return {*tab, "a tab in the indentation: YAML wants spaces"};
  }
  const char* hint = "";
  if (e.msg == YAML::ErrorMsg::END_OF_MAP) {
    hint = " (check the indentation and the ':' of the lines above)";
  }
  return {at, absl::StrCat("not YAML: ", e.msg, hint)};
}

}  // namespace

YamlDocument ReadYaml(absl::string_view text) {
  YamlDocument document;
  if (std::optional<YamlProblem> binary = FindBinary(text)) {
    document.problems.push_back(*std::move(binary));
    return document;
  }
  std::istringstream in{std::string(text)};
  TreeBuilder builder(&document);
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
    document.complete = true;
  } catch (const StopReading&) {
    // The problem is recorded.
  } catch (const YAML::Exception& e) {
    document.problems.push_back(SyntaxProblem(text, e));
  }
  const std::optional<TextPosition> quote = builder.last_quote();
  if (document.complete && quote.has_value() && IsUnclosed(From(text, *quote))) {
    document.complete = false;
    document.problems.push_back({*quote, "a text in quotes that never ends"});
  }
  return document;
}

}  // namespace weir
