// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_FILE_SYSTEM_H_
#define WEIR_CORE_FILE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir {

// Files as what must survive a crash needs them: nothing is durable until it was synced, neither
// the bytes of a file (WritableFile::Sync) nor its name (FileSystem::SyncDirectory), and what was
// not synced may be lost in any part and in any order.
//
// Every status names the path. NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED (no
// space, or no quota), and whatever else errno says, by absl::ErrnoToStatus.

// A file open for writing at any offset. The destructor closes it. One thread at a time; several
// files, in several processes too, may be open on one path, each writing ranges of its own.
class WritableFile {
 public:
  virtual ~WritableFile() = default;

  // Gives the file at least `bytes` bytes, zeros where nothing was written, with the space for all
  // of them: a full disk is an error here, before anything was written. Changes no byte that is
  // there. (Where the file system cannot reserve, only the size is set.)
  virtual absl::Status Allocate(uint64_t bytes) = 0;

  // All of `data`, or an error: then any part of the range may have been written.
  virtual absl::Status WriteAt(uint64_t offset, absl::string_view data) = 0;

  // Makes what was written durable. After an error it may never be, whatever a later Sync says:
  // give the file up.
  virtual absl::Status Sync() = 0;

  // Closes the file; it tells what only closing tells. No call after it.
  virtual absl::Status Close() = 0;
};

// A file open for reading. Thread-safe.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;

  // As it was when the file was opened.
  virtual uint64_t size() const = 0;

  // Exactly `size` bytes into `out`. DATA_LOSS, with the offset: the file ends before.
  virtual absl::Status ReadAt(uint64_t offset, size_t size, char* out) const = 0;
};

enum class OpenMode {
  kNew,      // ALREADY_EXISTS when there is one
  kReplace,  // made, or emptied
  kShare,    // made when there is none, else as it is
};

// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWriting(const std::string& path,
                                                                       OpenMode mode) = 0;
  // FAILED_PRECONDITION: no regular file.
  virtual absl::StatusOr<std::unique_ptr<ReadableFile>> OpenForReading(const std::string& path) = 0;

  // One directory, whose parent is there.
  virtual absl::Status MakeDirectory(const std::string& path) = 0;
  // The names in it, but "." and "..", ascending.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& path) = 0;
  // Makes the names in the directory `path` durable.
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // Within one directory. ALREADY_EXISTS: `to` is there.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  // The file or directory with all that is in it; OK when there is none.
  virtual absl::Status RemoveTree(const std::string& path) = 0;
};

// The machine's own. Lives as long as the process.
FileSystem* PosixFileSystem();

// The whole file. RESOURCE_EXHAUSTED: more than `limit_bytes`, and nothing was read.
absl::StatusOr<std::string> ReadWholeFile(FileSystem* files, const std::string& path,
                                          uint64_t limit_bytes);

// Opens the file as `mode` says, writes `content` and syncs it; its name is not yet durable.
absl::Status WriteWholeFile(FileSystem* files, const std::string& path, OpenMode mode,
                            absl::string_view content);

// "a/b" of "a/b/c", "." of "c", "/" of "/c".
std::string DirectoryOf(const std::string& path);

}  // namespace weir

#endif  // WEIR_CORE_FILE_SYSTEM_H_
