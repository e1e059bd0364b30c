// SPDX-License-Identifier: Apache-2.0
#include "core/sealed_json.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/crc32c.h"

namespace weir {
namespace {

using nlohmann::json;

constexpr absl::string_view kSealName = "crc32c";
constexpr size_t kSealBytes = 22;  // ,"crc32c":"xxxxxxxx"} and the line's end

std::string SealOf(absl::string_view text) {
  return absl::StrFormat(",\"%s\":\"%08x\"}\n", kSealName, Crc32c(text));
}

std::string Quote(absl::string_view text) {
  constexpr size_t kMost = 80;
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, kMost)),
                      text.size() > kMost ? "...'" : "'");
}

// Builds a document from the parser's events, within limits. Not json::parse, which keeps the last
// of two equal members silently and has no limits. The first error stops the parser.
class Builder : public nlohmann::json_sax<json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  const std::string& error() const { return error_; }
  json& root() { return root_; }

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return Add(value) != nullptr;
  }
  bool string(string_t& value) override { return Add(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return Fail("binary"); }
  bool start_object(std::size_t) override { return Push(json::object()); }
  bool start_array(std::size_t) override { return Push(json::array()); }
  bool end_object() override { return Pop(); }
  bool end_array() override { return Pop(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name))
      return Fail(absl::StrCat("the member ", Quote(name), " is given twice"));
    member_ = &(*open_.back())[name];
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& what) override {
    const absl::string_view reason = what.what();  // repeats the last token, however long
    return Fail(absl::StrCat("bad JSON at byte ", position == 0 ? 0 : position - 1, ": ",
                             reason.substr(0, 200)));
  }

 private:
  bool Fail(std::string what) {
    error_ = std::move(what);
    return false;
  }

  json* Add(json value) {
    if (++values_ > limits_.values) {
      Fail(absl::StrCat("more than ", limits_.values, " values"));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *member_ = std::move(value);
    return member_;
  }

  bool Push(json value) {
    if (open_.size() == limits_.depth)
      return Fail(absl::StrCat("more than ", limits_.depth, " objects and arrays in one another"));
    json* const added = Add(std::move(value));
    if (added != nullptr) open_.push_back(added);
    return added != nullptr;
  }

  bool Pop() {
    open_.pop_back();
    return true;
  }

  const JsonLimits limits_;
  size_t values_ = 0;
  json root_;
  std::vector<json*> open_;  // an item's address stays while the items before it are closed
  json* member_ = nullptr;   // of the innermost object: whose value comes next
  std::string error_;
};

const json& Nothing() {
  static const json* const nothing = new json;
  return *nothing;
}

void KeepFirst(absl::Status* status, const std::string& path, absl::string_view what) {
  if (status->ok()) *status = absl::DataLossError(absl::StrCat("'", path, "' ", what));
}

}  // namespace

std::string SealJson(const json& object) {
  std::string text = object.dump(1);
  text.pop_back();  // the closing brace
  return text + SealOf(text);
}

absl::StatusOr<json> OpenSealedJson(absl::string_view text, const JsonLimits& limits) {
  if (text.size() < kSealBytes || text[0] != '{') {
    return absl::DataLossError(
        absl::StrCat("has ", text.size(), " bytes and is no sealed JSON object"));
  }
  const absl::string_view sealed = text.substr(0, text.size() - kSealBytes);
  const std::string seal = SealOf(sealed);
  if (text.substr(sealed.size()) != seal) {
    return absl::DataLossError(absl::StrCat("does not end with the CRC of what stands before byte ",
                                            sealed.size(),
                                            ", as a whole one does: cut off, or changed"));
  }
  Builder builder(limits);
  if (!json::sax_parse(text.begin(), text.end(), &builder))
    return absl::DataLossError(builder.error());
  json object = std::move(builder.root());
  object.erase(std::string(kSealName));
  return object;
}

JsonMembers::JsonMembers(const json& object, std::string where, absl::Status* status)
    : object_(object), where_(std::move(where)), status_(status) {
  if (!object_.is_object()) Fail(where_, "is no object");
}

std::string JsonMembers::PathOf(const std::string& name) const {
  return where_.empty() ? name : absl::StrCat(where_, ".", name);
}

std::string JsonMembers::PathOf(const std::string& name, size_t item) const {
  return absl::StrCat(PathOf(name), "[", item, "]");
}

void JsonMembers::Fail(const std::string& path, absl::string_view what) {
  KeepFirst(status_, path, what);
}

const json& JsonMembers::Member(const std::string& name) {
  if (!status_->ok()) return Nothing();
  read_.insert(name);
  const auto at = object_.find(name);
  if (at != object_.end()) return *at;
  Fail(PathOf(name), "is missing");
  return Nothing();
}

uint64_t JsonMembers::Whole(const std::string& name, uint64_t most) {
  return WholeNumber(Member(name), PathOf(name), most, status_);
}

double JsonMembers::Real(const std::string& name) {
  const json& value = Member(name);
  if (value.is_number() && std::isfinite(value.get<double>())) return value.get<double>();
  Fail(PathOf(name), "is no finite number");
  return 0;
}

std::string JsonMembers::Text(const std::string& name, size_t most_bytes) {
  const json& value = Member(name);
  if (value.is_string() && value.get_ref<const std::string&>().size() <= most_bytes)
    return value.get<std::string>();
  Fail(PathOf(name), absl::StrCat("is no text of at most ", most_bytes, " bytes"));
  return "";
}

std::string JsonMembers::Bytes(const std::string& name, size_t most_bytes) {
  const std::string text = Text(name, (most_bytes + 2) / 3 * 4);
  std::string bytes;
  if (status_->ok() && absl::Base64Unescape(text, &bytes) && bytes.size() <= most_bytes)
    return bytes;
  Fail(PathOf(name), absl::StrCat("is not the Base64 of at most ", most_bytes, " bytes"));
  return "";
}

const json& JsonMembers::Array(const std::string& name, size_t most_items) {
  const json& value = Member(name);
  if (value.is_array() && value.size() <= most_items) return value;
  Fail(PathOf(name), absl::StrCat("is no array of at most ", most_items, " items"));
  return Nothing();
}

const json& JsonMembers::Object(const std::string& name) {
  const json& value = Member(name);
  if (!value.is_object()) Fail(PathOf(name), "is no object");
  return value;
}

void JsonMembers::Finish() {
  if (!status_->ok()) return;
  for (const auto& [name, value] : object_.items()) {
    if (read_.count(name) == 0) return Fail(PathOf(Quote(name)), "is not known");
  }
}

uint64_t WholeNumber(const json& value, const std::string& path, uint64_t most,
                     absl::Status* status) {
  if (value.is_number_unsigned() && value.get<uint64_t>() <= most) return value.get<uint64_t>();
  KeepFirst(status, path, absl::StrCat("is no whole number of at most ", most));
  return 0;
}

}  // namespace weir
