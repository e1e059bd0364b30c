// SPDX-License-Identifier: Apache-2.0
#include "net/server_host.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace weir {
namespace {

struct HostAndPort {
  std::string host;
  std::string port;
};

// host:port or [ipv6]:port.
absl::StatusOr<HostAndPort> Split(const std::string& address) {
  const absl::Status wrong = absl::InvalidArgumentError(absl::StrCat(
      "'", address, "' is no address to listen on; it must be HOST:PORT, or [IPV6]:PORT"));
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return wrong;
  HostAndPort parts{address.substr(0, colon), address.substr(colon + 1)};
  if (parts.host.front() == '[') {
    if (parts.host.size() < 3 || parts.host.back() != ']') return wrong;
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  } else if (absl::StrContains(parts.host, ':')) {
    return wrong;
  }
  int port = 0;
  if (!absl::SimpleAtoi(parts.port, &port) || port < 0 || port > 65535) return wrong;
  return parts;
}

// Why nothing can listen there, found by trying once more with a plain socket.
std::string WhyNot(const HostAndPort& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(where.host.c_str(), where.port.c_str(), &hints, &found);
  if (error != 0) return gai_strerror(error);
  std::string why = "gRPC refuses it";
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    const int fd = socket(entry->ai_family, entry->ai_socktype | SOCK_CLOEXEC, entry->ai_protocol);
    if (fd < 0) continue;
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    const bool listens = bind(fd, entry->ai_addr, entry->ai_addrlen) == 0 && listen(fd, 1) == 0;
    if (!listens) why = errno == EADDRINUSE ? "the port is taken" : std::strerror(errno);
    close(fd);
    if (!listens) break;
  }
  freeaddrinfo(found);
  return why;
}

void Configure(const ServerHost::Options& options, int* port, grpc::ServerBuilder* builder) {
  builder->AddListeningPort(options.address, grpc::InsecureServerCredentials(), port);
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT,
                              0);  // a second process on the port must fail
  builder->SetMaxReceiveMessageSize(options.max_message_bytes);
  builder->SetMaxSendMessageSize(options.max_message_bytes);
  // A small compressed message could grow without bound.
  for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder->SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
  // Ask silent peers, so that a dead one is noticed, and let them ask as often as net/channel.h
  // does.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1'000);
  for (grpc::Service* service : options.services) builder->RegisterService(service);
}

}  // namespace

class ServerHost::Core {
 public:
  Core(std::unique_ptr<grpc::Server> server, std::string address, int port)
      : address_(std::move(address)), port_(port), server_(std::move(server)) {}

  int port() const { return port_; }
  const std::string& address() const { return address_; }

  void SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }

  void Shutdown(absl::Duration grace) {
    absl::MutexLock lock(&mu_);  // its only use: the second caller waits for the first
    server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
    server_->Wait();
  }

 private:
  const std::string address_;
  const int port_;
  const std::unique_ptr<grpc::Server> server_;  // self-synchronised
  absl::Mutex mu_;
};

absl::StatusOr<std::unique_ptr<ServerHost>> ServerHost::Start(const Options& options) {
  const bool is_unix = absl::StartsWith(options.address, "unix:");
  const absl::StatusOr<HostAndPort> where =
      is_unix ? absl::StatusOr<HostAndPort>(HostAndPort()) : Split(options.address);
  if (!where.ok()) return where.status();
  if (!options.has_token && !IsLoopback(options.address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a listener off loopback (", options.address,
                     ") does not start without the job's token: give one"));
  }
  // Once a process; both only add to what servers built from now on offer.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  int port = 0;
  grpc::ServerBuilder builder;
  Configure(options, &port, &builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || (port == 0 && !is_unix)) {
    const std::string why = is_unix ? "the path cannot be used" : WhyNot(*where);
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.address, ": ", why));
  }
  std::string address = options.address;
  if (!is_unix) address = absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
  auto core = std::make_unique<Core>(std::move(server), std::move(address), port);
  core->SetServing(false);
  return std::unique_ptr<ServerHost>(new ServerHost(std::move(core)));
}

ServerHost::ServerHost(std::unique_ptr<Core> core) : core_(std::move(core)) {}
ServerHost::~ServerHost() { Shutdown(absl::ZeroDuration()); }
int ServerHost::port() const { return core_->port(); }
const std::string& ServerHost::address() const { return core_->address(); }
void ServerHost::SetServing(bool serving) { core_->SetServing(serving); }
void ServerHost::Shutdown(absl::Duration grace) { core_->Shutdown(grace); }

bool IsLoopback(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const absl::StatusOr<HostAndPort> where = Split(address);
  if (!where.ok()) return false;
  const std::string host = absl::AsciiStrToLower(where->host);
  if (host == "localhost" || host == "::1") return true;
  // 127.a.b.c with numbers only: "127.example.org" is a name like any other.
  return absl::StartsWith(host, "127.") &&
         host.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace weir
