// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_LISTENER_H_
#define WEIR_NET_SHM_LISTENER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/shm_handover.h"

namespace weir {

// The server's socket for links: takes connections of processes of the same user and the one offer
// that each must begin with. A peer that is of another user, sends anything else or nothing for
// `offer_timeout` is hung up on; what it has handed over is closed.
//
// Waits for nothing and has no thread: fd() tells when there is something to do, Run does it. Not
// synchronised.
class ShmListener {
 public:
  struct Options {
    size_t max_waiting = 64;  // that have not offered yet; one more is hung up on
    absl::Duration offer_timeout = absl::Seconds(10);
  };

  struct Offer {
    HandoverMessage message;
    ShmFd socket;
    ShmFd segment;  // not looked at yet
  };

  struct Statistics {
    uint64_t offers = 0;
    uint64_t refused = 0;  // hung up on
  };

  // Binds `path`, where nothing must be yet, mode 0600. INVALID_ARGUMENT: the path is too long for
  // a socket. UNAVAILABLE: it cannot be bound, and why.
  static absl::StatusOr<std::unique_ptr<ShmListener>> Listen(const std::string& path,
                                                             Options options);
  // Leaves the file to the owner of its directory.
  ~ShmListener() = default;

  // Readable when Run has something to do.
  int fd() const { return poll_.get(); }

  // Does what there is to do, but no more than a bounded part of it, and returns the offers. To be
  // called when fd() is readable and, while waiting() is true, about once a second with a time that
  // does not go back.
  std::vector<Offer> Run(absl::Time now);
  // Whether somebody's time is running, or connections are not taken for want of descriptors.
  bool waiting() const { return !peers_.empty() || paused_; }

  const Statistics& statistics() const { return statistics_; }

 private:
  ShmListener(Options options, ShmFd socket, ShmFd poll)
      : options_(options), socket_(std::move(socket)), poll_(std::move(poll)) {}

  struct Peer {
    ShmFd socket;
    absl::Time deadline;
  };

  void AcceptAll(absl::Time now);
  void DropLate(absl::Time now);
  bool Watch(int fd);

  const Options options_;
  const ShmFd socket_;
  const ShmFd poll_;  // of the socket and the peers'
  std::map<int, Peer> peers_;
  bool paused_ = false;  // socket_ is not being watched
  Statistics statistics_;
};

}  // namespace weir

#endif  // WEIR_NET_SHM_LISTENER_H_
