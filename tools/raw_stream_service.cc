// SPDX-License-Identifier: Apache-2.0
#include "tools/raw_stream_service.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <deque>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "net/byte_buffer.h"
#include "net/completion_loop.h"
#include "net/queued_service.h"
#include "net/status.h"
#include "weir/v1/parameter_service.grpc.pb.h"

namespace weir {
namespace {

constexpr char kMethod[] = "/weir.v1.ParameterService/Session";

// Messages over a stream of gRPC's.
class ClientStream final : public RawStream {
 public:
  ClientStream(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop, RawSink* sink)
      : sink_(sink), stub_(std::move(channel)) {
    stream_ = stub_.PrepareCall(&context_, kMethod, loop->queue());
    stream_->StartCall(&start_tag_);
  }
  ~ClientStream() override {
    context_.TryCancel();
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&done_));
  }

  void Send(Payload bytes) override {
    {
      absl::MutexLock lock(&mu_);
      waiting_.push_back(std::move(bytes));
    }
    Continue();
  }

  void OnStarted(bool ok) {
    {
      absl::MutexLock lock(&mu_);
      started_ = ok;
      ++operations_;
    }
    stream_->Read(&incoming_, &read_tag_);
    Continue();
    Leave();
  }
  void OnRead(bool ok) {
    if (ok) sink_->OnMessage(FromByteBuffer(incoming_));
    incoming_.Clear();
    {
      absl::MutexLock lock(&mu_);
      ++operations_;
    }
    if (ok) {
      stream_->Read(&incoming_, &read_tag_);
    } else {
      stream_->Finish(&finish_, &finish_tag_);
    }
    Leave();
  }
  void OnWritten(bool) {
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
    }
    Continue();
    Leave();
  }
  void OnFinished(bool) {
    {
      absl::MutexLock lock(&mu_);
      started_ = false;
    }
    sink_->OnEnd(FromGrpcStatus(finish_));
    Leave();
  }

 private:
  void Continue() {
    Payload next;
    {
      absl::MutexLock lock(&mu_);
      if (!started_ || writing_ || waiting_.empty()) return;
      writing_ = true;
      ++operations_;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    stream_->Write(ToByteBuffer(next), &write_tag_);
  }
  void Leave() {
    absl::MutexLock lock(&mu_);
    if (--operations_ == 0) done_ = true;
  }

  RawSink* const sink_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  MemberTag<ClientStream, &ClientStream::OnStarted> start_tag_{this};
  MemberTag<ClientStream, &ClientStream::OnRead> read_tag_{this};
  MemberTag<ClientStream, &ClientStream::OnWritten> write_tag_{this};
  MemberTag<ClientStream, &ClientStream::OnFinished> finish_tag_{this};
  grpc::ByteBuffer incoming_;
  grpc::Status finish_;
  absl::Mutex mu_;
  std::deque<Payload> waiting_ ABSL_GUARDED_BY(mu_);  // the window bounds it
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  int operations_ ABSL_GUARDED_BY(mu_) = 1;  // the start
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

}  // namespace

std::unique_ptr<RawStream> OpenRawStream(std::shared_ptr<grpc::Channel> channel,
                                         CompletionLoop* loop, RawSink* sink) {
  return std::make_unique<ClientStream>(std::move(channel), loop, sink);
}

std::unique_ptr<CompletionLoop> MakeClientLoop() {
  return std::make_unique<CompletionLoop>(std::make_unique<grpc::CompletionQueue>(),
                                          CompletionLoop::Options());
}

std::unique_ptr<QueuedService> MakeRawEcho() { return std::make_unique<RawEcho>(); }

std::string GrpcVersion() { return grpc::Version(); }

}  // namespace weir
