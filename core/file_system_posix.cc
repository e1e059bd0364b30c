// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/file_system.h"

namespace weir {
namespace {

absl::Status SystemError(absl::string_view path, absl::string_view doing) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": ", doing));
}

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixWritableFile() override {
    if (fd_ >= 0) close(fd_);
  }

  // Not posix_fallocate: where the file system cannot reserve, it reads and writes a byte of each
  // block, and would undo what another process writes meanwhile.
  absl::Status Allocate(uint64_t bytes) override {
    struct stat info;
    if (fstat(fd_, &info) != 0) return SystemError(path_, "cannot stat");
    int result;
    do {
      result = fallocate(fd_, 0, 0, static_cast<off_t>(bytes));
    } while (result != 0 && errno == EINTR);
    if (result == 0) return absl::OkStatus();
    if (errno == EOPNOTSUPP && static_cast<uint64_t>(info.st_size) >= bytes)
      return absl::OkStatus();
    if (errno == EOPNOTSUPP && ftruncate(fd_, static_cast<off_t>(bytes)) == 0)
      return absl::OkStatus();
    return SystemError(path_, absl::StrCat("cannot allocate ", bytes, " bytes"));
  }

  absl::Status WriteAt(uint64_t offset, absl::string_view data) override {
    while (!data.empty()) {
      const ssize_t size = pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (size < 0 && errno == EINTR) continue;
      if (size < 0)
        return SystemError(path_, absl::StrCat("cannot write ", data.size(), " bytes at ", offset));
      data.remove_prefix(static_cast<size_t>(size));
      offset += static_cast<uint64_t>(size);
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    return fsync(fd_) == 0 ? absl::OkStatus() : SystemError(path_, "cannot fsync");
  }

  absl::Status Close() override {
    return close(std::exchange(fd_, -1)) == 0 ? absl::OkStatus()
                                              : SystemError(path_, "cannot close");
  }

 private:
  const std::string path_;
  int fd_;
};

class PosixReadableFile : public ReadableFile {
 public:
  PosixReadableFile(std::string path, int fd, uint64_t size)
      : path_(std::move(path)), fd_(fd), size_(size) {}
  ~PosixReadableFile() override { close(fd_); }

  uint64_t size() const override { return size_; }

  absl::Status ReadAt(uint64_t offset, size_t size, char* out) const override {
    while (size > 0) {
      const ssize_t got = pread(fd_, out, size, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        return SystemError(path_, absl::StrCat("cannot read ", size, " bytes at ", offset));
      if (got == 0) {
        return absl::DataLossError(
            absl::StrCat(path_, ": ends at byte ", offset, ", ", size, " bytes too early"));
      }
      out += got;
      offset += static_cast<uint64_t>(got);
      size -= static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  const int fd_;
  const uint64_t size_;
};

int FlagsOf(OpenMode mode) {
  switch (mode) {
    case OpenMode::kNew:
      return O_EXCL;
    case OpenMode::kReplace:
      return O_TRUNC;
    case OpenMode::kShare:
      break;
  }
  return 0;
}

class Posix : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWriting(const std::string& path,
                                                               OpenMode mode) override {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | FlagsOf(mode), 0666);
    if (fd < 0) return SystemError(path, "cannot open for writing");
    return std::make_unique<PosixWritableFile>(path, fd);
  }

  absl::StatusOr<std::unique_ptr<ReadableFile>> OpenForReading(const std::string& path) override {
    // O_NONBLOCK: a FIFO is refused below and not waited for.
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return SystemError(path, "cannot open");
    struct stat info;
    absl::Status status;
    if (fstat(fd, &info) != 0) {
      status = SystemError(path, "cannot stat");
    } else if (!S_ISREG(info.st_mode)) {
      status = absl::FailedPreconditionError(absl::StrCat(path, ": not a regular file"));
    }
    if (!status.ok()) {
      close(fd);
      return status;
    }
    return std::make_unique<PosixReadableFile>(path, fd, static_cast<uint64_t>(info.st_size));
  }

  absl::Status MakeDirectory(const std::string& path) override {
    return mkdir(path.c_str(), 0777) == 0 ? absl::OkStatus()
                                          : SystemError(path, "cannot make this directory");
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    DIR* const directory = opendir(path.c_str());
    if (directory == nullptr) return SystemError(path, "cannot open this directory");
    const auto close_directory = absl::MakeCleanup([directory] { closedir(directory); });
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* const entry = readdir(directory);
      if (entry == nullptr && errno != 0) return SystemError(path, "cannot list this directory");
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status SyncDirectory(const std::string& path) override {
    const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return SystemError(path, "cannot open this directory");
    const auto close_fd = absl::MakeCleanup([fd] { close(fd); });
    return fsync(fd) == 0 ? absl::OkStatus() : SystemError(path, "cannot fsync this directory");
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0)
      return absl::OkStatus();
    // A file system that does not know the flag (NFS): a directory that holds anything is not
    // replaced there either.
    if (errno == EINVAL && rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    if (errno == ENOTEMPTY) errno = EEXIST;
    return SystemError(from, absl::StrCat("cannot rename to ", to));
  }

  absl::Status RemoveTree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (!error) return absl::OkStatus();
    return absl::ErrnoToStatus(error.value(), absl::StrCat(path, ": cannot remove"));
  }
};

}  // namespace

FileSystem* PosixFileSystem() {
  static Posix* const files = new Posix;
  return files;
}

}  // namespace weir
