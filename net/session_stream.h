// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SESSION_STREAM_H_
#define WEIR_NET_SESSION_STREAM_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "net/completion_loop.h"
#include "net/outbound_queue.h"
#include "net/session_host_core.h"

namespace weir {

// One stream. At most one read and one write are under way; `operations_` counts these and the
// finish. The stream is finished when it is closing, nothing is being written and nothing waits; it
// is over when that and all other operations have ended.
//
// Where the client wants it, the session moves to a link in shared memory: its hello's answer
// invites it, and from when the link is there all frames go and come by it. The stream tells that
// the client lives. The link counts as an operation until it has ended; it ends with the stream,
// and the stream with it. Before a closing stream is finished the client lets go of what it was
// sent by the link, for then the memory that it reads is used for something else.
class SessionHost::Stream final : public ShmLinkHandler {
 public:
  explicit Stream(Core* core)
      : core_(core), queue_(core->options().max_queued_frames, core->options().max_queued_bytes) {}

  // For Service::RequestSession.
  grpc::ServerContext* context() { return &context_; }
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>* stream() { return &stream_; }

  // The stream has been accepted.
  void Begin(SessionId id);
  void Refuse(SessionId id, const absl::Status& status);
  bool refused() const { return refused_; }

  void Send(ServerFrame frame);

  // Ends the stream when what waits has been written.
  void Close(const absl::Status& status);

  // Ends the stream at once: what waits is dropped, and a write that hangs is cancelled.
  void Break(const absl::Status& status);

  void Tick(absl::Time now);

  // What waits, and what went out.
  void AddTo(SessionHost::Statistics* statistics) const;
  void AddSentTo(SessionHost::Statistics* statistics) const;

  void OnRead(bool ok);

  void OnWritten(bool ok);

  void OnFinished(bool) { Release(); }

  // The client has come to where it was invited to. False: too late.
  bool MoveTo(std::shared_ptr<ShmLink> link);

  void OnUp() override {}  // of the other end
  void OnWire(Payload&& wire, uint64_t) override;
  void OnSent(uint64_t payload_bytes) override;
  void OnClosed(const absl::Status& status) override;

 private:
  bool client_batches() const;

  bool closing() const;

  bool has_moved() const;

  // Nobody is there any more, or it breaks the rules: the end is not to wait for it.
  void Abandon();

  void Read();

  // An operation has ended. The last one, after the finish, is the stream's end.
  void Release();

  // Completes the answer to a hello with what is between the two ends of the stream.
  void Answer(HelloReplyFrame* reply);

  // Decodes what was read and hands it on.
  absl::Status Receive();
  absl::Status Receive(const Payload& wire);

  // Hands a frame to the shard's handler, which the first one chooses.
  absl::Status Deliver(ClientFrame&& frame, size_t wire_bytes);

  // Writes the next frames, or finishes a closing stream, if it is time for either.
  void Continue();

  // True: a frame has been taken at once; there may be more to do.
  bool ContinueOnce();

  // DEADLINE_EXCEEDED: no hello in time. RESOURCE_EXHAUSTED: the client does not read, or not fast
  // enough for a closing one.
  absl::Status Late(absl::Time now);

  // Sets a deadline that is not set yet; true when it has passed.
  static bool Expired(absl::Time now, absl::Duration timeout, absl::Time* deadline);

  Core* const core_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_{&context_};
  MemberTag<Stream, &Stream::OnRead> read_tag_{this};
  MemberTag<Stream, &Stream::OnWritten> write_tag_{this};
  MemberTag<Stream, &Stream::OnFinished> finish_tag_{this};
  // Set before anything else knows of the stream.
  SessionId id_ = 0;
  bool over_socket_ = false;  // the connection is by the Unix socket
  bool refused_ = false;

  grpc::ByteBuffer incoming_;  // of the read under way

  mutable absl::Mutex mu_;
  OutboundQueue queue_ ABSL_GUARDED_BY(mu_);
  SessionHandler* handler_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool is_worker_ ABSL_GUARDED_BY(mu_) = false;  // as its hello says, and what follows
  bool batches_ ABSL_GUARDED_BY(mu_) = false;
  bool wants_shm_ ABSL_GUARDED_BY(mu_) = false;
  absl::optional<ShmKey> shm_key_ ABSL_GUARDED_BY(mu_);  // of its invitation
  std::shared_ptr<ShmLink> link_ ABSL_GUARDED_BY(mu_);   // null: frames go by the stream
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  bool link_ended_ ABSL_GUARDED_BY(mu_) = false;
  bool writes_stream_ ABSL_GUARDED_BY(mu_) = false;  // what queue_ is writing goes by the stream
  bool closing_ ABSL_GUARDED_BY(mu_) = false;        // nothing new is read or queued
  bool abandoned_ ABSL_GUARDED_BY(mu_) = false;      // the client's link is not waited for
  bool finished_ ABSL_GUARDED_BY(mu_) = false;       // Finish was called
  int operations_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t written_ ABSL_GUARDED_BY(mu_) = 0;  // frames
  // Of payloads that went by the stream; the link counts its own.
  uint64_t sent_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t sent_copied_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t progress_before_ ABSL_GUARDED_BY(mu_) = 0;  // at the last Tick
  absl::Time hello_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time write_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time close_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
};

}  // namespace weir

#endif  // WEIR_NET_SESSION_STREAM_H_
