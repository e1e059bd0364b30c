// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_body.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tools/rest_body_fast.h"

namespace weir {
namespace {

absl::Status NotABody(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("not a tensor: expected {\"version\": N, \"values\": V}: ", what));
}

// An object with an unsigned "version" and "values".
absl::StatusOr<nlohmann::json> ParseDocument(const RestBuffer& body, uint64_t* version) {
  nlohmann::json document = nlohmann::json::parse(body.data(), body.data() + body.size(), nullptr,
                                                  /*allow_exceptions=*/false);
  if (!document.is_object()) return NotABody("no JSON object");
  const auto found = document.find("version");
  if (found == document.end() || !found->is_number_unsigned()) return NotABody("no version");
  if (!document.contains("values")) return NotABody("no values");
  *version = found->get<uint64_t>();
  return document;
}

class NumbersCodec : public RestBodyCodec {
 public:
  absl::string_view Write(uint64_t version, absl::Span<const float> values) override {
    nlohmann::json document;
    document["version"] = version;
    document["values"] = std::vector<float>(values.begin(), values.end());
    text_ = document.dump();
    return text_;
  }

  absl::Status Read(const RestBuffer& body, uint64_t* version, absl::Span<float> values) override {
    const auto document = ParseDocument(body, version);
    if (!document.ok()) return document.status();
    const nlohmann::json& numbers = (*document)["values"];
    if (!numbers.is_array() || numbers.size() != values.size())
      return NotABody(absl::StrCat("expected ", values.size(), " numbers"));
    size_t i = 0;
    for (const nlohmann::json& number : numbers) {
      if (!number.is_number()) return NotABody("a value is no number");
      values[i++] = number.get<float>();
    }
    return absl::OkStatus();
  }

  void Release() override { text_ = std::string(); }

 private:
  std::string text_;
};

class Base64Codec : public RestBodyCodec {
 public:
  absl::string_view Write(uint64_t version, absl::Span<const float> values) override {
    const absl::string_view bytes(reinterpret_cast<const char*>(values.data()),
                                  values.size() * sizeof(float));
    std::string encoded;
    absl::Base64Escape(bytes, &encoded);
    nlohmann::json document;
    document["version"] = version;
    document["values"] = std::move(encoded);
    text_ = document.dump();
    return text_;
  }

  absl::Status Read(const RestBuffer& body, uint64_t* version, absl::Span<float> values) override {
    const auto document = ParseDocument(body, version);
    if (!document.ok()) return document.status();
    const nlohmann::json& encoded = (*document)["values"];
    if (!encoded.is_string()) return NotABody("the values are no string");
    std::string bytes;
    if (!absl::Base64Unescape(encoded.get_ref<const std::string&>(), &bytes))
      return NotABody("the values are no base64");
    if (bytes.size() != values.size() * sizeof(float))
      return NotABody(absl::StrCat("expected ", values.size(), " floats"));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return absl::OkStatus();
  }

  void Release() override { text_ = std::string(); }

 private:
  std::string text_;
};

}  // namespace

const char* RestFormName(RestForm form) {
  switch (form) {
    case RestForm::kNumbers:
      return "json-numbers";
    case RestForm::kBase64:
      return "json-base64";
    case RestForm::kFastBase64:
      break;
  }
  return "json-base64-fast";
}

absl::StatusOr<RestForm> ParseRestForm(absl::string_view name) {
  for (RestForm form : {RestForm::kNumbers, RestForm::kBase64, RestForm::kFastBase64}) {
    if (name == RestFormName(form)) return form;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown form '", name, "'; the forms are json-numbers, json-base64 and json-base64-fast"));
}

std::unique_ptr<RestBodyCodec> MakeRestBodyCodec(RestForm form, RestMemory* memory) {
  switch (form) {
    case RestForm::kNumbers:
      return std::make_unique<NumbersCodec>();
    case RestForm::kBase64:
      return std::make_unique<Base64Codec>();
    case RestForm::kFastBase64:
      break;
  }
  return MakeFastRestBodyCodec(memory);
}

}  // namespace weir
