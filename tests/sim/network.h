// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_NETWORK_H_
#define WEIR_TESTS_SIM_NETWORK_H_

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "net/frame.h"
#include "tests/sim/world.h"

namespace weir::sim {

// The end of a connection that opened it. `connection` is the client's name for it.
class ClientEnd {
 public:
  virtual ~ClientEnd() = default;
  virtual void Connected(uint64_t connection) = 0;
  virtual void Disconnected(uint64_t connection, const absl::Status& why) = 0;
  // An answer has arrived; Network::Read is called once it is read.
  virtual void Receive(uint64_t link, uint64_t connection, ServerFrame frame) = 0;
};

// The other end. `session` is the network's name for the connection, never used twice.
class ServerEnd {
 public:
  virtual ~ServerEnd() = default;
  virtual void OnOpen(uint64_t session) = 0;
  virtual void OnFrame(uint64_t session, ClientFrame frame) = 0;
  virtual void OnSent(uint64_t session, uint64_t payload_bytes) = 0;
  virtual void OnClosed(uint64_t session) = 0;
};

// Streams between clients and shards. On one connection frames arrive in order, each after a random
// delay, so connections overtake each other. The transport takes as many answers as its window has
// room for; a client that does not read leaves the rest with the shard. When a connection is cut
// or left, its two ends see that at different times: frames on their way to the shard may still
// arrive, answers may be lost, and the client may be back on a new connection long before the shard
// has seen the old one end.
class Network {
 public:
  explicit Network(World* world) : world_(world) {}

  // `faulty`: it may be refused. Both ends outlive the network. Returns the session.
  uint64_t Connect(ClientEnd* client, uint64_t connection, ServerEnd* server, bool faulty);
  void SendToServer(uint64_t link, ClientFrame frame);
  // The client has read an answer.
  void Read(uint64_t link);
  // The client leaves, or its process dies.
  void Leave(uint64_t link);

  void SendToClient(uint64_t link, ServerFrame frame);
  void CloseByServer(uint64_t link, const absl::Status& why);

  // Faults.
  void Cut(uint64_t link);
  void SlowDown(uint64_t link);  // for a while
  void StopReading(uint64_t link, absl::Duration time);

  // Connections that both ends hold for open.
  std::vector<uint64_t> OpenLinks() const;
  // Those to one server.
  std::vector<uint64_t> OpenLinks(const ServerEnd* server) const;

 private:
  struct Link {
    ClientEnd* client = nullptr;
    uint64_t connection = 0;
    ServerEnd* server = nullptr;
    bool client_open = true;   // neither left nor told of its end
    bool server_open = false;  // opened, and not closed
    bool ending = false;       // cut, left or closed: nothing new travels
    absl::Duration delay;      // at least, of each frame
    absl::Time to_server;      // when the last one arrives
    absl::Time to_client;
    absl::Time server_deaf = absl::InfiniteFuture();  // what arrives later is lost
    absl::Time client_deaf = absl::InfiniteFuture();
    absl::Time blocked;   // the client does not read before that
    uint32_t window = 8;  // answers on their way or not read
    uint32_t in_flight = 0;
    bool taking = false;              // the transport is about to take the next one
    std::deque<ServerFrame> waiting;  // not taken by the transport
  };

  absl::Time NextArrival(const Link& link, absl::Time last);
  void Arrive(uint64_t id, uint64_t stamp, ClientFrame frame);
  void Pump(uint64_t id);
  void Take(uint64_t id);
  void Travel(uint64_t id, ServerFrame frame);
  void EndServer(uint64_t id, absl::Time when);
  void EndClient(uint64_t id, absl::Time when, const absl::Status& why);

  World* const world_;
  std::map<uint64_t, Link> links_;
  uint64_t next_link_ = 1;
  uint64_t next_stamp_ = 1;
  std::map<const ServerEnd*, uint64_t> newest_stamp_;  // looked up only
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_NETWORK_H_
