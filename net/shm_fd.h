// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_FD_H_
#define WEIR_NET_SHM_FD_H_

#include <unistd.h>

#include <utility>

namespace weir {

// Owns one file descriptor; -1: none. Not synchronised.
class ShmFd {
 public:
  ShmFd() = default;
  explicit ShmFd(int fd) : fd_(fd) {}
  ShmFd(ShmFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ShmFd& operator=(ShmFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~ShmFd() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace weir

#endif  // WEIR_NET_SHM_FD_H_
