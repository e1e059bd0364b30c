// SPDX-License-Identifier: Apache-2.0
#include "core/file_system.h"

#include "absl/strings/str_cat.h"

namespace weir {

absl::StatusOr<std::string> ReadWholeFile(FileSystem* files, const std::string& path,
                                          uint64_t limit_bytes) {
  const auto file = files->OpenForReading(path);
  if (!file.ok()) return file.status();
  const uint64_t size = (*file)->size();
  if (size > limit_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": has ", size, " bytes; the limit is ", limit_bytes));
  }
  std::string content(size, '\0');
  const absl::Status status = (*file)->ReadAt(0, size, content.data());
  if (!status.ok()) return status;
  return content;
}

absl::Status WriteWholeFile(FileSystem* files, const std::string& path, OpenMode mode,
                            absl::string_view content) {
  const auto file = files->OpenForWriting(path, mode);
  if (!file.ok()) return file.status();
  absl::Status status = (*file)->WriteAt(0, content);
  if (status.ok()) status = (*file)->Sync();
  if (status.ok()) status = (*file)->Close();
  return status;
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace weir
