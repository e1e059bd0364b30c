// SPDX-License-Identifier: Apache-2.0
#include "tools/load_peer.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "net/queued_service.h"
#include "net/server_host.h"
#include "net/session_host.h"
#include "tools/raw_stream_service.h"

namespace weir {
namespace {

// Answers every push with what it brought.
class EchoHandler final : public SessionHandler {
 public:
  explicit EchoHandler(SessionHost* host) : host_(host) {}

  void OnOpen(SessionId, const std::string&) override {}
  void OnFrame(SessionId id, ClientFrame&& frame, size_t) override {
    ServerFrame reply;
    reply.request_id = frame.request_id;
    if (std::holds_alternative<HelloFrame>(frame.kind)) {
      HelloReplyFrame hello;
      hello.protocol = kProtocol;
      reply.kind = std::move(hello);
    } else if (auto* push = std::get_if<PushFrame>(&frame.kind)) {
      PushReplyFrame answer;
      answer.sequence = push->sequence;
      answer.tensor_id = push->tensor_id;
      answer.offset = push->offset;
      answer.count = push->count;
      answer.outcome = Outcome::kApplied;
      answer.version = push->base_version + 1;
      answer.codec = Codec::kF32;
      answer.tensor_data = std::move(push->gradient);
      reply.kind = std::move(answer);
    } else {
      return host_->Close(id, absl::InvalidArgumentError("an echo answers pushes only"));
    }
    host_->Send(id, std::move(reply));
  }
  void OnSent(SessionId, uint64_t) override {}
  void OnClosed(SessionId) override {}

 private:
  SessionHost* const host_;
};

class Peer final : public LoadPeer {
 public:
  ~Peer() override {
    if (server_ != nullptr) server_->Shutdown(absl::ZeroDuration());
  }

  absl::Status Start(const std::string& mode, const std::string& address) {
    ServerHost::Options options;
    options.address = address;
    if (mode == "net") {
      options.queued = {raw_.get()};
    } else if (mode == "echo") {
      sessions_.AddShard(0, &handler_);
      options.queued = {sessions_.queued()};
    } else {
      return absl::InvalidArgumentError(absl::StrCat("'", mode, "' has no peer: net or echo"));
    }
    auto server = ServerHost::Start(options);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  const std::string& address() const override { return server_->address(); }

 private:
  const std::unique_ptr<QueuedService> raw_ = MakeRawEcho();
  SessionHost sessions_;
  EchoHandler handler_{&sessions_};
  std::unique_ptr<ServerHost> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LoadPeer>> StartLoadPeer(const std::string& mode,
                                                        const std::string& address) {
  auto peer = std::make_unique<Peer>();
  if (absl::Status status = peer->Start(mode, address); !status.ok()) return status;
  return absl::StatusOr<std::unique_ptr<LoadPeer>>(std::move(peer));
}

}  // namespace weir
