// SPDX-License-Identifier: Apache-2.0
#include "models/idx.h"

#include <utility>

namespace weir {
namespace {

constexpr uint32_t kImagesMagic = 0x00000803;
constexpr uint32_t kLabelsMagic = 0x00000801;

Status Invalid(std::string message) {
  return Status(StatusCode::kInvalidArgument, std::move(message));
}

// REQUIRES: 4 bytes at `at`.
uint32_t BigEndian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

std::string Hex(uint32_t value) {
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[value >> shift & 15];
  return text;
}

// Checks the magic number, and that the header of `numbers` numbers is there.
Status CheckHeader(std::string_view bytes, const std::string& file, uint32_t magic,
                   size_t numbers) {
  if (bytes.size() >= 4 && BigEndian(bytes, 0) != magic) {
    return Invalid(file + ": begins with " + Hex(BigEndian(bytes, 0)) + ", but IDX " +
                   (magic == kImagesMagic ? "images" : "labels") + " of bytes begin with " +
                   Hex(magic));
  }
  if (bytes.size() < 4 * numbers) {
    return Status(StatusCode::kDataLoss, file + ": truncated: " + std::to_string(bytes.size()) +
                                             " bytes are less than the header");
  }
  return Status();
}

Status CheckBody(std::string_view body, const std::string& file, int64_t wanted) {
  const int64_t size = static_cast<int64_t>(body.size());
  if (size < wanted) {
    return Status(StatusCode::kDataLoss, file + ": truncated: " + std::to_string(size) +
                                             " bytes after the header, which says " +
                                             std::to_string(wanted));
  }
  if (size > wanted) {
    return Invalid(file + ": " + std::to_string(size - wanted) + " bytes after the end");
  }
  return Status();
}

Status AddImages(std::string_view bytes, const DatasetLimits& limits, RawTable* table) {
  Status status = CheckHeader(bytes, table->file, kImagesMagic, 4);
  if (!status.ok()) return status;
  const int64_t rows = BigEndian(bytes, 4);
  const int64_t height = BigEndian(bytes, 8);
  const int64_t width = BigEndian(bytes, 12);
  if (rows == 0 || height == 0 || width == 0) {
    return Invalid(table->file + ": no images (" + std::to_string(rows) + " of " +
                   std::to_string(height) + " x " + std::to_string(width) + ")");
  }
  // The height alone first: then its product with the width fits.
  status = CheckSize(table->file, rows, height, limits);
  if (status.ok()) status = CheckSize(table->file, rows, height * width, limits);
  if (!status.ok()) return status;
  const std::string_view body = bytes.substr(16);
  status = CheckBody(body, table->file, rows * height * width);
  if (!status.ok()) return status;
  table->rows = rows;
  table->columns = height * width;
  table->features.reserve(body.size());
  for (char byte : body) table->features.push_back(static_cast<float>(static_cast<uint8_t>(byte)));
  return Status();
}

}  // namespace

Result<RawTable> ReadIdx(std::string_view images, const std::string& images_file,
                         std::string_view labels, const std::string& labels_file,
                         const DatasetLimits& limits) {
  RawTable table;
  table.file = images_file;
  Status status = AddImages(images, limits, &table);
  if (!status.ok()) return status;
  status = CheckHeader(labels, labels_file, kLabelsMagic, 2);
  if (!status.ok()) return status;
  const int64_t count = BigEndian(labels, 4);
  if (count != table.rows) {
    return Invalid(labels_file + ": " + std::to_string(count) + " labels, but " + images_file +
                   " has " + std::to_string(table.rows) + " images");
  }
  const std::string_view body = labels.substr(8);
  status = CheckBody(body, labels_file, count);
  if (!status.ok()) return status;
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t label = static_cast<uint8_t>(body[static_cast<size_t>(i)]);
    status = table.labels.Add(std::to_string(label), i + 1);
    if (!status.ok()) return status;
  }
  table.file = labels_file;  // what is still to be checked is the labels
  return table;
}

}  // namespace weir
