// SPDX-License-Identifier: Apache-2.0
#include "launcher/topology_parse.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "launcher/nearest_name.h"
#include "launcher/topology_checks.h"
#include "launcher/topology_schema.h"
#include "launcher/topology_value.h"
#include "launcher/yaml_reader.h"

namespace weir {
namespace {

constexpr size_t kMaxShownSetting = 120;

// A place in the file, or a setting.
struct Place {
  int setting = -1;  // index into TopologySource::settings; -1: the file
  TextPosition at;

  bool operator<(const Place& other) const {
    return std::tie(setting, at.line, at.column) <
           std::tie(other.setting, other.at.line, other.at.column);
  }
};

class Parser {
 public:
  explicit Parser(const TopologySource& source) : source_(source) {}

  ParsedTopology Run() {
    if (ReadFile()) {
      for (size_t i = 0; i < source_.settings.size(); ++i) ReadSetting(static_cast<int>(i));
      FillNames();
      CheckEffects();
      CheckRequired();
      CheckValuesTogether();
      FillDerived();
    }
    ParsedTopology parsed;
    parsed.topology = std::move(topology_);
    parsed.errors = Sorted(&errors_);
    parsed.warnings = Sorted(&warnings_);
    return parsed;
  }

 private:
  using Problems = std::vector<std::pair<Place, std::string>>;

  void Error(const Place& place, std::string message) {
    errors_.emplace_back(place, std::move(message));
  }
  void Warning(const Place& place, std::string message) {
    warnings_.emplace_back(place, std::move(message));
  }

  std::string Where(const Place& place) const {
    if (place.setting < 0)
      return absl::StrCat(source_.file, ":", place.at.line, ":", place.at.column);
    const std::string& text = source_.settings[place.setting];
    return absl::StrCat("--set ", absl::Utf8SafeCEscape(text.substr(0, kMaxShownSetting)),
                        text.size() > kMaxShownSetting ? "..." : "");
  }

  std::vector<TopologyProblem> Sorted(Problems* problems) const {
    std::stable_sort(problems->begin(), problems->end(), [](const auto& a, const auto& b) {
      // The file (-1) comes before the settings.
      return a.first < b.first;
    });
    std::vector<TopologyProblem> sorted;
    for (auto& [place, message] : *problems) sorted.push_back({Where(place), std::move(message)});
    return sorted;
  }

  // False if there is no tree to go on with.
  bool ReadFile() {
    YamlDocument document = ReadYaml(source_.text);
    for (YamlProblem& problem : document.problems)
      Error({-1, problem.at}, std::move(problem.message));
    if (!document.complete) return false;
    const YamlNode& root = document.root;
    if (root.kind == YamlNode::Kind::kMap) {
      ReadSection("", root);
      return true;
    }
    if (!document.problems.empty()) return false;
    Error({-1, root.at}, root.kind == YamlNode::Kind::kNull
                             ? "empty: a topology starts with 'version: 1'"
                             : "a topology is a map of keys, starting with 'version: 1'");
    return false;
  }

  void ReadSection(const std::string& section, const YamlNode& map) {
    for (const YamlEntry& entry : map.entries) {
      const std::string path = section.empty() ? entry.key : absl::StrCat(section, ".", entry.key);
      const Place place{-1, entry.at};
      // A dot inside one key of the file must not reach a key of another level.
      const bool dotted = absl::StrContains(entry.key, '.');
      if (const TopologyKey* key = dotted ? nullptr : FindTopologyKey(path)) {
        Take(*key, entry.value, place, source_.directory);
      } else if (const std::vector<std::string> names = NamesInSection(path);
                 !dotted && !names.empty()) {
        if (entry.value.kind == YamlNode::Kind::kMap) {
          ReadSection(path, entry.value);
        } else {
          Error({-1, entry.value.at}, SectionMessage(path, names));
        }
      } else {
        Error(place, UnknownKeyMessage(section, path, dotted));
      }
    }
  }

  static std::string SectionMessage(const std::string& section,
                                    const std::vector<std::string>& names) {
    return absl::StrCat(section, ": wants keys below it: ", absl::StrJoin(names, ", "));
  }

  static std::string UnknownKeyMessage(const std::string& section, const std::string& path,
                                       bool dotted) {
    std::string message =
        absl::StrCat("unknown key '", absl::Utf8SafeCEscape(path.substr(0, kMaxShownSetting)), "'");
    if (dotted && (FindTopologyKey(path) != nullptr || !NamesInSection(path).empty())) {
      return absl::StrCat(message, ": in a file keys are nested, not dotted");
    }
    const std::string nearest = NearestKey(section, path);
    if (!nearest.empty()) return absl::StrCat(message, "; did you mean '", nearest, "'?");
    const std::vector<std::string> names = NamesInSection(section);
    if (names.empty()) return message;
    return absl::StrCat(message, "; known here: ", absl::StrJoin(names, ", "));
  }

  // The known path that was probably meant: a like name in the same section, a like path, or the
  // same name in another section.
  static std::string NearestKey(const std::string& section, const std::string& path) {
    const std::string prefix = section.empty() ? "" : absl::StrCat(section, ".");
    const std::string name = path.substr(std::min(prefix.size(), path.size()));
    const std::string sibling = NearestName(name, NamesInSection(section));
    if (!sibling.empty()) return prefix + sibling;
    std::vector<std::string> paths;
    for (const TopologyKey& key : TopologyKeys()) paths.push_back(key.path);
    const std::string like = NearestName(path, paths);
    if (!like.empty()) return like;
    for (const std::string& other : paths) {
      if (absl::EndsWith(other, absl::StrCat(".", name))) return other;
    }
    return "";
  }

  void ReadSetting(int index) {
    const std::string& setting = source_.settings[index];
    const Place place{index, {}};
    const size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      Error(place, "wants key.path=value");
      return;
    }
    const std::string path = setting.substr(0, equals);
    const TopologyKey* key = FindTopologyKey(path);
    if (key == nullptr) {
      const std::vector<std::string> names = NamesInSection(path);
      const size_t dot = path.rfind('.');
      Error(place, names.empty()
                       ? UnknownKeyMessage(dot == std::string::npos ? "" : path.substr(0, dot),
                                           path, false)
                       : SectionMessage(path, names));
      return;
    }
    if (!set_.insert(path).second) {
      Error(place, absl::StrCat(path, ": set twice"));
      return;
    }
    YamlNode value;
    if (!ReadSettingValue(*key, setting.substr(equals + 1), place, &value)) return;
    Take(*key, value, place, source_.settings_directory);
  }

  // A list or a map is YAML; every other value is the text as it stands.
  bool ReadSettingValue(const TopologyKey& key, const std::string& text, const Place& place,
                        YamlNode* value) {
    if (key.type == KeyType::kTexts || key.type == KeyType::kIntegers ||
        key.type == KeyType::kCodecs) {
      YamlDocument document = ReadYaml(text);
      for (const YamlProblem& problem : document.problems)
        Error(place, absl::StrCat(key.path, ": ", problem.message));
      *value = std::move(document.root);
      if (!document.problems.empty()) bad_.insert(key.path);
      return document.problems.empty();
    }
    value->kind = text.empty() ? YamlNode::Kind::kNull : YamlNode::Kind::kScalar;
    value->text = text;
    return true;
  }

  void Take(const TopologyKey& key, const YamlNode& value, const Place& place,
            const std::string& directory) {
    given_[key.path] = place;
    std::optional<YamlProblem> problem = ReadValue(key, value, directory, &topology_);
    if (!problem.has_value()) {
      // A right setting heals a wrong line for what comes next; the line stays an error.
      if (place.setting >= 0) bad_.erase(key.path);
      return;
    }
    bad_.insert(key.path);
    Error(place.setting < 0 ? Place{-1, problem->at} : place,
          absl::StrCat(key.path, ": ", problem->message));
  }

  // The name and directories that come from the file's place.
  void FillNames() {
    if (given_.count("name") != 0) return;
    std::string name = std::filesystem::path(source_.file).stem().string();
    for (char& c : name) {
      if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_') c = '-';
    }
    name = name.substr(0, std::min<size_t>(64, name.size()));
    topology_.name =
        name.empty() || !absl::ascii_isalnum(static_cast<unsigned char>(name[0])) ? "weir" : name;
  }

  // Whether the key that a condition asks for has a value to rely on.
  bool IsKnown(const std::string& path) const {
    if (bad_.count(path) != 0) return false;
    return !FindTopologyKey(path)->required || given_.count(path) != 0;
  }

  // Refuses, or ignores, what has no effect beside the rest, and refuses what is not built yet.
  void CheckEffects() {
    for (const TopologyKey& key : TopologyKeys()) {
      const auto given = given_.find(key.path);
      if (given == given_.end()) continue;
      const Condition* unmet = UnmetCondition(key, topology_);
      if (unmet != nullptr) {
        if (IsKnown(unmet->key)) RefuseOrIgnore(key, *unmet, given->second);
        continue;
      }
      if (bad_.count(key.path) != 0) continue;
      if (const std::string message = NotYetMessage(key); !message.empty()) {
        Error(given->second, absl::StrCat(key.path, ": ", message));
      }
    }
    for (const std::string& path : ignored_) ResetValue(*FindTopologyKey(path), &topology_);
  }

  // "" if the value is built.
  std::string NotYetMessage(const TopologyKey& key) const {
    const std::string value = ValueText(key, topology_);
    if (key.not_yet != nullptr && value != ValueText(key, Topology{})) {
      return absl::StrCat("not built yet: ", key.not_yet);
    }
    for (const Choice& choice : key.choices) {
      if (choice.name == value && choice.not_yet != nullptr) {
        return absl::StrCat(choice.name, " is not built yet; use ", choice.not_yet);
      }
    }
    return "";
  }

  void RefuseOrIgnore(const TopologyKey& key, const Condition& unmet, const Place& place) {
    std::string message;
    if (unmet.values.empty()) {
      message = absl::StrCat(key.path, ": has no effect without ", unmet.key);
    } else if (unmet.values.front().empty()) {
      message = absl::StrCat(key.path, ": has no effect with ", unmet.key);
    } else {
      message = absl::StrCat(key.path, ": has no effect with ", unmet.key, ": ",
                             ValueText(*FindTopologyKey(unmet.key), topology_), "; it belongs to ",
                             ConditionWords(unmet));
    }
    const bool of_data = absl::StartsWith(key.path, "train.dataset.");
    const bool of_worker =
        unmet.key == absl::string_view("workers.program") && !unmet.values.empty();
    const bool set_aside = place.setting < 0 && set_.count(unmet.key) != 0;
    if (of_data || of_worker || set_aside) {
      Warning(place, absl::StrCat(message, "; ignored"));
      ignored_.push_back(key.path);
    } else {
      Error(place, std::move(message));
    }
  }

  void CheckRequired() {
    for (const TopologyKey& key : TopologyKeys()) {
      if (!key.required || given_.count(key.path) != 0) continue;
      const bool known =
          std::all_of(key.conditions.begin(), key.conditions.end(),
                      [&](const Condition& condition) { return IsKnown(condition.key); });
      if (!known || UnmetCondition(key, topology_) != nullptr) continue;
      bad_.insert(key.path);
      Error(PlaceOfSection(key.path),
            absl::StrCat(key.path, ": missing; wants ", Expectation(key)));
    }
  }

  // The first key that stands in the same section, or in the nearest one around it; else the start
  // of the file.
  Place PlaceOfSection(const std::string& path) const {
    for (size_t dot = path.rfind('.'); dot != std::string::npos && dot > 0;
         dot = path.rfind('.', dot - 1)) {
      std::optional<Place> first;
      for (const auto& [other, place] : given_) {
        if (place.setting < 0 && absl::StartsWith(other, path.substr(0, dot + 1)) &&
            (!first || place < *first))
          first = place;
      }
      if (first) return *first;
    }
    return {};
  }

  void CheckValuesTogether() {
    for (const TopologyFinding& finding : CheckTogether(topology_)) {
      const auto is_bad = [&](const std::string& path) { return bad_.count(path) != 0; };
      if (std::any_of(finding.keys.begin(), finding.keys.end(), is_bad)) continue;
      Place place;
      for (const std::string& path : finding.keys) {
        const auto given = given_.find(path);
        if (given == given_.end()) continue;
        place = given->second;
        break;
      }
      std::string message = absl::StrCat(finding.keys.front(), ": ", finding.message);
      finding.is_error ? Error(place, std::move(message)) : Warning(place, std::move(message));
    }
  }

  // Defaults that depend on other keys.
  void FillDerived() {
    constexpr int64_t kDefaultClocks = 3;
    topology_.train.gradient_shards = GradientShards(topology_);
    topology_.train.schedule.base_rate = topology_.train.optimizer.learning_rate;
    Topology::Consistency& consistency = topology_.consistency;
    if (consistency.mode == ModeType::kSsp && !consistency.max_staleness)
      consistency.max_staleness = kDefaultClocks;
    if (!topology_.workers.program.empty() && topology_.workers.directory.empty()) {
      topology_.workers.directory = source_.directory;
    }
  }

  const TopologySource& source_;
  Topology topology_;
  std::map<std::string, Place> given_;  // where each key was last given
  std::set<std::string> bad_;           // keys without a value to rely on
  std::set<std::string> set_;           // keys of settings
  std::vector<std::string> ignored_;    // keys whose value goes back to the default
  Problems errors_;
  Problems warnings_;
};

ParsedTopology Unreadable(const std::string& path, std::string message) {
  ParsedTopology parsed;
  parsed.errors.push_back({path, std::move(message)});
  return parsed;
}

}  // namespace

ParsedTopology ParseTopology(const TopologySource& source) { return Parser(source).Run(); }

ParsedTopology LoadTopology(const std::string& path, const std::vector<std::string>& settings) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return Unreadable(path, "a directory; a topology is a file");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return Unreadable(path, absl::StrCat("cannot be read: ", std::strerror(errno)));
  TopologySource source;
  source.text.resize(kMaxTopologyBytes + 1);
  in.read(source.text.data(), static_cast<std::streamsize>(source.text.size()));
  if (in.bad()) return Unreadable(path, "cannot be read to its end");
  source.text.resize(static_cast<size_t>(in.gcount()));
  if (source.text.size() > kMaxTopologyBytes) {
    return Unreadable(
        path, absl::StrCat("larger than ", kMaxTopologyBytes >> 20, " MiB: not a topology"));
  }
  source.file = path;
  source.settings = settings;
  source.settings_directory = std::filesystem::current_path(error).string();
  source.directory =
      std::filesystem::absolute(path, error).lexically_normal().parent_path().string();
  return ParseTopology(source);
}

}  // namespace weir
