// SPDX-License-Identifier: Apache-2.0
#include "launcher/codec_choice.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "launcher/nearest_name.h"

namespace weir {
namespace {

constexpr size_t kMaxShown = 48;  // letters of a wrong value that a message repeats

// Whether all of `name` is `pattern` with each * replaced by some letters or none.
bool Fits(const std::string& name, const std::string& pattern) {
  size_t n = 0, p = 0;
  size_t star = std::string::npos, resume = 0;  // the last * and what it stands for ends before
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string::npos;
}

TensorCodec CodecOf(const CodecChoice& choice, const std::string& name) {
  for (const CodecChoice::Exception& exception : choice.tensors) {
    if (Fits(name, exception.pattern)) return exception.codec;
  }
  return choice.all;
}

std::string Shown(const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kNull) return "nothing";
  if (node.kind == YamlNode::Kind::kList) return "a list";
  if (node.kind == YamlNode::Kind::kMap) return "a map";
  const std::string text =
      node.text.size() > kMaxShown ? node.text.substr(0, kMaxShown) + "..." : node.text;
  return absl::StrCat("'", absl::Utf8SafeCEscape(text), "'");
}

// With `path` before it, where that is not empty.
YamlProblem Problem(const YamlNode& node, const std::string& path, const std::string& message) {
  return {node.at, path.empty() ? message : absl::StrCat(path, ": ", message)};
}

std::optional<YamlProblem> ReadName(const YamlNode& node, const std::string& path, Codec* codec) {
  const std::vector<std::string> names = {"f32", "f16", "bf16", "int8"};
  if (node.kind == YamlNode::Kind::kScalar) {
    if (const std::optional<Codec> known = ParseCodec(node.text)) {
      *codec = *known;
      return std::nullopt;
    }
    if (node.text == "topk" || node.text == "onebit") {
      return Problem(node, path, absl::StrCat(node.text, " is not built yet; use int8"));
    }
  }
  std::string message =
      absl::StrCat("wants one of ", absl::StrJoin(names, ", "), ", got ", Shown(node));
  const std::string nearest =
      node.kind == YamlNode::Kind::kScalar ? NearestName(node.text, names) : "";
  if (!nearest.empty()) absl::StrAppend(&message, "; did you mean ", nearest, "?");
  return Problem(node, path, message);
}

std::optional<YamlProblem> ReadSwitch(const YamlNode& node, const std::string& path, bool* on) {
  const bool is_word = node.kind == YamlNode::Kind::kScalar && !node.quoted &&
                       (node.text == "true" || node.text == "false");
  if (!is_word) return Problem(node, path, absl::StrCat("wants true or false, got ", Shown(node)));
  *on = node.text == "true";
  return std::nullopt;
}

// Reads a name, or the keys push, pull and error_feedback of a map, over what `codec` holds. A key
// named `aside` is left to the caller.
std::optional<YamlProblem> ReadCodecs(const YamlNode& node, const std::string& path,
                                      const char* aside, TensorCodec* codec) {
  if (node.kind != YamlNode::Kind::kMap) {
    if (node.kind != YamlNode::Kind::kScalar) {
      return Problem(node, path,
                     absl::StrCat("wants a codec or a map of push and pull, got ", Shown(node)));
    }
    codec->error_feedback = false;
    if (auto problem = ReadName(node, path, &codec->push)) return problem;
    codec->pull = codec->push;
    return std::nullopt;
  }
  const std::string prefix = path.empty() ? "" : path + ".";
  const YamlNode* feedback = nullptr;
  for (const YamlEntry& entry : node.entries) {
    std::optional<YamlProblem> problem;
    if (entry.key == "push" || entry.key == "pull") {
      problem = ReadName(entry.value, prefix + entry.key,
                         entry.key == "push" ? &codec->push : &codec->pull);
    } else if (entry.key == "error_feedback") {
      feedback = &entry.value;
      problem = ReadSwitch(entry.value, prefix + entry.key, &codec->error_feedback);
    } else if (entry.key != aside) {
      problem =
          YamlProblem{entry.at, absl::StrCat("unknown key '", prefix,
                                             absl::Utf8SafeCEscape(entry.key.substr(0, kMaxShown)),
                                             "'; known here: push, pull, error_feedback",
                                             *aside == '\0' ? "" : ", ", aside)};
    }
    if (problem) return problem;
  }
  if (!codec->error_feedback || codec->push == Codec::kInt8) return std::nullopt;
  if (feedback != nullptr) {
    return Problem(*feedback, prefix + "error_feedback", "is of pushes in int8 alone");
  }
  codec->error_feedback = false;
  return std::nullopt;
}

std::optional<YamlProblem> ReadException(const YamlEntry& entry, const TensorCodec& all,
                                         CodecChoice::Exception* exception) {
  const bool is_pattern =
      !entry.key.empty() && entry.key.size() <= kMaxNameBytes &&
      std::all_of(entry.key.begin(), entry.key.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!is_pattern) {
    return YamlProblem{entry.at, absl::StrCat("tensors: wants names or patterns of 1 to ",
                                              kMaxNameBytes, " letters without spaces")};
  }
  exception->pattern = entry.key;
  exception->codec = all;
  return ReadCodecs(entry.value, absl::StrCat("tensors.", entry.key), "", &exception->codec);
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

bool IsOneName(const TensorCodec& codec) {
  return codec.push == codec.pull && !codec.error_feedback;
}

// The keys of a map, without braces. Feedback is told where leaving it out would not say so.
std::string Keys(const TensorCodec& codec, bool tell_feedback) {
  return absl::StrCat("push: ", CodecName(codec.push), ", pull: ", CodecName(codec.pull),
                      tell_feedback ? ", error_feedback: " : "",
                      !tell_feedback         ? ""
                      : codec.error_feedback ? "true"
                                             : "false");
}

}  // namespace

std::vector<TensorCodec> CodecsOf(const CodecChoice& choice,
                                  const std::vector<TensorShape>& tensors) {
  std::vector<TensorCodec> codecs;
  codecs.reserve(tensors.size());
  for (const TensorShape& tensor : tensors) codecs.push_back(CodecOf(choice, tensor.name));
  const auto is_plain = [](const TensorCodec& codec) { return codec == TensorCodec(); };
  if (std::all_of(codecs.begin(), codecs.end(), is_plain)) codecs.clear();
  return codecs;
}

std::vector<std::string> UnusedPatterns(const CodecChoice& choice,
                                        const std::vector<TensorShape>& tensors) {
  std::vector<std::string> unused;
  for (const CodecChoice::Exception& exception : choice.tensors) {
    const auto fits = [&](const TensorShape& tensor) {
      return Fits(tensor.name, exception.pattern);
    };
    if (std::none_of(tensors.begin(), tensors.end(), fits)) unused.push_back(exception.pattern);
  }
  return unused;
}

std::string UnusedPatternWarning(const std::string& pattern) {
  return absl::StrCat("codec.tensors: no tensor of the model fits '", pattern, "'");
}

bool EncodesPushes(const CodecChoice& choice) {
  return choice.all.push != Codec::kF32 ||
         std::any_of(choice.tensors.begin(), choice.tensors.end(),
                     [](const auto& exception) { return exception.codec.push != Codec::kF32; });
}

bool HasErrorFeedback(const CodecChoice& choice) {
  return choice.all.error_feedback ||
         std::any_of(choice.tensors.begin(), choice.tensors.end(),
                     [](const auto& exception) { return exception.codec.error_feedback; });
}

std::optional<YamlProblem> ReadCodecChoice(const YamlNode& value, CodecChoice* choice) {
  CodecChoice read;
  if (auto problem = ReadCodecs(value, "", "tensors", &read.all)) return problem;
  for (const YamlEntry& entry : value.entries) {
    if (entry.key != "tensors") continue;
    const YamlNode& map = entry.value;
    if (map.kind != YamlNode::Kind::kMap || map.entries.empty() ||
        map.entries.size() > kMaxCodecExceptions) {
      return Problem(map, "tensors",
                     absl::StrCat("wants a map of 1 to ", kMaxCodecExceptions,
                                  " names or patterns to codecs, got ", Shown(map)));
    }
    for (const YamlEntry& exception : map.entries) {
      read.tensors.emplace_back();
      if (auto problem = ReadException(exception, read.all, &read.tensors.back())) return problem;
    }
  }
  *choice = std::move(read);
  return std::nullopt;
}

std::string CodecChoiceText(const CodecChoice& choice) {
  if (choice.tensors.empty() && IsOneName(choice.all)) return CodecName(choice.all.push);
  std::string text = absl::StrCat("{", Keys(choice.all, choice.all.error_feedback));
  if (!choice.tensors.empty()) {
    std::vector<std::string> entries;
    for (const auto& [pattern, codec] : choice.tensors) {
      const bool tell = codec.push == Codec::kInt8;
      entries.push_back(absl::StrCat(
          Quoted(pattern), ": ",
          IsOneName(codec) ? CodecName(codec.push) : absl::StrCat("{", Keys(codec, tell), "}")));
    }
    absl::StrAppend(&text, ", tensors: {", absl::StrJoin(entries, ", "), "}");
  }
  return text + "}";
}

}  // namespace weir
