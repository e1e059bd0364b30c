// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_BASE64_H_
#define WEIR_TOOLS_REST_BASE64_H_

#include <cstddef>
#include <cstdint>

namespace weir {

// Base64 (RFC 4648 section 4: the standard alphabet, padded) with vector code chosen at run time:
// what the fast form of the REST comparison uses, so that the other side has no slower an encoding
// than a machine can give it.
//
// Source of the method: W. Mula and D. Lemire, "Faster Base64 Encoding and Decoding using AVX2
// Instructions", ACM Transactions on the Web 12(3), 2018.

// How many characters `bytes` bytes become.
constexpr size_t Base64Characters(size_t bytes) { return (bytes + 2) / 3 * 4; }

// Writes Base64Characters(bytes) characters, no terminator. `in` and `out` do not overlap.
void EncodeBase64(const uint8_t* in, size_t bytes, char* out);

// Decodes into exactly `bytes` bytes at `out`, and writes nothing beyond. False: `characters` is
// not Base64Characters(bytes), a character is not of the alphabet, or the padding is wrong; `out`
// is then unspecified. `in` and `out` do not overlap.
bool DecodeBase64(const char* in, size_t characters, uint8_t* out, size_t bytes);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_BASE64_H_
