// SPDX-License-Identifier: Apache-2.0
#include "net/socket_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace weir {
namespace {

constexpr char kPrefix[] = "weir-sock-";
constexpr char kTemplate[] = "weir-sock-XXXXXX";
constexpr size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;
constexpr int kTries = 8;        // lost to somebody who removes stale directories
constexpr int kMaxEntries = 64;  // of a stale directory, looked at
constexpr mode_t kPermissions = 07777;

std::string Mode(const struct stat& found) {
  return absl::StrFormat("owner %d, mode %04o", found.st_uid, found.st_mode & kPermissions);
}

bool IsPrivateDirectory(const struct stat& found) {
  return S_ISDIR(found.st_mode) && found.st_uid == geteuid() &&
         (found.st_mode & kPermissions) == 0700;
}

bool IsPrivateSocket(const struct stat& found) {
  return S_ISSOCK(found.st_mode) && found.st_uid == geteuid() &&
         (found.st_mode & kPermissions) == 0600;
}

// FAILED_PRECONDITION: `base` is no place for a private directory.
absl::Status CheckBase(const std::string& base) {
  if (!absl::StartsWith(base, "/")) return absl::FailedPreconditionError("it is no absolute path");
  const size_t longest = base.size() + sizeof("/") + sizeof(kTemplate) - 2 + sizeof("/") - 1 +
                         SocketDirectory::kMaxNameBytes;
  if (longest > kMaxPathBytes) {
    return absl::FailedPreconditionError(absl::StrCat("the path of a socket in it would have ",
                                                      longest, " bytes, at most ", kMaxPathBytes,
                                                      " fit a socket's address"));
  }
  const bool plain = std::all_of(base.begin(), base.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::string_view("/._-+,").find(c) != absl::string_view::npos;
  });
  if (!plain) {
    return absl::FailedPreconditionError(
        "its path has other characters than letters, digits and / . _ - + ,");
  }
  struct stat found;
  if (stat(base.c_str(), &found) != 0) return absl::FailedPreconditionError(strerror(errno));
  if (!S_ISDIR(found.st_mode)) return absl::FailedPreconditionError("it is no directory");
  const bool others_write = (found.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  const bool theirs = found.st_uid != geteuid() && found.st_uid != 0;
  if (theirs || (others_write && (found.st_mode & S_ISVTX) == 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat("other users can replace what is in it (", Mode(found), ")"));
  }
  return absl::OkStatus();
}

// Whether `path` still names the directory that is open as `fd`.
bool StillThere(const std::string& path, int fd) {
  struct stat named, open;
  return lstat(path.c_str(), &named) == 0 && fstat(fd, &open) == 0 && named.st_dev == open.st_dev &&
         named.st_ino == open.st_ino;
}

// FAILED_PRECONDITION: the file system at `path` has no sockets.
absl::Status TryToBind(const std::string& path) {
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  path.copy(where.sun_path, kMaxPathBytes);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool bound =
      fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&where), sizeof(where)) == 0;
  absl::Status status;
  if (!bound)
    status = absl::FailedPreconditionError(absl::StrCat("no socket in it: ", strerror(errno)));
  if (bound) unlink(path.c_str());
  if (fd >= 0) close(fd);
  return status;
}

// A new directory, locked; its path. UNAVAILABLE: it was removed before it was locked, try again.
absl::StatusOr<std::pair<std::string, int>> MakeLocked(const std::string& base) {
  std::string path = absl::StrCat(base, "/", kTemplate);
  if (mkdtemp(path.data()) == nullptr) return absl::FailedPreconditionError(strerror(errno));
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return absl::UnavailableError(strerror(errno));
  struct stat found;
  const bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0 && StillThere(path, fd);
  // Below a directory with the set-group-id bit it inherits that.
  absl::Status status;
  if (!locked) {
    status = absl::UnavailableError("somebody removes new directories from it");
  } else if (fchmod(fd, 0700) != 0 || fstat(fd, &found) != 0 || !IsPrivateDirectory(found)) {
    status = absl::FailedPreconditionError("a directory in it cannot be made private");
  } else {
    status = TryToBind(path + "/probe");
  }
  if (status.ok()) return std::make_pair(path, fd);
  if (locked) rmdir(path.c_str());
  close(fd);
  return status;
}

absl::StatusOr<std::pair<std::string, int>> MakeIn(const std::string& base) {
  absl::Status status = CheckBase(base);
  for (int i = 0; status.ok() && i < kTries; ++i) {
    absl::StatusOr<std::pair<std::string, int>> made = MakeLocked(base);
    if (!absl::IsUnavailable(made.status()) || i + 1 == kTries) return made;
  }
  return status;
}

// The names in the directory that is open as `fd`; at most `limit`.
std::vector<std::string> Names(int fd, size_t limit) {
  std::vector<std::string> names;
  // A duplicate would share its position.
  const int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const directory = own < 0 ? nullptr : fdopendir(own);
  if (directory == nullptr) {
    if (own >= 0) close(own);
    return names;
  }
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    if (names.size() >= limit) break;
  }
  closedir(directory);
  return names;
}

// Removes the sockets in the directory that is open as `fd`.
void RemoveSockets(int fd) {
  for (const std::string& name : Names(fd, kMaxEntries)) {
    struct stat found;
    if (fstatat(fd, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(found.st_mode))
      unlinkat(fd, name.c_str(), 0);
  }
}

// True: `name` in `base` was left behind by a process that is gone, and is removed.
bool RemoveIfStale(int base, const std::string& name) {
  const int fd = openat(base, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  absl::Cleanup closer = [fd] { close(fd); };
  struct stat found;
  if (fstat(fd, &found) != 0 || !IsPrivateDirectory(found)) return false;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) return false;
  RemoveSockets(fd);
  return unlinkat(base, name.c_str(), AT_REMOVEDIR) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SocketDirectory>> SocketDirectory::Make(
    const std::vector<std::string>& bases) {
  std::vector<std::string> why;
  for (const std::string& base : bases) {
    absl::StatusOr<std::pair<std::string, int>> made = MakeIn(base);
    if (made.ok()) {
      return std::unique_ptr<SocketDirectory>(
          new SocketDirectory(std::move(made->first), made->second));
    }
    why.push_back(absl::StrCat("not in ", base, ": ", made.status().message()));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "no private directory for a Unix socket can be made, ", absl::StrJoin(why, "; ")));
}

SocketDirectory::~SocketDirectory() { Remove(); }

absl::Status SocketDirectory::Seal(const std::string& name) const {
  struct stat found;
  if (fstatat(fd_, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(found.st_mode) &&
      fchmodat(fd_, name.c_str(), 0600, 0) == 0 &&
      fstatat(fd_, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 && IsPrivateSocket(found)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(PathOf(name), " is no socket of mode 0600 of this user's"));
}

void SocketDirectory::Remove() {
  if (fd_ < 0) return;
  RemoveSockets(fd_);
  if (StillThere(path_, fd_)) rmdir(path_.c_str());
  close(fd_);
  fd_ = -1;
}

std::vector<std::string> SocketBases(const std::string& xdg_runtime_dir) {
  if (xdg_runtime_dir.empty()) return {"/tmp"};
  return {xdg_runtime_dir, "/tmp"};
}

int RemoveStaleSocketDirectories(const std::vector<std::string>& bases) {
  constexpr size_t kMaxNames = 65536;
  int removed = 0;
  for (const std::string& base : bases) {
    const int fd = open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) continue;
    for (const std::string& name : Names(fd, kMaxNames)) {
      if (name.size() + 1 == sizeof(kTemplate) && absl::StartsWith(name, kPrefix))
        removed += RemoveIfStale(fd, name) ? 1 : 0;
    }
    close(fd);
  }
  return removed;
}

absl::Status CheckSocket(const std::string& path) {
  const auto check = [&](const std::string& part, bool (*is_private)(const struct stat&)) {
    struct stat found;
    if (lstat(part.c_str(), &found) != 0)
      return absl::UnavailableError(absl::StrCat("no socket ", path, ": ", strerror(errno)));
    if (is_private(found)) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("the socket ", path, " is not used: ", part,
                                               " is not this user's alone (", Mode(found), ")"));
  };
  absl::Status status = check(path.substr(0, path.rfind('/')), IsPrivateDirectory);
  status.Update(check(path, IsPrivateSocket));
  return status;
}

}  // namespace weir
