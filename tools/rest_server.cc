// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"

namespace weir {
namespace {

constexpr absl::string_view kPrefix = "/v1/tensors/";

std::string ErrorBody(const absl::Status& status) {
  return nlohmann::json{{"error", std::string(status.message())}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

// One request's work, with the memory that is kept from request to request.
class RestServer::Exchange {
 public:
  Exchange(RestForm form, RestStore* store, RestMemory* memory)
      : store_(store), codec_(MakeRestBodyCodec(form, memory)), body_(memory), gradient_(memory) {}

  RestBuffer* body() { return &body_; }

  // The request has been answered.
  void Release() {
    codec_->Release();
    body_.Release();
    gradient_.Release();
  }

  // What to answer to `head` and body(). The text is valid until the next call.
  absl::StatusOr<absl::string_view> Answer(const HttpHead& head) {
    absl::string_view name = head.target;
    if (!absl::ConsumePrefix(&name, kPrefix))
      return absl::NotFoundError(absl::StrCat("no such resource; try ", kPrefix, "NAME"));
    if (head.method == "GET") return Written(store_->Pull(name));
    if (head.method == "POST") return Push(name);
    return absl::UnimplementedError("only GET and POST");
  }

 private:
  absl::StatusOr<absl::string_view> Written(const absl::StatusOr<RestWeights>& weights) {
    if (!weights.ok()) return weights.status();
    return codec_->Write(weights->version, weights->span());
  }

  absl::StatusOr<absl::string_view> Push(absl::string_view name) {
    const auto count = store_->Count(name);
    if (!count.ok()) return count.status();
    gradient_.Resize(*count * sizeof(float));
    const absl::Span<float> gradient(reinterpret_cast<float*>(gradient_.data()), *count);
    uint64_t base = 0;
    if (absl::Status status = codec_->Read(body_, &base, gradient); !status.ok()) return status;
    body_.Release();
    const auto weights = store_->Push(name, gradient);
    gradient_.Release();
    return Written(weights);
  }

  RestStore* const store_;
  const std::unique_ptr<RestBodyCodec> codec_;
  RestBuffer body_;
  RestBuffer gradient_;
};

absl::StatusOr<std::unique_ptr<RestServer>> RestServer::Start(RestForm form, RestStore* store) {
  const auto listener = ListenOnLoopback();
  if (!listener.ok()) return listener.status();
  return std::unique_ptr<RestServer>(new RestServer(form, store, *listener));
}

RestServer::RestServer(RestForm form, RestStore* store, const RestListener& listener)
    : form_(form), store_(store), listener_(listener), acceptor_([this] { Accept(); }) {}

RestServer::~RestServer() {
  std::list<Connection> connections;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    shutdown(listener_.fd, SHUT_RDWR);
    for (const Connection& connection : connections_) shutdown(connection.fd, SHUT_RDWR);
  }
  acceptor_.join();
  {
    absl::MutexLock lock(&mu_);
    connections.swap(connections_);
  }
  for (Connection& connection : connections) {
    connection.thread.join();
    close(connection.fd);
  }
  close(listener_.fd);
}

void RestServer::FreeMemory() {
  absl::MutexLock lock(&mu_);
  idle_.clear();
  memory_.Clear();
}

void RestServer::Accept() {
  for (;;) {
    const int fd = accept4(listener_.fd, nullptr, nullptr, SOCK_CLOEXEC);
    const int error = errno;
    absl::MutexLock lock(&mu_);
    if (fd < 0 && !stopping_ && (error == EINTR || error == ECONNABORTED)) continue;
    if (fd < 0) return;
    if (stopping_ || connections_.size() >= kMaxConnections) {
      close(fd);
      continue;
    }
    connections_.push_back(Connection{fd, std::thread([this, fd] { Serve(fd); })});
  }
}

void RestServer::Serve(int fd) {
  RestConnection connection(dup(fd));  // `fd` itself stays open until the thread is joined
  while (connection.AwaitMessage() && ServeOne(&connection)) {
  }
  shutdown(fd, SHUT_RDWR);
}

std::unique_ptr<RestServer::Exchange> RestServer::TakeExchange() {
  absl::MutexLock lock(&mu_);
  if (idle_.empty()) return std::make_unique<Exchange>(form_, store_, &memory_);
  std::unique_ptr<Exchange> exchange = std::move(idle_.back());
  idle_.pop_back();
  return exchange;
}

// False: the connection has ended.
bool RestServer::ServeOne(RestConnection* connection) {
  std::unique_ptr<Exchange> exchange = TakeExchange();
  const auto head = connection->ReceiveRequest(exchange->body());
  if (!head.ok() && (absl::IsOutOfRange(head.status()) || absl::IsUnavailable(head.status())))
    return false;
  const auto answer =
      head.ok() ? exchange->Answer(*head) : absl::StatusOr<absl::string_view>(head.status());
  const bool keep = head.ok() && head->keep_alive;
  const std::string error = answer.ok() ? "" : ErrorBody(answer.status());
  const absl::string_view body = answer.ok() ? *answer : absl::string_view(error);
  const std::string reply = HttpReply(HttpStatusOf(answer.status()), body.size(), keep);
  const bool sent = connection->Send(reply, body).ok();
  exchange->Release();
  absl::MutexLock lock(&mu_);
  idle_.push_back(std::move(exchange));
  return sent && keep;
}

}  // namespace weir
