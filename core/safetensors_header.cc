// SPDX-License-Identifier: Apache-2.0
#include "core/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/safetensors.h"

namespace weir {
namespace {

using Tensor = SafetensorsHeader::Tensor;

constexpr absl::string_view kMetadata = "__metadata__";

// Bytes of one element; 0 for a dtype that does not exist.
uint64_t DtypeBytes(absl::string_view dtype) {
  static constexpr std::pair<absl::string_view, uint64_t> kSizes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
      {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8}};
  for (const auto& [name, bytes] : kSizes) {
    if (name == dtype) return bytes;
  }
  return 0;
}

// A piece of text from the file, fit for a message.
std::string Quote(absl::string_view text) {
  constexpr size_t kMost = 80;
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, kMost)),
                      text.size() > kMost ? "...'" : "'");
}

// Follows the parser's events through the one structure that a header may have. A SAX handler and
// not a document, because a document silently keeps the last of two equal keys. The first error
// stops the parser.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(uint64_t header_offset) : header_offset_(header_offset) {}

  const std::string& error() const { return error_; }
  std::map<std::string, Tensor>& tensors() { return tensors_; }
  std::map<std::string, std::string>& metadata() { return metadata_; }

  bool start_object(std::size_t) override {
    switch (at_) {
      case At::kStart:
        return Go(At::kTop);
      case At::kTensorValue:
        seen_dtype_ = seen_shape_ = seen_offsets_ = false;
        return Go(At::kTensor);
      case At::kMetadataValue:
        return Go(At::kMetadata);
      default:
        return Fail("an object where none belongs");
    }
  }

  bool end_object() override {
    switch (at_) {
      case At::kTop:
        return Go(At::kEnd);
      case At::kMetadata:
        return Go(At::kTop);
      case At::kTensor:
        if (!seen_dtype_ || !seen_shape_ || !seen_offsets_) {
          return Fail("needs each of dtype, shape and data_offsets");
        }
        return Go(At::kTop);
      default:
        return Fail("an object ends where a value belongs");
    }
  }

  bool key(string_t& key) override {
    switch (at_) {
      case At::kTop:
        return TopKey(key);
      case At::kTensor:
        return TensorKey(key);
      case At::kMetadata:
        metadata_key_ = key;
        if (metadata_.count(key) > 0) return Fail(absl::StrCat("key ", Quote(key), " twice"));
        return Go(At::kMetadataText);
      default:
        return Fail("a key where none belongs");
    }
  }

  bool string(string_t& text) override {
    switch (at_) {
      case At::kDtype:
        if (DtypeBytes(text) == 0) return Fail(absl::StrCat("unknown dtype ", Quote(text)));
        tensor_->dtype = text;
        return Go(At::kTensor);
      case At::kMetadataText:
        metadata_[metadata_key_] = text;
        return Go(At::kMetadata);
      default:
        return Fail("a string where none belongs");
    }
  }

  bool start_array(std::size_t) override {
    switch (at_) {
      case At::kShape:
        return Go(At::kShapeItem);
      case At::kOffsets:
        return Go(At::kOffsetsItem);
      default:
        return Fail("an array where none belongs");
    }
  }

  bool end_array() override {
    if (at_ == At::kOffsetsItem && offsets_.size() != 2) {
      return Fail(absl::StrCat("data_offsets has ", offsets_.size(), " numbers instead of 2"));
    }
    if (at_ == At::kOffsetsItem) {
      tensor_->begin = offsets_[0];
      tensor_->end = offsets_[1];
    }
    return Go(At::kTensor);
  }

  bool number_unsigned(number_unsigned_t value) override {
    switch (at_) {
      case At::kShapeItem:
        if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
          return Fail(absl::StrCat("dimension ", value, " is too large"));
        }
        if (tensor_->shape.size() == kMaxSafetensorsRank) {
          return Fail(absl::StrCat("more than ", kMaxSafetensorsRank, " dimensions"));
        }
        tensor_->shape.push_back(static_cast<int64_t>(value));
        return true;
      case At::kOffsetsItem:
        if (offsets_.size() == 2) return Fail("data_offsets has more than 2 numbers");
        offsets_.push_back(value);
        return true;
      default:
        return Fail("a number where none belongs");
    }
  }

  bool number_integer(number_integer_t value) override {
    return Fail(absl::StrCat("the negative number ", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Fail(absl::StrCat("the number ", Quote(text), ", which is not a 64-bit integer"));
  }
  bool null() override { return Fail("null"); }
  bool boolean(bool) override { return Fail("a boolean"); }
  bool binary(binary_t&) override { return Fail("binary"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& what) override {
    at_ = At::kEnd;
    const absl::string_view reason = what.what();  // repeats the last token, however long
    return Fail(absl::StrCat("bad JSON at byte ", header_offset_ + position - 1, ": ",
                             reason.substr(0, 200)));
  }

 private:
  enum class At {
    kStart,
    kTop,            // a key or the end
    kTensorValue,    // the object of a tensor
    kTensor,         // a field's key or the end
    kDtype,          // a string
    kShape,          // an array
    kShapeItem,      // a number or the end
    kOffsets,        // an array
    kOffsetsItem,    // a number or the end
    kMetadataValue,  // the object of __metadata__
    kMetadata,       // a key or the end
    kMetadataText,   // a string
    kEnd,
  };

  bool Go(At at) {
    at_ = at;
    return true;
  }

  // Keeps the first error, with the place in the structure.
  bool Fail(absl::string_view what) {
    const bool in_metadata =
        at_ == At::kMetadata || at_ == At::kMetadataText || at_ == At::kMetadataValue;
    const bool in_tensor = tensor_ != nullptr && at_ != At::kTop && at_ != At::kEnd;
    error_ = in_metadata ? absl::StrCat("__metadata__: ", what)
             : in_tensor ? absl::StrCat("tensor ", Quote(tensor_->name), ": ", what)
                         : std::string(what);
    return false;
  }

  bool TopKey(const std::string& key) {
    if (key == kMetadata) {
      if (std::exchange(seen_metadata_, true)) return Fail("key '__metadata__' twice");
      return Go(At::kMetadataValue);
    }
    const auto [it, is_new] = tensors_.try_emplace(key);
    if (!is_new) return Fail(absl::StrCat("tensor ", Quote(key), " twice"));
    tensor_ = &it->second;
    tensor_->name = key;
    return Go(At::kTensorValue);
  }

  bool TensorKey(const std::string& key) {
    if (key == "dtype") return Field(key, &seen_dtype_, At::kDtype);
    if (key == "shape") return Field(key, &seen_shape_, At::kShape);
    if (key == "data_offsets") {
      offsets_.clear();
      return Field(key, &seen_offsets_, At::kOffsets);
    }
    return Fail(absl::StrCat("unknown field ", Quote(key)));
  }

  bool Field(absl::string_view key, bool* seen, At next) {
    if (std::exchange(*seen, true)) return Fail(absl::StrCat("field '", key, "' twice"));
    return Go(next);
  }

  const uint64_t header_offset_;
  At at_ = At::kStart;
  std::map<std::string, Tensor> tensors_;  // by name; std::map, so that tensor_ stays valid
  std::map<std::string, std::string> metadata_;
  Tensor* tensor_ = nullptr;  // the one being read
  bool seen_dtype_ = false;
  bool seen_shape_ = false;
  bool seen_offsets_ = false;
  bool seen_metadata_ = false;
  std::vector<uint64_t> offsets_;
  std::string metadata_key_;
  std::string error_;
};

// The elements of the shape and that their bytes are those of the offsets. Returns what is wrong,
// or nothing.
std::string CheckTensor(uint64_t data_bytes, Tensor* tensor) {
  uint64_t elements = 1;
  for (int64_t dimension : tensor->shape) {
    if (__builtin_mul_overflow(elements, static_cast<uint64_t>(dimension), &elements)) {
      return "the number of elements overflows";
    }
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(elements, DtypeBytes(tensor->dtype), &bytes)) {
    return "the number of bytes overflows";
  }
  tensor->elements = elements;
  const std::string range = absl::StrCat("[", tensor->begin, ", ", tensor->end, ")");
  if (tensor->begin > tensor->end)
    return absl::StrCat("data_offsets ", range, " end before they begin");
  if (tensor->end > data_bytes) {
    return absl::StrCat("data_offsets ", range, " reach beyond the file's ", data_bytes,
                        " bytes of data");
  }
  if (tensor->end - tensor->begin != bytes) {
    return absl::StrCat("data_offsets ", range, " hold ", tensor->end - tensor->begin,
                        " bytes, dtype and shape need ", bytes);
  }
  return "";
}

// That the tensors, by offset, follow one another from 0 to data_bytes. Returns what is wrong, or
// nothing.
std::string CheckCover(const std::vector<Tensor>& tensors, uint64_t data_bytes) {
  std::vector<const Tensor*> by_offset;
  for (const Tensor& tensor : tensors) by_offset.push_back(&tensor);
  std::stable_sort(by_offset.begin(), by_offset.end(), [](const Tensor* a, const Tensor* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t next = 0;
  for (const Tensor* tensor : by_offset) {
    if (tensor->begin != next) {
      return absl::StrCat(
          "tensor ", Quote(tensor->name), " begins at data offset ", tensor->begin,
          tensor->begin < next ? ", inside the tensor that ends at " : ", leaving a hole after ",
          next);
    }
    next = tensor->end;
  }
  if (next != data_bytes) {
    return absl::StrCat("the tensors end at data offset ", next, ", the file has ", data_bytes,
                        " bytes of data");
  }
  return "";
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         uint64_t header_offset,
                                                         uint64_t data_bytes) {
  if (json.empty() || json.front() != '{') {
    return absl::DataLossError(
        absl::StrCat("the header at byte ", header_offset, " does not start with '{'"));
  }
  HeaderReader reader(header_offset);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) {
    return absl::DataLossError(absl::StrCat("header: ", reader.error()));
  }
  SafetensorsHeader header;
  header.metadata = std::move(reader.metadata());
  header.tensors.reserve(reader.tensors().size());
  for (auto& [name, tensor] : reader.tensors()) {
    if (const std::string error = CheckTensor(data_bytes, &tensor); !error.empty()) {
      return absl::DataLossError(absl::StrCat("header: tensor ", Quote(name), ": ", error));
    }
    header.tensors.push_back(std::move(tensor));
  }
  if (const std::string error = CheckCover(header.tensors, data_bytes); !error.empty()) {
    return absl::DataLossError(absl::StrCat("header: ", error));
  }
  return header;
}

absl::StatusOr<std::string> EncodeSafetensorsHeader(const SafetensorsHeader& header) {
  nlohmann::json json = nlohmann::json::object();
  if (!header.metadata.empty()) json[std::string(kMetadata)] = header.metadata;
  for (const Tensor& tensor : header.tensors) {
    json[tensor.name] = {{"dtype", tensor.dtype},
                         {"shape", tensor.shape},
                         {"data_offsets", {tensor.begin, tensor.end}}};
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("a name or a metadata value is not UTF-8: ", error.what()));
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the header would have ", text.size(),
                                                   " bytes, more than the format's limit of ",
                                                   kMaxSafetensorsHeaderBytes));
  }
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

}  // namespace weir
