// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_HOST_H_
#define WEIR_NET_SHM_HOST_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "net/shm_link.h"
#include "net/shm_poller.h"

namespace weir {

// A server's door for links: invites sessions, and brings together who comes and who was invited.
// Self-synchronised; no thread of its own: offers are handled on the poller's.
class ShmHost {
 public:
  struct Options {
    ShmLink::Options link;  // `arena` is the server's, shared by all links
    ShmListener::Options listener;
    size_t max_invited = 16384;  // sessions that have not come
  };

  struct Statistics {
    uint64_t links = 0;    // since the start
    uint64_t refused = 0;  // offers that nobody was invited for, or that were unsuitable
  };

  // Takes the link of a session that was invited, on the poller's thread; the handler returned
  // lives until its OnClosed has returned. Null: the session has ended; the peer is hung up on.
  using Welcome = std::function<ShmLinkHandler*(std::shared_ptr<ShmLink> link)>;

  // Listens at `path`; `poller` outlives the host and looks after the listener until it goes
  // itself. Status as ShmListener::Listen.
  static absl::StatusOr<std::unique_ptr<ShmHost>> Open(const std::string& path, ShmPoller* poller,
                                                       Options options);
  // Nobody is welcome any more; links that there are go on.
  ~ShmHost();
  ShmHost(const ShmHost&) = delete;
  ShmHost& operator=(const ShmHost&) = delete;

  // The path for HelloReply.shm_socket.
  const std::string& path() const { return path_; }

  // Invites one session: a key for HelloReply.shm_key, good for one link. RESOURCE_EXHAUSTED: too
  // many have been invited; do without. INTERNAL: the kernel gives no random bytes.
  absl::StatusOr<ShmKey> Invite(Welcome welcome);
  // The session has ended. `welcome` may just be running, or have run.
  void Withdraw(const ShmKey& key);

  Statistics statistics() const;

 private:
  class Guests;
  ShmHost(std::string path, std::shared_ptr<Guests> guests);

  const std::string path_;
  const std::shared_ptr<Guests> guests_;  // the listener's too
};

}  // namespace weir

#endif  // WEIR_NET_SHM_HOST_H_
