// SPDX-License-Identifier: Apache-2.0
#include "net/session_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "net/byte_buffer.h"
#include "net/completion_loop.h"
#include "net/frame_batch.h"
#include "net/outbound_queue.h"
#include "net/status.h"

namespace weir {
namespace {

constexpr char kMethod[] = "/weir.v1.ParameterService/Session";

// What a lost connection looks like depends on the moment; the caller's next move is one: connect
// again.
absl::Status FromStream(const grpc::Status& status) {
  const absl::Status ended = FromGrpcStatus(status);
  if (absl::IsCancelled(ended)) return absl::UnavailableError("the server broke the session off");
  if (absl::IsUnknown(ended))
    return absl::UnavailableError(absl::StrCat("the session was lost: ", ended.message()));
  return ended;
}

}  // namespace

// The gRPC stream. At most one read and one write are under way; `operations_` counts these, the
// start and the finish. Reading goes on until the stream has ended, then it is finished, which
// tells the status; it is over when all operations have ended. The operations keep it alive.
class SessionClient::Stream final : public std::enable_shared_from_this<SessionClient::Stream> {
 public:
  Stream(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop,
         SessionClientHandler* handler, const Options& options)
      : options_(options),
        handler_(handler),
        stub_(std::move(channel)),
        queue_(options.max_queued_frames, options.max_queued_bytes) {
    stream_ = stub_.PrepareCall(&context_, kMethod, loop->queue());
  }

  void Begin() {
    self_ = shared_from_this();
    {
      absl::MutexLock lock(&mu_);
      ++operations_;
    }
    stream_->StartCall(&start_tag_);
  }

  absl::Status Send(ClientFrame frame) {
    // Batches are between the two ends of the stream: nobody else needs to know of them.
    if (auto* const hello = std::get_if<HelloFrame>(&frame.kind))
      hello->features |= kFeatureBatches;
    // A pull need not wait for the gradients before it: it asks for what is there.
    const bool hurry = std::holds_alternative<PullFrame>(frame.kind);
    Payload wire = EncodeFrame(frame);
    if (wire.size() > options_.limits.max_frame_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("a frame of ", wire.size(),
                                                     " bytes; the limit is ",
                                                     options_.limits.max_frame_bytes, " bytes"));
    }
    {
      absl::MutexLock lock(&mu_);
      if (ended_) return absl::UnavailableError("the session has ended");
      if (!queue_.Push(std::move(wire), 0, hurry)) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the session's queue is full: ", queue_.frames(), " frames wait"));
      }
    }
    Continue();
    return absl::OkStatus();
  }

  void Cancel() { End(absl::CancelledError("the session was closed on this side")); }

  // Returns at once on the loop, where OnClosed is what calls it.
  void AwaitDone(bool on_loop) {
    absl::MutexLock lock(&mu_);
    if (on_loop && closing_) return;
    mu_.Await(absl::Condition(&done_));
  }

  // The stream stands, or never will: then the read tells so.
  void OnStarted(bool ok) {
    {
      absl::MutexLock lock(&mu_);
      started_ = ok;
      ++operations_;
    }
    stream_->Read(&incoming_, &read_tag_);
    Continue();
    Release();
  }

  void OnRead(bool ok) {
    if (ok) {
      Receive();
      {
        absl::MutexLock lock(&mu_);
        ++operations_;
      }
      stream_->Read(&incoming_, &read_tag_);  // fails when the stream has ended
    } else {
      {
        absl::MutexLock lock(&mu_);
        ended_ = true;
        queue_.Clear();
        ++operations_;
      }
      stream_->Finish(&finish_, &finish_tag_);
    }
    Release();
  }

  void OnWritten(bool ok) {
    {
      absl::MutexLock lock(&mu_);
      queue_.Finish();
      if (!ok) {  // the server takes no more; what it has sent before is still read
        ended_ = true;
        queue_.Clear();
      }
    }
    Continue();
    Release();
  }

  void OnFinished(bool) {
    {
      absl::MutexLock lock(&mu_);
      finished_ = true;
    }
    Release();
  }

 private:
  void Receive() {
    const Payload wire = FromByteBuffer(incoming_);
    incoming_.Clear();
    absl::StatusOr<std::vector<ServerFrame>> frames = DecodeServerFrames(wire, options_.limits);
    if (!frames.ok()) return End(frames.status());
    for (ServerFrame& frame : *frames) {
      if (const auto* const hello = std::get_if<HelloReplyFrame>(&frame.kind)) {
        absl::MutexLock lock(&mu_);
        batches_ = (hello->features & kFeatureBatches) != 0;
      }
      if (!muted()) handler_->OnFrame(std::move(frame), wire.size() / frames->size());
    }
  }

  // An operation has ended. After the last one, which comes after the finish, all is over.
  void Release() {
    absl::Status last;
    {
      absl::MutexLock lock(&mu_);
      if (--operations_ > 0 || !finished_) return;
      last = status_.ok() ? FromStream(finish_) : status_;
      closing_ = true;
    }
    // The handler may let go of the client, and so of this.
    const std::shared_ptr<Stream> self = std::move(self_);
    handler_->OnClosed(last);
    absl::MutexLock lock(&mu_);
    done_ = true;
  }

  bool muted() const {
    absl::MutexLock lock(&mu_);
    return muted_;
  }

  // Cancels the stream, for a reason of this side. Reading and writing then fail, which ends it.
  void End(const absl::Status& reason) {
    {
      absl::MutexLock lock(&mu_);
      if (!ended_ && status_.ok()) status_ = reason;
      ended_ = true;
      muted_ = true;
      queue_.Clear();
    }
    context_.TryCancel();
  }

  // Writes the next frames, if it is time.
  void Continue() {
    std::vector<Payload> wires;
    {
      absl::MutexLock lock(&mu_);
      if (!started_ || queue_.is_writing() || !queue_.has_waiting()) return;
      queue_.Start(batches_);
      for (OutboundQueue::Entry& entry : queue_.writing()) wires.push_back(std::move(entry.wire));
      ++operations_;
    }
    // Not under the lock, and yet alone: queue_.is_writing() keeps others out until OnWritten.
    stream_->Write(ToByteBuffer(wires.size() == 1 ? wires[0] : BatchEncodedClientFrames(wires)),
                   &write_tag_);
  }

  const Options options_;
  SessionClientHandler* const handler_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  MemberTag<Stream, &Stream::OnStarted> start_tag_{this};
  MemberTag<Stream, &Stream::OnRead> read_tag_{this};
  MemberTag<Stream, &Stream::OnWritten> write_tag_{this};
  MemberTag<Stream, &Stream::OnFinished> finish_tag_{this};
  grpc::ByteBuffer incoming_;     // of the read under way
  grpc::Status finish_;           // what the finish told
  std::shared_ptr<Stream> self_;  // while operations are under way

  mutable absl::Mutex mu_;
  OutboundQueue queue_ ABSL_GUARDED_BY(mu_);
  absl::Status status_ ABSL_GUARDED_BY(mu_);    // why this side ended the stream
  bool started_ ABSL_GUARDED_BY(mu_) = false;   // writes may be made
  bool batches_ ABSL_GUARDED_BY(mu_) = false;   // the server has said that it takes them
  bool ended_ ABSL_GUARDED_BY(mu_) = false;     // nothing new is queued
  bool muted_ ABSL_GUARDED_BY(mu_) = false;     // this side has ended it: nothing more is handed on
  bool finished_ ABSL_GUARDED_BY(mu_) = false;  // the finish has ended
  bool closing_ ABSL_GUARDED_BY(mu_) = false;   // OnClosed has been called
  bool done_ ABSL_GUARDED_BY(mu_) = false;      // OnClosed has returned
  int operations_ ABSL_GUARDED_BY(mu_) = 0;
};

SessionClient::SessionClient(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop,
                             SessionClientHandler* handler, Options options)
    : loop_(loop), stream_(std::make_shared<Stream>(std::move(channel), loop, handler, options)) {
  stream_->Begin();
}

SessionClient::~SessionClient() { Close(); }

absl::Status SessionClient::Send(ClientFrame&& frame) { return stream_->Send(std::move(frame)); }

void SessionClient::Cancel() { stream_->Cancel(); }

void SessionClient::Close() {
  stream_->Cancel();
  stream_->AwaitDone(loop_->OnThread());
}

}  // namespace weir
