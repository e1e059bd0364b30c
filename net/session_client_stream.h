// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SESSION_CLIENT_STREAM_H_
#define WEIR_NET_SESSION_CLIENT_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "net/completion_loop.h"
#include "net/outbound_queue.h"
#include "net/session_client.h"
#include "net/shm_link.h"

namespace weir {

// The gRPC stream. At most one read and one write are under way; `operations_` counts these, the
// start and the finish. Reading goes on until the stream has ended, then it is finished, which
// tells the status; it is over when all operations have ended. The operations keep it alive.
//
// Where it wants shared memory, all frames but the hello are held back until it is settled how they
// go: so none is overtaken by one that goes the other way. When the answer to the hello holds an
// invitation, a link is offered, and that answer is handed on, and the stream read again, when the
// server has taken the link up; then frames go and come by the link. When it has not, they go by
// the stream. A link counts as an operation until it has ended; it ends with the stream, and, from
// when it is up, the stream with it.
class SessionClient::Stream final : public ShmLinkHandler,
                                    public std::enable_shared_from_this<SessionClient::Stream> {
 public:
  Stream(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop,
         SessionClientHandler* handler, const Options& options);

  void Begin();

  absl::Status Send(ClientFrame frame, std::function<Payload()> make);

  void Cancel() { End(absl::CancelledError("the session was closed on this side")); }

  // Returns at once within OnClosed.
  void AwaitDone();

  SessionClient::Way way(std::string* why) const;

  // The stream stands, or never will: then the read tells so.
  void OnStarted(bool ok);

  void OnRead(bool ok);

  void OnWritten(bool ok);

  void OnFinished(bool);

  void OnUp() override;
  void OnWire(Payload&& wire, uint64_t) override;
  void OnSent(uint64_t) override {}
  void OnClosed(const absl::Status& status) override;

 private:
  struct Arrived {
    ServerFrame frame;
    size_t wire_bytes;
  };

  // Fails when the stream has ended.
  void Read();

  // Hands on what was read. False: Settle will, when it is known how the session goes on.
  bool Receive();

  // Frames go and come from now on, by the link or by the stream.
  void Settle();

  // The link to which the server invites; null: it does not, or there is none to be had.
  std::shared_ptr<ShmLink> OfferLink(const HelloReplyFrame& hello);

  // An operation has ended. After the last one, which comes after the finish, all is over.
  void Release();

  bool muted() const;

  // Cancels the stream, for a reason of this side. Reading and writing then fail, which ends it.
  void End(const absl::Status& reason);

  // Writes the next frames, if it is time.
  void Continue();

  // True: a frame has been taken at once; there may be more.
  bool ContinueOnce();

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
  std::vector<Arrived> arrived_;  // of the last read, not handed on; of whoever may read next
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
  bool done_ ABSL_GUARDED_BY(mu_) = false;      // OnClosed has returned
  std::thread::id closer_ ABSL_GUARDED_BY(mu_);         // the thread that is within OnClosed
  std::shared_ptr<ShmLink> link_ ABSL_GUARDED_BY(mu_);  // null: frames go by the stream
  bool link_is_up_ ABSL_GUARDED_BY(mu_) = false;
  bool settled_ ABSL_GUARDED_BY(mu_);         // how the session goes
  bool greets_ ABSL_GUARDED_BY(mu_) = false;  // the hello has been taken from queue_
  SessionClient::Way way_ ABSL_GUARDED_BY(mu_) = SessionClient::Way::kStream;
  std::string why_ ABSL_GUARDED_BY(mu_);  // of way_
  int operations_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace weir

#endif  // WEIR_NET_SESSION_CLIENT_STREAM_H_
