// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_body_fast.h"

#include <simdjson.h>

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tools/rest_base64.h"

namespace weir {
namespace {

static_assert(simdjson::SIMDJSON_PADDING <= RestBuffer::kPaddingBytes,
              "simdjson reads further beyond the end than a RestBuffer has room");

absl::Status NotABody(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("not a tensor: expected {\"version\": N, \"values\": base64}: ", what));
}

class FastCodec : public RestBodyCodec {
 public:
  explicit FastCodec(RestMemory* memory) : out_(memory) {}

  absl::string_view Write(uint64_t version, absl::Span<const float> values) override {
    const size_t bytes = values.size() * sizeof(float);
    const std::string head = absl::StrCat("{\"version\":", version, ",\"values\":\"");
    const size_t size = head.size() + Base64Characters(bytes) + 2;
    out_.Resize(size);
    std::memcpy(out_.data(), head.data(), head.size());
    EncodeBase64(reinterpret_cast<const uint8_t*>(values.data()), bytes, out_.data() + head.size());
    std::memcpy(out_.data() + size - 2, "\"}", 2);
    return out_.text();
  }

  absl::Status Read(const RestBuffer& body, uint64_t* version, absl::Span<float> values) override {
    if (body.size() == 0) return NotABody("it is empty");
    simdjson::ondemand::document document;
    simdjson::ondemand::object object;
    simdjson::error_code error =
        parser_.iterate(body.data(), body.size(), body.size() + RestBuffer::kPaddingBytes)
            .get(document);
    if (!error) error = document.get_object().get(object);
    if (error) return NotABody(simdjson::error_message(error));
    bool has_version = false;
    bool has_values = false;
    for (auto next : object) {
      simdjson::ondemand::field field;
      if (error = std::move(next).get(field); error)
        return NotABody(simdjson::error_message(error));
      if (field.key() == "version") {
        if (error = field.value().get_uint64().get(*version); error)
          return NotABody(simdjson::error_message(error));
        has_version = true;
      } else if (field.key() == "values") {
        if (absl::Status status = ReadValues(field.value(), values); !status.ok()) return status;
        has_values = true;
      }
    }
    if (!has_version || !has_values) return NotABody("a field is missing");
    if (document.current_location().error() == simdjson::OUT_OF_BOUNDS) return absl::OkStatus();
    return NotABody("something follows it");
  }

  void Release() override { out_.Release(); }

 private:
  // The string as it stands between its quotes is base64 unless it holds an escape ("\/" is legal);
  // then simdjson undoes the escapes into a copy first.
  static absl::Status ReadValues(simdjson::ondemand::value& value, absl::Span<float> values) {
    simdjson::ondemand::json_type type;
    if (value.type().get(type) || type != simdjson::ondemand::json_type::string)
      return NotABody("the values are no string");
    const std::string_view token = value.raw_json_token();
    const size_t end = token.rfind('"');
    auto* out = reinterpret_cast<uint8_t*>(values.data());
    const size_t bytes = values.size() * sizeof(float);
    if (end != 0 && DecodeBase64(token.data() + 1, end - 1, out, bytes)) {
      if (!value.get_raw_json_string().error()) return absl::OkStatus();
      return NotABody("a broken string");
    }
    std::string_view plain;
    if (const auto error = value.get_string().get(plain); error)
      return NotABody(simdjson::error_message(error));
    if (DecodeBase64(plain.data(), plain.size(), out, bytes)) return absl::OkStatus();
    return NotABody(absl::StrCat("the values are not ", values.size(), " floats in base64"));
  }

  simdjson::ondemand::parser parser_;
  RestBuffer out_;
};

}  // namespace

std::unique_ptr<RestBodyCodec> MakeFastRestBodyCodec(RestMemory* memory) {
  return std::make_unique<FastCodec>(memory);
}

}  // namespace weir
