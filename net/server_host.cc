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

std::string SocketPath(const ServerHost::Options& options) {
  return options.sockets == nullptr ? "" : options.sockets->PathOf(ServerHost::kSocketName);
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

// What gRPC binds, and the port it reports for each: 0 for what it could not bind.
struct Bound {
  int port = 0;
  int socket = 0;
};

void Configure(const ServerHost::Options& options, Bound* bound, grpc::ServerBuilder* builder) {
  builder->AddListeningPort(options.address, grpc::InsecureServerCredentials(), &bound->port);
  if (options.sockets != nullptr) {
    builder->AddListeningPort(absl::StrCat("unix:", SocketPath(options)),
                              grpc::InsecureServerCredentials(), &bound->socket);
  }
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
  Core(std::unique_ptr<grpc::Server> server, std::string address, int port, std::string socket_path)
      : address_(std::move(address)),
        port_(port),
        socket_path_(std::move(socket_path)),
        server_(std::move(server)) {}

  int port() const { return port_; }
  const std::string& address() const { return address_; }
  const std::string& socket_path() const { return socket_path_; }

  void SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }

  void Shutdown(absl::Duration grace) {
    absl::MutexLock lock(&mu_);  // its only use: the second caller waits for the first
    server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
    server_->Wait();
  }

 private:
  const std::string address_;
  const int port_;
  const std::string socket_path_;
  const std::unique_ptr<grpc::Server> server_;  // self-synchronised
  absl::Mutex mu_;
};

absl::StatusOr<std::unique_ptr<ServerHost>> ServerHost::Start(const Options& options) {
  const absl::StatusOr<HostAndPort> where = Split(options.address);
  if (!where.ok()) return where.status();
  if (!options.has_token && !IsLoopback(options.address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a listener off loopback (", options.address,
                     ") does not start without the job's token: give one"));
  }
  // Once a process; both only add to what servers built from now on offer.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  Bound bound;
  grpc::ServerBuilder builder;
  Configure(options, &bound, &builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (bound.port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.address, ": ", WhyNot(*where)));
  }
  if (server == nullptr || (options.sockets != nullptr && bound.socket == 0)) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on the Unix socket ", SocketPath(options)));
  }
  const std::string address =
      absl::StrCat(options.address.substr(0, options.address.rfind(':')), ":", bound.port);
  auto core = std::make_unique<Core>(std::move(server), address, bound.port, SocketPath(options));
  core->SetServing(false);
  std::unique_ptr<ServerHost> host(new ServerHost(std::move(core)));
  if (options.sockets != nullptr) {
    absl::Status sealed = options.sockets->Seal(kSocketName);
    if (!sealed.ok()) return sealed;
  }
  return host;
}

ServerHost::ServerHost(std::unique_ptr<Core> core) : core_(std::move(core)) {}
ServerHost::~ServerHost() { Shutdown(absl::ZeroDuration()); }
int ServerHost::port() const { return core_->port(); }
const std::string& ServerHost::address() const { return core_->address(); }
const std::string& ServerHost::socket_path() const { return core_->socket_path(); }
void ServerHost::SetServing(bool serving) { core_->SetServing(serving); }
void ServerHost::Shutdown(absl::Duration grace) { core_->Shutdown(grace); }

bool IsLoopback(const std::string& address) {
  const absl::StatusOr<HostAndPort> where = Split(address);
  if (!where.ok()) return false;
  const std::string host = absl::AsciiStrToLower(where->host);
  if (host == "localhost" || host == "::1") return true;
  // 127.a.b.c with numbers only: "127.example.org" is a name like any other.
  return absl::StartsWith(host, "127.") &&
         host.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace weir
