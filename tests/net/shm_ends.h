// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_NET_SHM_ENDS_H_
#define WEIR_TESTS_NET_SHM_ENDS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/payload.h"
#include "net/shm_link.h"

namespace weir::testing {

// A connected pair of sockets as those of a link.
std::pair<ShmFd, ShmFd> SocketPair();

// The path of a socket that is not there yet, in a private directory that goes with this.
class SocketPlace {
 public:
  SocketPlace();
  ~SocketPlace();
  const std::string& path() const { return path_; }

 private:
  std::string directory_;
  std::string path_;
};

// The open descriptors of this process, and its mappings of shared segments.
size_t Descriptors();
size_t MappedSegments();

// Writes down what a link tells it.
class Recorder final : public ShmLinkHandler {
 public:
  void OnUp() override { ++ups; }
  void OnWire(Payload&& wire, uint64_t payload_bytes) override;
  void OnSent(uint64_t payload_bytes) override { sent.push_back(payload_bytes); }
  void OnClosed(const absl::Status& status) override { closed.push_back(status); }

  // The content of the frame that came as number `index`.
  std::string Text(size_t index) const;

  int ups = 0;
  std::vector<Payload> wires;
  std::vector<uint64_t> payload_bytes;
  std::vector<uint64_t> sent;
  std::vector<absl::Status> closed;
};

// A frame with a header and a payload, each in memory of its own.
Payload WireOf(const std::string& header, const std::string& payload);
// The same with a payload that lies in `[data, data + size)`.
Payload WireAt(const std::string& header, const char* data, size_t size,
               std::shared_ptr<const void> owner);

}  // namespace weir::testing

#endif  // WEIR_TESTS_NET_SHM_ENDS_H_
