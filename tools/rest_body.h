// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_BODY_H_
#define WEIR_TOOLS_REST_BODY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tools/rest_buffer.h"

namespace weir {

// How a tensor is written in JSON. Every form is the object {"version": N, "values": V}, N an
// integer from 0; V is
enum class RestForm {
  kNumbers,     // an array of numbers, written and read by nlohmann-json
  kBase64,      // a string, the little-endian floats in base64; nlohmann-json's documents and
                // Abseil's base64: how services usually write it
  kFastBase64,  // the same bytes, written in place and read by simdjson's on-demand parser without
                // a document; base64 by vector code (rest_base64.h)
};
const char* RestFormName(RestForm form);  // "json-numbers", "json-base64", "json-base64-fast"
absl::StatusOr<RestForm> ParseRestForm(absl::string_view name);

// Writes and reads the bodies of one form. Not thread-safe: one a request at a time.
class RestBodyCodec {
 public:
  virtual ~RestBodyCodec() = default;

  // Valid until the next Write, or Release.
  virtual absl::string_view Write(uint64_t version, absl::Span<const float> values) = 0;

  // Reads exactly values.size() values. INVALID_ARGUMENT: not such an object, or another number of
  // values; `values` is then unspecified.
  virtual absl::Status Read(const RestBuffer& body, uint64_t* version,
                            absl::Span<float> values) = 0;

  // Lets go of the memory of the last Write, which may be of the largest tensor.
  virtual void Release() = 0;
};

// `memory` outlives it.
std::unique_ptr<RestBodyCodec> MakeRestBodyCodec(RestForm form, RestMemory* memory);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_BODY_H_
