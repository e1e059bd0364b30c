// SPDX-License-Identifier: Apache-2.0
#include "core/sha256.h"

#include <string>

#include "gtest/gtest.h"

namespace weir {
namespace {

constexpr char kOfNothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

// FIPS 180-2, appendix B.
TEST(Sha256Test, GivesTheKnownAnswersOfTheStandard) {
  Sha256 sha;
  EXPECT_EQ(sha.FinishHex(), kOfNothing);
  sha.Update("abc", 3);
  EXPECT_EQ(sha.FinishHex(), kOfAbc);
  const std::string a(1000, 'a');
  for (int i = 0; i < 1000; ++i) sha.Update(a.data(), a.size());
  EXPECT_EQ(sha.FinishHex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesDoNotMatterAndFinishingStartsOver) {
  Sha256 sha;
  sha.Update("a", 1);
  sha.Update(nullptr, 0);
  sha.Update("bc", 2);
  EXPECT_EQ(sha.FinishHex(), kOfAbc);
  EXPECT_EQ(sha.FinishHex(), kOfNothing);
}

}  // namespace
}  // namespace weir
