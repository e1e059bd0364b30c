// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_base64.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tools/rest_base64.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Bytes = hn::ScalableTag<uint8_t>;
using Halves = hn::Repartition<uint16_t, Bytes>;
using Words = hn::Repartition<uint32_t, Bytes>;
using ByteVector = hn::Vec<Bytes>;

constexpr size_t kMaxWords = HWY_MAX_BYTES / 4;

// Of each 12 bytes the four words that a block of 16 characters needs; beyond a block of 12 bytes
// the next one begins.
HWY_INLINE ByteVector SpreadBlocks(ByteVector bytes) {
  const Words words;
  HWY_ALIGN uint32_t order[kMaxWords];
  for (uint32_t i = 0; i < hn::Lanes(words); ++i) order[i] = i / 4 * 3 + (i % 4 == 3 ? 2 : i % 4);
  return hn::BitCast(
      Bytes(), hn::TableLookupLanes(hn::BitCast(words, bytes), hn::SetTableIndices(words, order)));
}

// The reverse: the first three words of each block, one after the other; the rest is unspecified.
HWY_INLINE ByteVector GatherBlocks(ByteVector bytes) {
  const Words words;
  const uint32_t lanes = static_cast<uint32_t>(hn::Lanes(words));
  HWY_ALIGN uint32_t order[kMaxWords];
  for (uint32_t i = 0; i < lanes; ++i) order[i] = i < lanes / 4 * 3 ? i / 3 * 4 + i % 3 : 0;
  return hn::BitCast(
      Bytes(), hn::TableLookupLanes(hn::BitCast(words, bytes), hn::SetTableIndices(words, order)));
}

// 12 bytes of each block to 16 numbers below 64.
HWY_INLINE ByteVector SplitBits(ByteVector bytes) {
  const Halves halves;
  const Words words;
  HWY_ALIGN static constexpr uint8_t kOrder[16] = {1, 0, 2, 1, 4,  3, 5,  4,
                                                   7, 6, 8, 7, 10, 9, 11, 10};
  const auto in = hn::BitCast(words, hn::TableLookupBytes(bytes, hn::LoadDup128(Bytes(), kOrder)));
  const auto high = hn::BitCast(halves, hn::And(in, hn::Set(words, 0x0FC0FC00u)));
  const auto low = hn::BitCast(halves, hn::And(in, hn::Set(words, 0x003F03F0u)));
  const auto shifted = hn::MulHigh(high, hn::BitCast(halves, hn::Set(words, 0x04000040u)));
  const auto raised = hn::Mul(low, hn::BitCast(halves, hn::Set(words, 0x01000010u)));
  return hn::BitCast(Bytes(), hn::Or(shifted, raised));
}

// Numbers below 64 to characters: each plus an offset that depends on its range.
HWY_INLINE ByteVector ToCharacters(ByteVector numbers) {
  const Bytes d;
  HWY_ALIGN static constexpr uint8_t kOffsets[16] = {'a' - 26, 252, 252, 252, 252, 252, 252, 252,
                                                     252,      252, 252, 237, 240, 'A', 0,   0};
  const auto range = hn::SaturatedSub(numbers, hn::Set(d, 51));
  const auto capital = hn::IfThenElseZero(hn::Lt(numbers, hn::Set(d, 26)), hn::Set(d, 13));
  const auto offsets = hn::LoadDup128(d, kOffsets);
  return hn::Add(numbers, hn::TableLookupBytes(offsets, hn::Or(range, capital)));
}

size_t EncodeWhole(const uint8_t* in, size_t bytes, char* out) {
  const Bytes d;
  const size_t lanes = hn::Lanes(d);
  size_t done = 0;
  for (; bytes - done >= lanes; done += lanes / 4 * 3) {
    const ByteVector numbers = SplitBits(SpreadBlocks(hn::LoadU(d, in + done)));
    hn::StoreU(ToCharacters(numbers), d, reinterpret_cast<uint8_t*>(out) + done / 3 * 4);
  }
  return done;
}

// Characters to numbers below 64; marks in `*bad` those that are none.
HWY_INLINE ByteVector ToNumbers(ByteVector characters, ByteVector* bad) {
  const Bytes d;
  HWY_ALIGN static constexpr uint8_t kLow[16] = {0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                                 0x11, 0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A};
  HWY_ALIGN static constexpr uint8_t kHigh[16] = {0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08,
                                                  0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10};
  HWY_ALIGN static constexpr uint8_t kRoll[16] = {0, 16, 19, 4, 191, 191, 185, 185,
                                                  0, 0,  0,  0, 0,   0,   0,   0};
  const auto nibble = hn::Set(d, 0x0F);
  const Halves halves;
  const auto high =
      hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(halves, characters))), nibble);
  const auto low = hn::And(characters, nibble);
  *bad = hn::Or(*bad, hn::And(hn::TableLookupBytes(hn::LoadDup128(d, kHigh), high),
                              hn::TableLookupBytes(hn::LoadDup128(d, kLow), low)));
  const auto slash = hn::VecFromMask(d, hn::Eq(characters, hn::Set(d, '/')));
  return hn::Add(characters, hn::TableLookupBytes(hn::LoadDup128(d, kRoll), hn::Add(slash, high)));
}

// 16 numbers of each block to its first 12 bytes.
HWY_INLINE ByteVector JoinBits(ByteVector numbers) {
  const Halves halves;
  const Words words;
  HWY_ALIGN static constexpr uint8_t kOrder[16] = {2, 1,  0,  6,  5,  4,  10, 9,
                                                   8, 14, 13, 12, 12, 12, 12, 12};
  const auto pair = hn::BitCast(halves, numbers);
  const auto twelve =
      hn::Or(hn::ShiftLeft<6>(hn::And(pair, hn::Set(halves, 0x3F))), hn::ShiftRight<8>(pair));
  const auto pairs = hn::BitCast(words, twelve);
  const auto joined =
      hn::Or(hn::ShiftLeft<12>(hn::And(pairs, hn::Set(words, 0xFFF))), hn::ShiftRight<16>(pairs));
  return hn::TableLookupBytes(hn::BitCast(Bytes(), joined), hn::LoadDup128(Bytes(), kOrder));
}

// `*good` is cleared when a character is not of the alphabet. Each store writes a whole vector, a
// quarter of it beyond what it decodes, so it ends before the last `lanes` bytes.
size_t DecodeWhole(const char* in, size_t bytes, uint8_t* out, bool* good) {
  const Bytes d;
  const size_t lanes = hn::Lanes(d);
  ByteVector bad = hn::Zero(d);
  size_t done = 0;
  for (; bytes - done >= lanes + 3; done += lanes / 4 * 3) {
    const auto characters = hn::LoadU(d, reinterpret_cast<const uint8_t*>(in) + done / 3 * 4);
    hn::StoreU(GatherBlocks(JoinBits(ToNumbers(characters, &bad))), d, out + done);
  }
  *good = hn::AllTrue(d, hn::Eq(bad, hn::Zero(d)));
  return done;
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {
namespace {

HWY_EXPORT(EncodeWhole);
HWY_EXPORT(DecodeWhole);

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// 0 to 63, or 64 for what is not of the alphabet.
uint32_t NumberOf(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<uint32_t>(c - 'A');
  if (c >= 'a' && c <= 'z') return static_cast<uint32_t>(c - 'a') + 26;
  if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0') + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : 64;
}

// One group of up to three bytes.
void EncodeGroup(const uint8_t* in, size_t bytes, char* out) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < bytes ? in[i] : 0u);
  for (size_t i = 0; i < 4; ++i) out[i] = i <= bytes ? kAlphabet[bits >> (18 - 6 * i) & 63] : '=';
}

bool DecodeGroup(const char* in, uint8_t* out, size_t bytes) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t number = i <= bytes ? NumberOf(in[i]) : (in[i] == '=' ? 0u : 64u);
    if (number > 63) return false;
    bits = bits << 6 | number;
  }
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(bits >> (16 - 8 * i));
  return (bits & (bytes == 1 ? 0xFFFFu : bytes == 2 ? 0xFFu : 0u)) == 0;
}

}  // namespace

void EncodeBase64(const uint8_t* in, size_t bytes, char* out) {
  for (size_t done = HWY_DYNAMIC_DISPATCH(EncodeWhole)(in, bytes, out); done < bytes; done += 3)
    EncodeGroup(in + done, bytes - done < 3 ? bytes - done : 3, out + done / 3 * 4);
}

bool DecodeBase64(const char* in, size_t characters, uint8_t* out, size_t bytes) {
  if (characters != Base64Characters(bytes)) return false;
  bool good = true;
  size_t done = HWY_DYNAMIC_DISPATCH(DecodeWhole)(in, bytes, out, &good);
  for (; good && done < bytes; done += 3)
    good = DecodeGroup(in + done / 3 * 4, out + done, bytes - done < 3 ? bytes - done : 3);
  return good;
}

}  // namespace weir
#endif  // HWY_ONCE
