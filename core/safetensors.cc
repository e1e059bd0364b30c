// SPDX-License-Identifier: Apache-2.0
#include "core/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/safetensors_header.h"
#include "core/sha256.h"

namespace weir {
namespace {

constexpr uint64_t kLengthBytes = 8;

absl::Status SystemError(absl::string_view path, absl::string_view doing) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": ", doing));
}

absl::Status Damaged(absl::string_view path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

void SortByName(std::vector<WeightsView>* tensors) {
  std::sort(tensors->begin(), tensors->end(),
            [](const WeightsView& a, const WeightsView& b) { return a.name < b.name; });
}

// `sorted` by name.
absl::Status CheckViews(const std::vector<WeightsView>& sorted) {
  for (size_t i = 0; i < sorted.size(); ++i) {
    const WeightsView& tensor = sorted[i];
    const auto refuse = [&](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("tensor '", tensor.name, "' ", what));
    };
    if (tensor.name.empty() || tensor.name == "__metadata__")
      return refuse("may not have that name");
    if (i > 0 && sorted[i - 1].name == tensor.name) return refuse("is given twice");
    uint64_t elements = 1;
    for (int64_t dimension : tensor.shape) {
      if (dimension < 0 ||
          __builtin_mul_overflow(elements, static_cast<uint64_t>(dimension), &elements)) {
        return refuse("has a shape that no tensor can have");
      }
    }
    if (tensor.shape.size() > kMaxSafetensorsRank) return refuse("has too many dimensions");
    if (elements != tensor.data.size()) {
      return refuse(
          absl::StrCat("has ", tensor.data.size(), " elements, its shape needs ", elements));
    }
  }
  return absl::OkStatus();
}

// Length, JSON and padding: everything before the data.
absl::StatusOr<std::string> EncodeHeader(const std::vector<WeightsView>& sorted,
                                         const std::map<std::string, std::string>& metadata) {
  SafetensorsHeader header;
  header.metadata = metadata;
  uint64_t offset = 0;
  for (const WeightsView& tensor : sorted) {
    const uint64_t end = offset + tensor.data.size() * sizeof(float);
    header.tensors.push_back({tensor.name, "F32", tensor.shape, offset, end, tensor.data.size()});
    offset = end;
  }
  return EncodeSafetensorsHeader(header);
}

absl::Status WriteAll(int fd, const std::string& path, const void* data, size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = write(fd, next, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError(path, "cannot write");
    next += written;
    size -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

// Writes header and data to a new file `path` and fsyncs it.
absl::Status WriteContents(const std::string& path, const std::string& header,
                           const std::vector<WeightsView>& sorted) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return SystemError(path, "cannot create");
  const auto close_fd = absl::MakeCleanup([fd] { close(fd); });
  if (absl::Status status = WriteAll(fd, path, header.data(), header.size()); !status.ok())
    return status;
  for (const WeightsView& tensor : sorted) {
    const size_t bytes = tensor.data.size() * sizeof(float);
    if (absl::Status status = WriteAll(fd, path, tensor.data.data(), bytes); !status.ok())
      return status;
  }
  if (fsync(fd) != 0) return SystemError(path, "cannot fsync");
  return absl::OkStatus();
}

// Makes the rename itself durable.
absl::Status SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError(directory, "cannot open");
  const auto close_fd = absl::MakeCleanup([fd] { close(fd); });
  if (fsync(fd) != 0) return SystemError(directory, "cannot fsync");
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, std::vector<WeightsView> tensors,
                              const std::map<std::string, std::string>& metadata) {
  SortByName(&tensors);
  if (absl::Status status = CheckViews(tensors); !status.ok()) return status;
  const absl::StatusOr<std::string> header = EncodeHeader(tensors, metadata);
  if (!header.ok()) return header.status();
  const std::string partial = path + ".partial";
  absl::Status status = WriteContents(partial, *header, tensors);
  if (status.ok() && rename(partial.c_str(), path.c_str()) != 0) {
    status = SystemError(path, "cannot rename to this name");
  }
  if (!status.ok()) {
    unlink(partial.c_str());
    return status;
  }
  return SyncDirectoryOf(path);
}

std::string WeightsSha256(std::vector<WeightsView> tensors) {
  SortByName(&tensors);
  Sha256 sha;
  for (const WeightsView& tensor : tensors) {
    sha.Update(tensor.data.data(), tensor.data.size() * sizeof(float));
  }
  return sha.FinishHex();
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  // O_NONBLOCK: a FIFO is refused below and not waited for.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return SystemError(path, "cannot open");
  const auto close_fd = absl::MakeCleanup([fd] { close(fd); });
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError(path, "cannot stat");
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": not a regular file"));
  }
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  if (size < kLengthBytes) {
    return Damaged(path, absl::StrCat("has ", size, " bytes; a safetensors file has at least 8"));
  }
  void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED) return SystemError(path, "cannot map");
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile);
  file->bytes_ = static_cast<const char*>(map);
  file->size_ = size;

  uint64_t header_bytes;
  std::memcpy(&header_bytes, file->bytes_, kLengthBytes);
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    return Damaged(path,
                   absl::StrCat("the length at byte 0 says ", header_bytes,
                                " bytes of header; the limit is ", kMaxSafetensorsHeaderBytes));
  }
  if (header_bytes > size - kLengthBytes) {
    return Damaged(path, absl::StrCat("the length at byte 0 says ", header_bytes,
                                      " bytes of header; the file has ", size, " bytes in all"));
  }
  const uint64_t data_at = kLengthBytes + header_bytes;
  absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(
      absl::string_view(file->bytes_ + kLengthBytes, header_bytes), kLengthBytes, size - data_at);
  if (!header.ok()) return Damaged(path, header.status().message());
  for (SafetensorsHeader::Tensor& tensor : header->tensors) {
    const absl::Span<const char> data(file->bytes_ + data_at + tensor.begin,
                                      tensor.end - tensor.begin);
    file->tensors_.push_back({std::move(tensor.name), std::move(tensor.dtype),
                              std::move(tensor.shape), tensor.elements, data});
  }
  file->metadata_ = std::move(header->metadata);
  return file;
}

SafetensorsFile::~SafetensorsFile() {
  if (bytes_ != nullptr) munmap(const_cast<char*>(bytes_), size_);
}

const SafetensorsEntry* SafetensorsFile::Find(absl::string_view name) const {
  const auto at = std::lower_bound(
      tensors_.begin(), tensors_.end(), name,
      [](const SafetensorsEntry& entry, absl::string_view wanted) { return entry.name < wanted; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

}  // namespace weir
