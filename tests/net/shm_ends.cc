// SPDX-License-Identifier: Apache-2.0
#include "tests/net/shm_ends.h"

#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace weir::testing {

std::pair<ShmFd, ShmFd> SocketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    throw std::runtime_error("socketpair");
  return {ShmFd(ends[0]), ShmFd(ends[1])};
}

SocketPlace::SocketPlace() : directory_("/tmp/weir-shm-test-XXXXXX") {
  if (mkdtemp(&directory_[0]) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = directory_ + "/s";
}

SocketPlace::~SocketPlace() {
  unlink(path_.c_str());
  rmdir(directory_.c_str());
}

size_t Descriptors() {
  DIR* directory = opendir("/proc/self/fd");
  size_t count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

size_t MappedSegments() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find("/memfd:weir") == std::string::npos ? 0 : 1;
  return count;
}

void Recorder::OnWire(Payload&& wire, uint64_t bytes) {
  wires.push_back(std::move(wire));
  payload_bytes.push_back(bytes);
}

std::string Recorder::Text(size_t index) const {
  std::string text(wires.at(index).size(), '\0');
  wires[index].CopyTo(&text[0]);
  return text;
}

Payload WireOf(const std::string& header, const std::string& payload) {
  const auto owner = std::make_shared<std::string>(payload);
  return WireAt(header, owner->data(), owner->size(), owner);
}

Payload WireAt(const std::string& header, const char* data, size_t size,
               std::shared_ptr<const void> owner) {
  const auto head = std::make_shared<std::string>(header);
  Payload wire;
  wire.Append(head->data(), head->size(), head);
  wire.Append(data, size, std::move(owner));
  return wire;
}

}  // namespace weir::testing
