// SPDX-License-Identifier: Apache-2.0
#include "net/session_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "net/byte_buffer.h"
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

// The gRPC stream. A hold keeps OnDone away until reading has ended and nothing is being written,
// for writes are started from outside of gRPC's reactions. Destroyed by the client alone, after
// OnDone: were the last reference to a channel dropped on one of gRPC's callback threads, gRPC 1.51
// would let that thread wait for itself.
class SessionClient::Stream final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Stream(std::shared_ptr<grpc::Channel> channel, SessionClientHandler* handler,
         const Options& options)
      : options_(options),
        handler_(handler),
        stub_(std::move(channel)),
        queue_(options.max_queued_frames, options.max_queued_bytes) {}

  void Begin() {
    stub_.PrepareBidiStreamingCall(&context_, kMethod, grpc::StubOptions(), this);
    AddHold();
    StartRead(&incoming_);
    StartCall();
  }

  absl::Status Send(const ClientFrame& frame) {
    Payload wire = EncodeFrame(frame);
    if (wire.size() > options_.limits.max_frame_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("a frame of ", wire.size(),
                                                     " bytes; the limit is ",
                                                     options_.limits.max_frame_bytes, " bytes"));
    }
    {
      absl::MutexLock lock(&mu_);
      if (ended_) return absl::UnavailableError("the session has ended");
      if (!queue_.Push(std::move(wire), 0)) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the session's queue is full: ", queue_.frames(), " frames wait"));
      }
    }
    Continue();
    return absl::OkStatus();
  }

  void Cancel() { End(absl::CancelledError("the session was closed on this side")); }

  void AwaitDone() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&done_));
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      {
        absl::MutexLock lock(&mu_);
        ended_ = true;
        reading_ = false;
        queue_.Clear();
      }
      return Continue();
    }
    const Payload wire = FromByteBuffer(incoming_);
    incoming_.Clear();
    absl::StatusOr<ServerFrame> frame = DecodeServerFrame(wire, options_.limits);
    if (!frame.ok()) {
      End(frame.status());
    } else if (!muted()) {
      handler_->OnFrame(*std::move(frame), wire.size());
    }
    StartRead(&incoming_);  // fails when the stream has ended; then reading is over
  }

  void OnWriteDone(bool ok) override {
    outgoing_.Clear();
    {
      absl::MutexLock lock(&mu_);
      queue_.Finish();
      if (!ok) {  // the server takes no more; what it has sent before is still read
        ended_ = true;
        queue_.Clear();
      }
    }
    Continue();
  }

  void OnDone(const grpc::Status& status) override {
    absl::Status last;
    {
      absl::MutexLock lock(&mu_);
      ended_ = true;
      last = status_.ok() ? FromStream(status) : status_;
    }
    handler_->OnClosed(last);
    absl::MutexLock lock(&mu_);
    done_ = true;  // from here on the client may destroy this
  }

 private:
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

  // Writes the next frame, or lets OnDone come when all is over.
  void Continue() {
    Payload wire;
    bool over = false;
    {
      absl::MutexLock lock(&mu_);
      if (!held_ || queue_.writing()) return;
      if (queue_.has_waiting()) {
        wire = queue_.Start();
      } else if (!reading_) {
        over = true;
        held_ = false;
      } else {
        return;
      }
    }
    // Not under the lock, and yet alone: queue_.writing() keeps others out until OnWriteDone, held_
    // for ever.
    if (over) return RemoveHold();
    outgoing_ = ToByteBuffer(wire);
    StartWrite(&outgoing_);
  }

  const Options options_;
  SessionClientHandler* const handler_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer incoming_;  // of the read under way
  grpc::ByteBuffer outgoing_;  // of the write under way

  mutable absl::Mutex mu_;
  OutboundQueue queue_ ABSL_GUARDED_BY(mu_);
  absl::Status status_ ABSL_GUARDED_BY(mu_);  // why this side ended the stream
  bool ended_ ABSL_GUARDED_BY(mu_) = false;   // nothing new is queued
  bool muted_ ABSL_GUARDED_BY(mu_) = false;   // this side has ended it: nothing more is handed on
  bool reading_ ABSL_GUARDED_BY(mu_) = true;  // a read is under way or will be
  bool held_ ABSL_GUARDED_BY(mu_) = true;     // the hold has not been removed
  bool done_ ABSL_GUARDED_BY(mu_) = false;    // OnClosed has returned
};

SessionClient::SessionClient(std::shared_ptr<grpc::Channel> channel, SessionClientHandler* handler,
                             Options options)
    : stream_(std::make_unique<Stream>(std::move(channel), handler, options)) {
  stream_->Begin();
}

SessionClient::~SessionClient() { Close(); }

absl::Status SessionClient::Send(ClientFrame&& frame) {
  const ClientFrame taken = std::move(frame);  // lets go of the payload when it is queued
  return stream_->Send(taken);
}

void SessionClient::Cancel() { stream_->Cancel(); }

void SessionClient::Close() {
  stream_->Cancel();
  stream_->AwaitDone();
}

}  // namespace weir
