// SPDX-License-Identifier: Apache-2.0
#include "tools/load_peer.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <deque>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "net/completion_loop.h"
#include "net/queued_service.h"
#include "net/server_host.h"
#include "net/session_host.h"
#include "weir/v1/parameter_service.grpc.pb.h"

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

// Streams of messages that come back as they are. One loop, so a stream's state needs no lock.
class RawEcho final : public QueuedService {
 public:
  grpc::Service* service() override { return &service_; }

  void Begin(const std::vector<CompletionLoop*>& loops) override {
    queue_ = static_cast<grpc::ServerCompletionQueue*>(loops.front()->queue());
    Accept();
  }

  void End() override {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](int* streams) { return *streams == 0; }, &streams_));
  }

 private:
  using Service = v1::ParameterService::WithRawMethod_Session<v1::ParameterService::Service>;

  // Deletes itself when its last operation has ended.
  class Stream {
   public:
    explicit Stream(RawEcho* echo) : echo_(echo) {
      echo_->service_.RequestSession(&context_, &stream_, echo_->queue_, echo_->queue_, &accept_);
    }

    void OnAccepted(bool ok) {
      if (!ok) return Leave();  // the server is being shut down
      echo_->Accept();
      Read();
      Leave();
    }
    void OnRead(bool ok) {
      if (ok) {
        waiting_.push_back(std::move(incoming_));
        incoming_ = grpc::ByteBuffer();
        Read();
      } else {
        ended_ = true;
      }
      Continue();
      Leave();
    }
    void OnWritten(bool ok) {
      writing_ = false;
      if (!ok) {
        ended_ = true;
        waiting_.clear();
      }
      Continue();
      Leave();
    }
    void OnFinished(bool) { Leave(); }

   private:
    void Read() {
      ++operations_;
      stream_.Read(&incoming_, &read_);
    }
    void Continue() {
      if (writing_ || finishing_) return;
      if (!waiting_.empty()) {
        writing_ = true;
        ++operations_;
        outgoing_ = std::move(waiting_.front());
        waiting_.pop_front();
        stream_.Write(outgoing_, &write_);
      } else if (ended_) {
        finishing_ = true;
        ++operations_;
        stream_.Finish(grpc::Status::OK, &finish_);
      }
    }
    void Leave() {
      if (--operations_ > 0) return;
      RawEcho* const echo = echo_;
      delete this;
      echo->Ended();
    }

    RawEcho* const echo_;
    grpc::ServerContext context_;
    grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_{&context_};
    MemberTag<Stream, &Stream::OnAccepted> accept_{this};
    MemberTag<Stream, &Stream::OnRead> read_{this};
    MemberTag<Stream, &Stream::OnWritten> write_{this};
    MemberTag<Stream, &Stream::OnFinished> finish_{this};
    grpc::ByteBuffer incoming_, outgoing_;
    std::deque<grpc::ByteBuffer> waiting_;  // the sender's window bounds it
    int operations_ = 1;                    // the accept
    bool writing_ = false, ended_ = false, finishing_ = false;
  };

  void Accept() {
    {
      absl::MutexLock lock(&mu_);
      ++streams_;
    }
    new Stream(this);
  }
  void Ended() {
    absl::MutexLock lock(&mu_);
    --streams_;
  }

  Service service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;  // set by Begin
  absl::Mutex mu_;
  int streams_ ABSL_GUARDED_BY(mu_) = 0;  // those that wait for a client too
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
      options.queued = {&raw_};
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
  RawEcho raw_;
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
