// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_YAML_READER_H_
#define WEIR_LAUNCHER_YAML_READER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace weir {

// A place in a text: lines and columns count from 1, columns in bytes.
struct TextPosition {
  int line = 1;
  int column = 1;
};

struct YamlEntry;

// One value of a YAML document. Only the members that `kind` names are set.
struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  TextPosition at;
  std::string text;                // kScalar
  bool quoted = false;             // kScalar: written in quotes, so always a text
  std::vector<YamlNode> items;     // kList
  std::vector<YamlEntry> entries;  // kMap, in the order of the file, keys unique
};

struct YamlEntry {
  std::string key;
  TextPosition at;  // of the key
  YamlNode value;
};

struct YamlProblem {
  TextPosition at;
  std::string message;
};

// `root` is of use only if `complete`: then all of the text was read. Otherwise the last problem
// says where reading ended.
struct YamlDocument {
  YamlNode root;
  bool complete = false;
  std::vector<YamlProblem> problems;
};

constexpr int kMaxYamlDepth = 16;           // lists and maps within each other
constexpr size_t kMaxYamlNodes = 100'000;   // scalars, lists and maps of one document
constexpr size_t kMaxYamlProblems = 1'000;  // then reading ends

// Reads one YAML document of any bytes.
//
// Narrower than YAML on purpose, and each of these is a problem with a place: a key given twice in
// one map, a key that is not a plain text, anchors, aliases and tags (so nothing expands), a second
// document, bytes that are no text, and anything over the limits above. Throws nothing; memory is
// bounded by the text and the limits.
YamlDocument ReadYaml(absl::string_view text);

}  // namespace weir

#endif  // WEIR_LAUNCHER_YAML_READER_H_
