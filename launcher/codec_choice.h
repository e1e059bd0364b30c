// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_CODEC_CHOICE_H_
#define WEIR_LAUNCHER_CODEC_CHOICE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/layout.h"
#include "launcher/yaml_reader.h"

namespace weir {

// Which codecs the tensors of a job travel in: the topology's key `codec`.
//
//   codec: bf16                       both directions of every tensor
//   codec: {push: int8, pull: bf16, error_feedback: true,
//           tensors: {"fc.*": f32, "conv1.weight": {push: f16}}}
//
// `tensors` maps names, or patterns in which each * stands for any letters or none, to what those
// tensors get instead; the first that fits wins. What an entry leaves out is as for all tensors;
// error feedback is left out with a push codec other than int8.
struct CodecChoice {
  struct Exception {
    std::string pattern;
    TensorCodec codec;

    bool operator==(const Exception& o) const { return pattern == o.pattern && codec == o.codec; }
  };
  TensorCodec all;
  std::vector<Exception> tensors;

  bool operator==(const CodecChoice& o) const { return all == o.all && tensors == o.tensors; }
};

constexpr size_t kMaxCodecExceptions = 1024;

// The codecs of these tensors, by position; none when all are f32 both ways.
std::vector<TensorCodec> CodecsOf(const CodecChoice& choice,
                                  const std::vector<TensorShape>& tensors);

// The patterns that fit none of these tensors, in order: misspelt, most likely.
std::vector<std::string> UnusedPatterns(const CodecChoice& choice,
                                        const std::vector<TensorShape>& tensors);

// What a person is told of one of those.
std::string UnusedPatternWarning(const std::string& pattern);

// Whether any tensor may get a push codec other than f32; error feedback.
bool EncodesPushes(const CodecChoice& choice);
bool HasErrorFeedback(const CodecChoice& choice);

// Reads the value of the key, or says what is wrong with it, and where, and changes nothing.
std::optional<YamlProblem> ReadCodecChoice(const YamlNode& value, CodecChoice* choice);

// The choice as YAML on one line that ReadCodecChoice reads back to the same.
std::string CodecChoiceText(const CodecChoice& choice);

}  // namespace weir

#endif  // WEIR_LAUNCHER_CODEC_CHOICE_H_
