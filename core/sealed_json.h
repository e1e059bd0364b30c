// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_SEALED_JSON_H_
#define WEIR_CORE_SEALED_JSON_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// JSON documents that prove that they are whole. For the small files of checkpoints.
//
// The text of an object, whose last member is the CRC-32C, in hexadecimal, of all text before it:
//
//   {"format":"...", ...,"crc32c":"e3069283"}\n
//
// Every byte counts: a byte changed, added or lost anywhere is noticed.
namespace weir {

// The sealed text of `object`. REQUIRES: an object, not empty, all text in it UTF-8, no member
// "crc32c".
std::string SealJson(const nlohmann::json& object);

// What a document may hold beside its bytes.
struct JsonLimits {
  size_t depth = 0;   // objects and arrays within one another
  size_t values = 0;  // all of them
};

// Checks the seal of `text`, parses it and returns the object without the seal.
//
// DATA_LOSS, with the byte offset where that makes sense: no seal, or not that of the text; bad
// JSON; a member given twice; more than the limits allow. Bytes are data: never crashes, memory at
// most a small multiple of `text`.
absl::StatusOr<nlohmann::json> OpenSealedJson(absl::string_view text, const JsonLimits& limits);

// Reads the members of one object, each once, and says what does not fit: the first failure of all
// readers that share a status stays in it (DATA_LOSS, with the path of the value:
// "workers[2].rank"), and every value read after it is empty. So a whole structure is read straight
// through, and the status is looked at once, at the end.
class JsonMembers {
 public:
  // `where` is the path of `object`, "" for the document. Both, and `status`, outlive the reader.
  JsonMembers(const nlohmann::json& object, std::string where, absl::Status* status);

  // A whole number of at most `most`.
  uint64_t Whole(const std::string& name, uint64_t most);
  // A finite number.
  double Real(const std::string& name);
  // Text of at most `most_bytes`.
  std::string Text(const std::string& name, size_t most_bytes);
  // Base64 of at most `most_bytes` bytes.
  std::string Bytes(const std::string& name, size_t most_bytes);
  // An array of at most `most_items`.
  const nlohmann::json& Array(const std::string& name, size_t most_items);
  const nlohmann::json& Object(const std::string& name);
  // Every member was read: an unknown one is a failure.
  void Finish();

  // "workers[2]" within the array `name` of this object.
  std::string PathOf(const std::string& name, size_t item) const;
  std::string PathOf(const std::string& name) const;

 private:
  const nlohmann::json& Member(const std::string& name);
  void Fail(const std::string& path, absl::string_view what);

  const nlohmann::json& object_;
  const std::string where_;
  absl::Status* const status_;
  std::set<std::string> read_;
};

// The same for an item of an array: `value` at `path` as a whole number of at most `most`.
uint64_t WholeNumber(const nlohmann::json& value, const std::string& path, uint64_t most,
                     absl::Status* status);

}  // namespace weir

#endif  // WEIR_CORE_SEALED_JSON_H_
