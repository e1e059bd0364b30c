// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SOCKET_DIRECTORY_H_
#define WEIR_NET_SOCKET_DIRECTORY_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir {

// The private directory of a process's Unix sockets: made anew, of mode 0700, open to this user
// alone, gone with the object.
//
// Its owner holds a lock on it while it lives, however it ends: what a killed process has left
// behind is a directory without a lock, in which nobody listens. Nobody uses such a directory
// again; RemoveStale takes it away. Self-synchronised but for Remove.
class SocketDirectory {
 public:
  static constexpr size_t kMaxNameBytes = 16;

  // Makes one below the first of `bases` that will do: an absolute path, short enough for a
  // socket's address and without characters that a URI would escape, of a directory in which nobody
  // but this user and root can replace what is this user's: it is theirs, and others cannot write
  // in it unless it is sticky, as /tmp is; on a file system that has sockets.
  // FAILED_PRECONDITION: none will do; the sentence says why for each.
  static absl::StatusOr<std::unique_ptr<SocketDirectory>> Make(
      const std::vector<std::string>& bases);

  // Remove.
  ~SocketDirectory();
  SocketDirectory(const SocketDirectory&) = delete;
  SocketDirectory& operator=(const SocketDirectory&) = delete;

  const std::string& path() const { return path_; }
  // Where the socket of that name is to be bound. REQUIRES: name.size() <= kMaxNameBytes.
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }

  // Gives a socket that was bound there mode 0600 and checks that it is so. (Nobody else could have
  // reached it meanwhile: it is in the directory.) FAILED_PRECONDITION: it is no socket of this
  // user's.
  absl::Status Seal(const std::string& name) const;

  // Removes the sockets and the directory; nobody can connect from then on. Idempotent.
  void Remove();

 private:
  SocketDirectory(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  int fd_;  // of the directory, holds the lock; -1: removed
};

// Where a process looks for a place: the user's directory for such things, as XDG_RUNTIME_DIR names
// it ("": none), then /tmp.
std::vector<std::string> SocketBases(const std::string& xdg_runtime_dir);

// Removes the directories below `bases` that killed processes of this user have left behind. Never
// one whose process lives, nor one that holds anything but sockets. Returns how many.
int RemoveStaleSocketDirectories(const std::vector<std::string>& bases);

// What a client checks before it says anything to a socket: that it is this user's, of mode 0600,
// in a directory that is this user's, of mode 0700, so that nobody else can listen there.
// UNAVAILABLE: it is not there (any more), or owner or mode are others.
absl::Status CheckSocket(const std::string& path);

}  // namespace weir

#endif  // WEIR_NET_SOCKET_DIRECTORY_H_
