// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_conductor.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace weir {
namespace {

constexpr size_t kMaxMessageBytes = size_t{128} << 10;
constexpr uint32_t kMaxRank = 4096;
constexpr absl::Duration kLook = absl::Milliseconds(200);

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return absl::InvalidArgumentError(absl::StrCat("too long for a socket's path: ", path));
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status SendMessage(int fd, const nlohmann::json& message) {
  const std::string text = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kMaxMessageBytes)
    return absl::ResourceExhaustedError("a message between the load test's processes is too long");
  ssize_t sent;
  do {
    sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "a message between the load test's processes");
}

// CANCELLED: the other side is gone.
absl::StatusOr<nlohmann::json> ReceiveMessage(int fd) {
  std::string text(kMaxMessageBytes, '\0');
  ssize_t got;
  do {
    got = recv(fd, text.data(), text.size(), MSG_TRUNC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return absl::CancelledError("the other process is gone");
  if (static_cast<size_t>(got) > text.size())
    return absl::DataLossError("a message between the load test's processes is too long");
  text.resize(static_cast<size_t>(got));
  nlohmann::json message = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!message.is_object())
    return absl::DataLossError("a message between the load test's processes is no JSON object");
  return message;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Player>> Player::Join(const std::string& path,
                                                     const std::string& group, uint32_t rank,
                                                     const nlohmann::json& about) {
  const auto address = AddressOf(path);
  if (!address.ok()) return address.status();
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  std::unique_ptr<Player> player(new Player(fd));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0)
    return absl::ErrnoToStatus(errno, path);
  absl::Status sent = SendMessage(fd, {{"group", group}, {"rank", rank}, {"about", about}});
  if (!sent.ok()) return sent;
  return player;
}

Player::~Player() { close(fd_); }

absl::StatusOr<nlohmann::json> Player::Next() { return ReceiveMessage(fd_); }

absl::Status Player::Answer(const absl::StatusOr<nlohmann::json>& answer) {
  if (answer.ok()) return SendMessage(fd_, {{"answer", *answer}});
  return SendMessage(fd_, {{"error", answer.status().ToString()}});
}

absl::StatusOr<std::unique_ptr<Conductor>> Conductor::Listen(const std::string& path,
                                                             std::function<absl::Status()> check) {
  const auto address = AddressOf(path);
  if (!address.ok()) return address.status();
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  std::unique_ptr<Conductor> conductor(new Conductor(fd, std::move(check)));
  if (bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0 ||
      chmod(path.c_str(), 0600) != 0 || listen(fd, 256) != 0) {
    return absl::ErrnoToStatus(errno, path);
  }
  return conductor;
}

Conductor::~Conductor() {
  for (auto& [group, members] : groups_) {
    for (auto& [rank, member] : members) close(member.fd);
  }
  close(fd_);
}

absl::Status Conductor::WaitFor(int fd, absl::Time deadline, const std::string& what) {
  for (;;) {
    pollfd ready = {fd, POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(kLook))) > 0)
      return absl::OkStatus();
    if (absl::Status status = check_(); !status.ok()) return status;
    if (absl::Now() >= deadline)
      return absl::DeadlineExceededError(absl::StrCat("the load test waits for ", what));
  }
}

absl::Status Conductor::TakeOne(absl::Time deadline, const std::string& what) {
  if (absl::Status status = WaitFor(fd_, deadline, what); !status.ok()) return status;
  const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "accept");
  Member member{fd, nullptr};
  absl::Status status = WaitFor(fd, deadline, what);
  auto message = status.ok() ? ReceiveMessage(fd) : absl::StatusOr<nlohmann::json>(status);
  if (message.ok()) {
    const nlohmann::json& rank = (*message)["rank"];
    const nlohmann::json& group = (*message)["group"];
    member.about = (*message)["about"];
    if (group.is_string() && rank.is_number_unsigned() && rank.get<uint64_t>() < kMaxRank &&
        groups_[group.get<std::string>()].emplace(rank.get<uint32_t>(), member).second) {
      return absl::OkStatus();
    }
    message = absl::InvalidArgumentError("a process joined the load test that was not expected");
  }
  close(fd);
  return message.status();
}

absl::StatusOr<std::vector<nlohmann::json>> Conductor::Await(const std::string& group,
                                                             uint32_t count, absl::Time deadline) {
  while (groups_[group].size() < count) {
    const std::string what =
        absl::StrCat(count - groups_[group].size(), " more processes of ", group);
    if (absl::Status status = TakeOne(deadline, what); !status.ok()) return status;
  }
  const std::map<uint32_t, Member>& members = groups_[group];
  if (members.size() != count || members.rbegin()->first != count - 1)
    return absl::InvalidArgumentError("a process joined the load test that was not expected");
  std::vector<nlohmann::json> abouts;
  for (const auto& [rank, member] : members) abouts.push_back(member.about);
  return abouts;
}

absl::StatusOr<std::vector<nlohmann::json>> Conductor::Ask(const std::string& group,
                                                           const nlohmann::json& command,
                                                           absl::Time deadline) {
  std::vector<nlohmann::json> answers;
  for (const auto& [rank, member] : groups_[group]) {
    if (absl::Status status = SendMessage(member.fd, command); !status.ok())
      return absl::InternalError(absl::StrCat(group, " ", rank, " is gone: ", status.message()));
  }
  for (const auto& [rank, member] : groups_[group]) {
    const std::string name = absl::StrCat(group, " ", rank);
    if (absl::Status status = WaitFor(member.fd, deadline, name); !status.ok()) return status;
    auto message = ReceiveMessage(member.fd);
    if (!message.ok())
      return absl::InternalError(absl::StrCat(name, ": ", message.status().message()));
    if (!message->contains("answer"))
      return absl::InternalError(absl::StrCat(name, ": ", message->value("error", "no answer")));
    answers.push_back(std::move((*message)["answer"]));
  }
  return answers;
}

}  // namespace weir
