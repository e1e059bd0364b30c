// SPDX-License-Identifier: Apache-2.0
#include "net/server_host.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
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
#include "net/channel.h"
#include "net/completion_loop.h"
#include "net/health_service.h"
#include "net/queued_service.h"
#include "net/socket_listener.h"

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

// Takes the plugins away: linking that of reflection alone puts it into every server.
class NoPlugins final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->clear();
  }
};

// What a server of queued services is given beside what every server is.
void ConfigureQueued(const ServerHost::Options& options, grpc::ServerBuilder* builder) {
  if (options.services.empty()) builder->SetOption(std::make_unique<NoPlugins>());
  // As net/channel.h does for its end.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kPayloadLookaheadBytes);
  for (QueuedService* queued : options.queued) builder->RegisterService(queued->service());
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
  explicit Core(const Options& options) : queued_(options.queued) {
    if (!queued_.empty() && options.services.empty()) queued_.push_back(&health_);
    socket_path_ = SocketPath(options);
  }

  int port() const { return port_; }
  const std::string& address() const { return address_; }
  const std::string& socket_path() const { return socket_path_; }

  // Binds. gRPC tells by a port of 0 that it could not.
  absl::Status Build(const Options& options, const HostAndPort& where) {
    grpc::ServerBuilder builder;
    Configure(options, &port_, &builder);
    if (!options.queued.empty()) {
      ConfigureQueued(options, &builder);
      if (options.services.empty()) builder.RegisterService(health_.service());
      for (int i = 0; i < options.queue_threads; ++i) {
        CompletionLoop::Options loop;
        loop.thread_name = absl::StrCat("weir-net-", i);
        loops_.push_back(std::make_unique<CompletionLoop>(builder.AddCompletionQueue(), loop));
      }
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", options.address, ": ", WhyNot(where)));
    }
    address_ = absl::StrCat(options.address.substr(0, options.address.rfind(':')), ":", port_);
    return absl::OkStatus();
  }

  // REQUIRES: built, with a directory for sockets.
  absl::Status ListenOnSocket(const SocketDirectory& sockets) {
    auto listener = SocketListener::Start(
        socket_path_, [this](int fd) { grpc::AddInsecureChannelFromFd(server_.get(), fd); });
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    return sockets.Seal(kSocketName);
  }

  void Begin() {
    begun_ = true;
    std::vector<CompletionLoop*> loops;
    for (auto& loop : loops_) {
      loop->Start();
      loops.push_back(loop.get());
    }
    for (QueuedService* queued : queued_) queued->Begin(loops);
  }

  void SetServing(bool serving) {
    health_.SetServing(serving);
    // Null: a server of queued services alone.
    if (auto* const health = server_->GetHealthCheckService()) health->SetServingStatus(serving);
  }

  void SetSpin(absl::Duration spin) {
    for (auto& loop : loops_) loop->set_spin(spin);
  }

  void Shutdown(absl::Duration grace) {
    absl::MutexLock lock(&mu_);  // its only use: the second caller waits for the first
    listener_.reset();
    if (server_ != nullptr) {
      server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
      server_->Wait();
    }
    if (begun_) {
      for (QueuedService* queued : queued_) queued->End();
      begun_ = false;
    }
    for (auto& loop : loops_) loop->Shutdown();
  }

 private:
  std::vector<QueuedService*> queued_;
  HealthService health_;
  std::string address_;
  int port_ = 0;
  std::string socket_path_;
  std::vector<std::unique_ptr<CompletionLoop>> loops_;
  std::unique_ptr<grpc::Server> server_;  // self-synchronised
  std::unique_ptr<SocketListener> listener_;
  absl::Mutex mu_;
  bool begun_ = false;  // set before the host is anybody's
};

absl::StatusOr<std::unique_ptr<ServerHost>> ServerHost::Start(const Options& options) {
  const absl::StatusOr<HostAndPort> where = Split(options.address);
  if (!where.ok()) return where.status();
  if (!options.has_token && !IsLoopback(options.address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a listener off loopback (", options.address,
                     ") does not start without the job's token: give one"));
  }
  // Of the whole process, both; read when a server is built.
  const bool only_queued = options.services.empty() && !options.queued.empty();
  grpc::EnableDefaultHealthCheckService(!only_queued);
  if (!only_queued) grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  std::unique_ptr<ServerHost> host(new ServerHost(std::make_unique<Core>(options)));
  absl::Status status = host->core_->Build(options, *where);
  if (!status.ok()) return status;
  host->core_->Begin();
  host->SetServing(false);
  if (options.sockets != nullptr) status = host->core_->ListenOnSocket(*options.sockets);
  if (!status.ok()) return status;
  return host;
}

ServerHost::ServerHost(std::unique_ptr<Core> core) : core_(std::move(core)) {}
ServerHost::~ServerHost() { Shutdown(absl::ZeroDuration()); }
int ServerHost::port() const { return core_->port(); }
const std::string& ServerHost::address() const { return core_->address(); }
const std::string& ServerHost::socket_path() const { return core_->socket_path(); }
void ServerHost::SetServing(bool serving) { core_->SetServing(serving); }
void ServerHost::SetSpin(absl::Duration spin) { core_->SetSpin(spin); }
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
