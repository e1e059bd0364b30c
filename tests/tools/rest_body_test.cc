// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_body.h"

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

void Fill(RestBuffer* buffer, absl::string_view text) {
  buffer->Resize(text.size());
  if (!text.empty()) std::memcpy(buffer->data(), text.data(), text.size());
}

absl::Status ReadText(RestBodyCodec* codec, absl::string_view text, size_t count,
                      std::vector<float>* values = nullptr, uint64_t* version = nullptr) {
  RestMemory memory;
  RestBuffer buffer(&memory);
  Fill(&buffer, text);
  std::vector<float> ignored;
  uint64_t ignored_version = 0;
  if (values == nullptr) values = &ignored;
  values->resize(count);
  return codec->Read(buffer, version == nullptr ? &ignored_version : version,
                     absl::MakeSpan(*values));
}

class RestBodyTest : public ::testing::TestWithParam<RestForm> {
 protected:
  RestMemory memory_;
  std::unique_ptr<RestBodyCodec> codec_ = MakeRestBodyCodec(GetParam(), &memory_);
};

TEST_P(RestBodyTest, EveryTensorComesBackBitForBit) {
  for (size_t count : {0, 1, 2, 3, 16, 64, 1000, 40001}) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i)
      values[i] = -static_cast<float>(i % 127) * 0.0009765625f * static_cast<float>(1 + i % 7);
    const std::string text(codec_->Write(count * 7, values));
    std::vector<float> back;
    uint64_t version = 0;
    const absl::Status status = ReadText(codec_.get(), text, count, &back, &version);
    ASSERT_TRUE(status.ok()) << count << ": " << status;
    EXPECT_EQ(back, values) << count;
    EXPECT_EQ(version, count * 7);
  }
}

TEST_P(RestBodyTest, ObjectMayHaveItsFieldsInAnyOrderAndOthersBeside) {
  const std::vector<float> values = {1, -2, 3.5f};
  const std::string text(codec_->Write(9, values));
  const size_t at = text.find("\"values\":") + 9;
  const std::string written = text.substr(at, text.find_first_of("]\"", at + 1) - at + 1);
  std::vector<float> back;
  uint64_t version = 0;
  const std::string other =
      absl::StrCat(" { \"note\": [1, {}], \"values\" : ", written, " , \"version\":12 }\n");
  const absl::Status status = ReadText(codec_.get(), other, 3, &back, &version);
  ASSERT_TRUE(status.ok()) << status << other;
  EXPECT_EQ(back, values);
  EXPECT_EQ(version, 12u);
}

TEST_P(RestBodyTest, AnotherNumberOfValuesIsRefused) {
  const std::string text(codec_->Write(1, std::vector<float>(10, 1.0f)));
  for (size_t count : {0, 9, 11, 1000}) {
    EXPECT_EQ(ReadText(codec_.get(), text, count).code(), absl::StatusCode::kInvalidArgument)
        << count;
  }
}

TEST_P(RestBodyTest, WhatIsNoSuchObjectIsRefused) {
  for (const char* text : {"",
                           " ",
                           "null",
                           "[]",
                           "{",
                           "{}",
                           "{\"version\":1}",
                           "{\"values\":[]}",
                           "{\"version\":-1,\"values\":[1]}",
                           "{\"version\":1.5,\"values\":\"AACAPw==\"}",
                           "{\"version\":\"1\",\"values\":\"AACAPw==\"}",
                           "{\"version\":1,\"values\":{}}",
                           "{\"version\":1,\"values\":null}",
                           "{\"version\":1,\"values\":[\"x\"]}",
                           "{\"version\":1,\"values\":\"AACA*w==\"}",
                           "{\"version\":1,\"values\":\"AACAPw==",
                           "{\"version\":1,\"values\":\"AACAPw==\"",
                           "{\"version\":1,\"values\":[1",
                           "\xff\xfe",
                           "{\"version\":1,\"values\":7}"}) {
    EXPECT_EQ(ReadText(codec_.get(), text, 1).code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST_P(RestBodyTest, EveryTruncationIsRefused) {
  const std::string text(codec_->Write(3, std::vector<float>{1, 2, 3}));
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_EQ(ReadText(codec_.get(), text.substr(0, length), 3).code(),
              absl::StatusCode::kInvalidArgument)
        << length;
  }
}

TEST_P(RestBodyTest, WhatFollowsTheObjectIsRefused) {
  const std::string text(codec_->Write(3, std::vector<float>{1, 2, 3}));
  for (const char* tail : {"}", "x", "{}", ",", "\"", "]"}) {
    EXPECT_EQ(ReadText(codec_.get(), text + tail, 3).code(), absl::StatusCode::kInvalidArgument)
        << tail;
  }
}

TEST_P(RestBodyTest, FormIsFoundByItsName) {
  const auto form = ParseRestForm(RestFormName(GetParam()));
  ASSERT_TRUE(form.ok());
  EXPECT_EQ(*form, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Forms, RestBodyTest,
                         ::testing::Values(RestForm::kNumbers, RestForm::kBase64,
                                           RestForm::kFastBase64),
                         [](const auto& info) {
                           return absl::StrReplaceAll(RestFormName(info.param), {{"-", "_"}});
                         });

TEST(RestFormTest, BothBase64FormsWriteTheSameValuesAndReadEachOthers) {
  RestMemory memory;
  const auto plain = MakeRestBodyCodec(RestForm::kBase64, &memory);
  const auto fast = MakeRestBodyCodec(RestForm::kFastBase64, &memory);
  const std::vector<float> values = {1.5f, -2.25f, 1e-3f, 4e8f, 0};
  std::vector<float> back;
  EXPECT_TRUE(ReadText(fast.get(), plain->Write(1, values), 5, &back).ok());
  EXPECT_EQ(back, values);
  back.clear();
  EXPECT_TRUE(ReadText(plain.get(), fast->Write(1, values), 5, &back).ok());
  EXPECT_EQ(back, values);
}

TEST(RestFormTest, FastFormReadsEscapedSlashes) {
  RestMemory memory;
  const auto fast = MakeRestBodyCodec(RestForm::kFastBase64, &memory);
  const std::vector<float> values(3, -1.7014117e38f);  // its bytes hold many '/' and '+'
  const std::string text(fast->Write(1, values));
  ASSERT_THAT(text, HasSubstr("/"));
  std::vector<float> back;
  EXPECT_TRUE(ReadText(fast.get(), absl::StrReplaceAll(text, {{"/", "\\/"}}), 3, &back).ok());
  EXPECT_EQ(back, values);
}

TEST(RestFormTest, UnknownFormIsRefusedWithTheNames) {
  EXPECT_THAT(std::string(ParseRestForm("xml").status().message()), HasSubstr("json-base64-fast"));
}

}  // namespace
}  // namespace weir
