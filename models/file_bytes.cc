// SPDX-License-Identifier: Apache-2.0
#include "models/file_bytes.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

namespace weir {
namespace {

struct CloseGzip {
  void operator()(gzFile_s* file) const { gzclose(file); }
};

constexpr size_t kChunkBytes = size_t{1} << 18;

}  // namespace

Result<std::string> ReadFileBytes(const std::string& path, size_t limit) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    return Status(StatusCode::kNotFound, path + ": " + (error ? error.message() : "no such file"));
  }
  if (!std::filesystem::is_regular_file(status)) {
    return Status(StatusCode::kInvalidArgument, path + ": not a regular file");
  }
  errno = 0;
  const std::unique_ptr<gzFile_s, CloseGzip> file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) {
    return Status(StatusCode::kNotFound,
                  path + ": cannot be opened: " + (errno ? std::strerror(errno) : "no memory"));
  }
  gzbuffer(file.get(), kChunkBytes);
  std::string bytes;
  for (;;) {
    const size_t size = bytes.size();
    bytes.resize(size + kChunkBytes);
    const int got = gzread(file.get(), &bytes[size], kChunkBytes);
    bytes.resize(size + static_cast<size_t>(std::max(got, 0)));
    int code = Z_OK;
    const char* why = gzerror(file.get(), &code);
    // Z_BUF_ERROR: the file ends inside its gzip stream.
    if (got < 0 || code == Z_BUF_ERROR) {
      return Status(StatusCode::kDataLoss, path + ": cannot be read to its end: " + why);
    }
    if (bytes.size() > limit) {
      return Status(StatusCode::kResourceExhausted,
                    path + ": more than " + std::to_string(limit) + " bytes");
    }
    if (got == 0) return bytes;
  }
}

}  // namespace weir
