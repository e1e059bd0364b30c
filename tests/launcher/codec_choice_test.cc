// SPDX-License-Identifier: Apache-2.0
#include "launcher/codec_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr TensorCodec kPlain;
constexpr TensorCodec kBf16{Codec::kBf16, Codec::kBf16, false};

CodecChoice Read(const std::string& text) {
  CodecChoice choice;
  const std::optional<YamlProblem> problem = ReadCodecChoice(ReadYaml(text).root, &choice);
  EXPECT_FALSE(problem.has_value()) << text << ": " << problem->message;
  return choice;
}

std::string ErrorOf(const std::string& text) {
  CodecChoice choice;
  choice.all = kBf16;
  const std::optional<YamlProblem> problem = ReadCodecChoice(ReadYaml(text).root, &choice);
  EXPECT_TRUE(problem.has_value()) << text;
  EXPECT_EQ(choice.all, kBf16) << "changed";
  return problem.has_value() ? absl::StrCat(problem->at.column, ": ", problem->message) : "";
}

std::vector<TensorShape> Tensors(const std::vector<std::string>& names) {
  std::vector<TensorShape> tensors;
  for (const std::string& name : names) tensors.push_back({name, {4}, {}});
  return tensors;
}

TEST(CodecChoiceTest, ANameIsForBothDirectionsOfAllTensors) {
  EXPECT_EQ(Read("bf16").all, kBf16);
  EXPECT_THAT(CodecsOf(Read("bf16"), Tensors({"a", "b"})), ElementsAre(kBf16, kBf16));
}

TEST(CodecChoiceTest, AMapNamesEachDirectionAndLeavesTheOtherAtF32) {
  EXPECT_EQ(Read("{push: int8}").all, (TensorCodec{Codec::kInt8, Codec::kF32, false}));
  EXPECT_EQ(Read("{pull: f16}").all, (TensorCodec{Codec::kF32, Codec::kF16, false}));
  EXPECT_EQ(Read("{error_feedback: true, push: int8, pull: bf16}").all,
            (TensorCodec{Codec::kInt8, Codec::kBf16, true}));
  EXPECT_EQ(Read("{push: bf16, error_feedback: false}").all.error_feedback, false);
}

TEST(CodecChoiceTest, ForATensorTheFirstPatternThatFitsWins) {
  const CodecChoice choice = Read(
      "{push: int8, pull: bf16, error_feedback: true, "
      "tensors: {\"fc.*\": f32, \"fc.bias\": f16, conv: {push: f16}}}");
  const TensorCodec all{Codec::kInt8, Codec::kBf16, true};
  EXPECT_THAT(CodecsOf(choice, Tensors({"fc.weight", "fc.bias", "conv", "other", "fc"})),
              ElementsAre(kPlain, kPlain, TensorCodec{Codec::kF16, Codec::kBf16, false}, all, all));
}

TEST(CodecChoiceTest, AStarStandsForAnyLettersOrNone) {
  const auto fits = [](const std::string& pattern, const std::string& name) {
    const CodecChoice choice = Read(absl::StrCat("{tensors: {\"", pattern, "\": bf16}}"));
    return UnusedPatterns(choice, Tensors({name})).empty();
  };
  EXPECT_TRUE(fits("*", "anything"));
  EXPECT_TRUE(fits("a*", "a"));
  EXPECT_TRUE(fits("*.weight", "layer1.0.weight"));
  EXPECT_TRUE(fits("layer*.*.weight", "layer1.0.weight"));
  EXPECT_TRUE(fits("a*b*c", "aXbXbXc"));
  EXPECT_TRUE(fits("**a**", "a"));
  EXPECT_FALSE(fits("a", "ab"));
  EXPECT_FALSE(fits("a*", "ba"));
  EXPECT_FALSE(fits("*.weight", "weight"));
  EXPECT_FALSE(fits("a*b", "abc"));
  EXPECT_FALSE(fits("a.c", "abc"));
}

// Would be slow for a matcher that goes back to every star.
TEST(CodecChoiceTest, AHostilePatternIsFast) {
  std::string pattern;
  for (int i = 0; i < 60; ++i) pattern += "*a";
  const CodecChoice choice = Read(absl::StrCat("{tensors: {\"", pattern, "b\": bf16}}"));
  EXPECT_EQ(UnusedPatterns(choice, Tensors({std::string(255, 'a')})).size(), 1u);
}

TEST(CodecChoiceTest, NoCodecsAreToldWhereAllAreF32) {
  EXPECT_THAT(CodecsOf(Read("f32"), Tensors({"a"})), IsEmpty());
  EXPECT_THAT(CodecsOf(Read("{push: int8, tensors: {\"*\": f32}}"), Tensors({"a"})), IsEmpty());
}

TEST(CodecChoiceTest, PatternsThatFitNoTensorAreFound) {
  const CodecChoice choice = Read("{tensors: {\"fc*\": bf16, \"cf*\": bf16, w: int8}}");
  EXPECT_THAT(UnusedPatterns(choice, Tensors({"fc.w", "b"})), ElementsAre("cf*", "w"));
  EXPECT_EQ(UnusedPatternWarning("w"), "codec.tensors: no tensor of the model fits 'w'");
}

TEST(CodecChoiceTest, WhatAnyTensorMayGetIsKnown) {
  EXPECT_FALSE(EncodesPushes(Read("{pull: int8}")));
  EXPECT_TRUE(EncodesPushes(Read("f16")));
  EXPECT_TRUE(EncodesPushes(Read("{tensors: {a: {push: bf16}}}")));
  EXPECT_FALSE(HasErrorFeedback(Read("int8")));
  EXPECT_TRUE(HasErrorFeedback(Read("{push: int8, error_feedback: true}")));
  EXPECT_TRUE(HasErrorFeedback(Read("{tensors: {a: {push: int8, error_feedback: true}}}")));
}

TEST(CodecChoiceTest, TheTextReadsBackToTheSame) {
  for (const char* text :
       {"f32", "int8", "{push: int8, pull: f32}", "{push: int8, pull: bf16, error_feedback: true}",
        "{push: int8, pull: bf16, error_feedback: true, tensors: {\"fc.*\": f32, \"a\": {push: "
        "int8, pull: f32, error_feedback: false}, \"b\\\"\": {push: f16, pull: bf16}}}",
        "{push: f32, pull: f32, tensors: {\"w\": {push: int8, pull: int8, error_feedback: true}, "
        "\"v\": int8}}"}) {
    EXPECT_EQ(CodecChoiceText(Read(text)), text);
    EXPECT_EQ(Read(CodecChoiceText(Read(text))), Read(text));
  }
}

// An entry without feedback under a choice with it: its text must say so.
TEST(CodecChoiceTest, TheTextTellsInt8WithoutTheFeedbackOfTheRest) {
  const CodecChoice choice = Read(
      "{push: int8, pull: int8, error_feedback: true, tensors: {a: {error_feedback: false}, b: "
      "int8, c: {pull: f32}}}");
  EXPECT_FALSE(choice.tensors[0].codec.error_feedback);
  EXPECT_FALSE(choice.tensors[1].codec.error_feedback);
  EXPECT_TRUE(choice.tensors[2].codec.error_feedback);
  EXPECT_EQ(Read(CodecChoiceText(choice)), choice);
}

TEST(CodecChoiceTest, WhatIsWrongIsNamedWithItsPlace) {
  EXPECT_EQ(ErrorOf("fp16"), "1: wants one of f32, f16, bf16, int8, got 'fp16'; did you mean f16?");
  EXPECT_EQ(ErrorOf("[f16]"), "1: wants a codec or a map of push and pull, got a list");
  EXPECT_EQ(ErrorOf("{push: [f16]}"), "8: push: wants one of f32, f16, bf16, int8, got a list");
  EXPECT_EQ(ErrorOf("{push: int8, error_feedback: 1}"),
            "30: error_feedback: wants true or false, got '1'");
  EXPECT_EQ(ErrorOf("{push: bf16, error_feedback: true}"),
            "30: error_feedback: is of pushes in int8 alone");
  EXPECT_EQ(ErrorOf("{pul: bf16}"),
            "2: unknown key 'pul'; known here: push, pull, error_feedback, tensors");
  EXPECT_EQ(ErrorOf("{tensors: {a: {tensors: {}}}}"),
            "16: unknown key 'tensors.a.tensors'; known here: push, pull, error_feedback");
  EXPECT_EQ(ErrorOf("{tensors: {a: {push: f33}}}"),
            "22: tensors.a.push: wants one of f32, f16, bf16, int8, got 'f33'; did you mean f32?");
  EXPECT_EQ(ErrorOf("{tensors: {a: topk}}"), "15: tensors.a: topk is not built yet; use int8");
  EXPECT_THAT(ErrorOf("{tensors: {}}"), HasSubstr("wants a map of 1 to 1024 names"));
  EXPECT_THAT(ErrorOf("{tensors: [a]}"), HasSubstr("got a list"));
  EXPECT_THAT(ErrorOf("{tensors: {\"a b\": f16}}"), HasSubstr("without spaces"));
  std::string many = "{tensors: {a: f16";
  for (int i = 0; i < 1024; ++i) absl::StrAppend(&many, ", a", i, ": f16");
  EXPECT_THAT(ErrorOf(many + "}}"), HasSubstr("1 to 1024"));
}

}  // namespace
}  // namespace weir
