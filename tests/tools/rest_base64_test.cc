// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_base64.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "hwy/targets.h"

namespace weir {
namespace {

std::vector<uint8_t> SomeBytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  uint32_t state = 12345;
  for (uint8_t& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return bytes;
}

std::string Encoded(const std::vector<uint8_t>& bytes) {
  std::string text(Base64Characters(bytes.size()), '?');
  EncodeBase64(bytes.data(), bytes.size(), text.data());
  return text;
}

bool Decodes(const std::string& text, size_t bytes) {
  std::vector<uint8_t> out(bytes + 1);
  return DecodeBase64(text.data(), text.size(), out.data(), bytes);
}

// Each of Highway's targets of this processor, by limiting it to one.
class Base64Test : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    if ((hwy::SupportedTargets() & GetParam()) == 0)
      GTEST_SKIP() << "this processor has no " << hwy::TargetName(GetParam());
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
};

TEST_P(Base64Test, EveryLengthIsAsAbseilWritesItAndComesBack) {
  for (size_t count = 0; count < 700; ++count) {
    const std::vector<uint8_t> bytes = SomeBytes(count);
    std::string expected;
    absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                       &expected);
    const std::string text = Encoded(bytes);
    ASSERT_EQ(text, expected) << count;
    std::vector<uint8_t> back(count + 1, 0xEE);
    ASSERT_TRUE(DecodeBase64(text.data(), text.size(), back.data(), count)) << count;
    ASSERT_EQ(back[count], 0xEE) << "wrote beyond the end, " << count;
    back.pop_back();
    ASSERT_EQ(back, bytes) << count;
  }
}

TEST_P(Base64Test, EveryForeignCharacterAtEveryPlaceIsRefused) {
  const std::string good = Encoded(SomeBytes(150));
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int c = 0; c < 256; ++c) {
    for (size_t at : {size_t{0}, size_t{5}, size_t{63}, size_t{100}, good.size() - 1}) {
      std::string text = good;
      text[at] = static_cast<char>(c);
      ASSERT_EQ(Decodes(text, 150), alphabet.find(text[at]) != std::string::npos)
          << c << " at " << at;
    }
  }
}

TEST_P(Base64Test, WrongLengthOrPaddingIsRefused) {
  EXPECT_TRUE(Decodes("AAA=", 2));
  EXPECT_FALSE(Decodes("AAA=", 3));
  EXPECT_FALSE(Decodes("AAA=", 1));
  EXPECT_FALSE(Decodes("AAAA", 2));
  EXPECT_FALSE(Decodes("AA==", 2));
  EXPECT_FALSE(Decodes("AAA", 2));
  EXPECT_FALSE(Decodes("AA=A", 2));
  EXPECT_FALSE(Decodes("AAB=", 2)) << "bits beyond the last byte";
  EXPECT_FALSE(Decodes("", 1));
  EXPECT_FALSE(Decodes("====", 1));
  EXPECT_TRUE(Decodes("", 0));
}

INSTANTIATE_TEST_SUITE_P(Targets, Base64Test,
                         ::testing::Values(HWY_SSE4, HWY_AVX2, HWY_AVX3, HWY_AVX3_DL),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

}  // namespace
}  // namespace weir
