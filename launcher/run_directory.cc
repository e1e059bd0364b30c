// SPDX-License-Identifier: Apache-2.0
#include "launcher/run_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace weir {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTail = 64 << 10;
constexpr size_t kMaxToken = 4 << 10;

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat(what, " ", path, ": ", strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::UnknownError(message);
}

// runs/<name>-<time>, with a number behind it when two runs begin in one second.
absl::StatusOr<std::string> MakeNamedDirectory(absl::string_view name, absl::Time now) {
  std::error_code error;
  fs::create_directories("runs", error);
  if (error) return FileError("cannot make", "runs", error.value());
  const std::string stem =
      absl::StrCat(name, "-", absl::FormatTime("%Y%m%d-%H%M%S", now, absl::LocalTimeZone()));
  for (int i = 1; i < 1000; ++i) {
    const std::string leaf = i == 1 ? stem : absl::StrCat(stem, "-", i);
    const std::string path = absl::StrCat("runs/", leaf);
    if (mkdir(path.c_str(), 0755) == 0) {
      // The link appears whole: another run may be making its own.
      const std::string beside = absl::StrCat("runs/.latest-", getpid());
      unlink(beside.c_str());
      if (symlink(leaf.c_str(), beside.c_str()) != 0 ||
          rename(beside.c_str(), "runs/latest") != 0) {
        unlink(beside.c_str());  // the link is a convenience
      }
      return path;
    }
    if (errno != EEXIST) return FileError("cannot make", path, errno);
  }
  return absl::AlreadyExistsError(absl::StrCat("runs/", stem, " and 999 more exist already"));
}

// Keeps other runs out of `path` until this process ends: the lock's file stays open for that.
absl::Status Claim(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError("cannot open", path, errno);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return absl::OkStatus();
  close(fd);
  return absl::FailedPreconditionError(
      absl::StrCat(path, " is the directory of a run that goes on: name another directory"));
}

}  // namespace

absl::StatusOr<std::string> MakeRunDirectory(const std::string& path, absl::string_view name,
                                             absl::Time now) {
  std::string made = path;
  std::error_code error;
  if (path.empty()) {
    absl::StatusOr<std::string> named = MakeNamedDirectory(name, now);
    if (!named.ok()) return named;
    made = *std::move(named);
  } else {
    fs::create_directories(path, error);
    if (error) return FileError("cannot make", path, error.value());
    absl::Status claimed = Claim(path);
    if (!claimed.ok()) return claimed;
    for (const char* file : {"summary.json", "topology.yaml"}) {
      if (fs::exists(fs::path(path) / file, error)) {
        return absl::FailedPreconditionError(
            absl::StrCat(path, " holds a run already (", file, "): name another directory"));
      }
    }
  }
  const fs::path absolute = fs::canonical(made, error);
  if (error) return FileError("cannot find", made, error.value());
  return absolute.string();
}

absl::Status WriteFile(const std::string& path, absl::string_view content, int mode) {
  const std::string beside = absl::StrCat(path, ".partial");
  unlink(beside.c_str());
  const int fd = open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return FileError("cannot write", path, errno);
  while (!content.empty()) {
    const ssize_t size = write(fd, content.data(), content.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      const int error = errno;
      close(fd);
      unlink(beside.c_str());
      return FileError("cannot write", path, error);
    }
    content.remove_prefix(size);
  }
  if (close(fd) != 0 || rename(beside.c_str(), path.c_str()) != 0)
    return FileError("cannot write", path, errno);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError("cannot read", path, errno);
  absl::Cleanup closer = [fd] { close(fd); };
  std::string content;
  char buffer[4096];
  for (;;) {
    const ssize_t size = read(fd, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return FileError("cannot read", path, errno);
    if (size == 0) return content;
    content.append(buffer, size);
    if (content.size() > limit_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " holds more than ", limit_bytes, " bytes"));
    }
  }
}

std::string LastLines(const std::string& path, int lines) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  absl::Cleanup closer = [fd] { close(fd); };
  const off_t size = lseek(fd, 0, SEEK_END);
  std::string tail(std::min<size_t>(std::max<off_t>(size, 0), kMaxTail), '\0');
  const ssize_t got = pread(fd, tail.data(), tail.size(), size - static_cast<off_t>(tail.size()));
  tail.resize(std::max<ssize_t>(got, 0));
  while (!tail.empty() && tail.back() == '\n') tail.pop_back();
  size_t begin = tail.size();
  for (int i = 0; i < lines && begin > 0 && begin != std::string::npos; ++i)
    begin = tail.rfind('\n', begin - 1);
  std::string text;
  for (char c : tail.substr(begin == std::string::npos || begin == 0 ? 0 : begin + 1)) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if ((byte < 32 && c != '\n' && c != '\t') || byte == 127) {
      absl::StrAppendFormat(&text, "\\x%02x", byte);
    } else {
      text.push_back(c);
    }
  }
  return text;
}

std::string RandomBytes(size_t bytes) {
  std::string random(bytes, '\0');
  size_t filled = 0;
  while (filled < bytes) {
    const ssize_t size = getrandom(random.data() + filled, bytes - filled, 0);
    if (size > 0) filled += size;
  }
  return random;
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path, kMaxToken);
  if (!content.ok()) return content.status();
  const std::string token(absl::StripAsciiWhitespace(*content));
  if (token.empty())
    return absl::InvalidArgumentError(absl::StrCat("the token file ", path, " is empty"));
  return token;
}

}  // namespace weir
