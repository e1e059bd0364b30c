// SPDX-License-Identifier: Apache-2.0
#include "net/session_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "net/byte_buffer.h"
#include "net/completion_loop.h"
#include "net/frame_batch.h"
#include "net/outbound_queue.h"
#include "net/shm_link.h"
#include "net/shm_poller.h"
#include "net/status.h"

namespace weir {
namespace {

constexpr char kMethod[] = "/weir.v1.ParameterService/Session";

// The wire of a frame, whose payload is made now if that is not done.
Payload Complete(OutboundQueue::Entry* entry) {
  if (!entry->make) return std::move(entry->wire);
  const Payload::Chunk& header = entry->wire.chunks()[0];
  Payload wire;
  wire.Append(header.data, header.size, header.owner);
  const Payload payload = entry->make();
  for (const Payload::Chunk& chunk : payload.chunks())
    wire.Append(chunk.data, chunk.size, chunk.owner);
  entry->make = nullptr;
  return wire;
}

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
         SessionClientHandler* handler, const Options& options)
      : options_(options),
        handler_(handler),
        stub_(std::move(channel)),
        queue_(options.max_queued_frames, options.max_queued_bytes),
        settled_(options.shm == nullptr) {
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

  absl::Status Send(ClientFrame frame, std::function<Payload()> make) {
    // Batches are between the two ends of the stream: nobody else needs to know of them.
    if (auto* const hello = std::get_if<HelloFrame>(&frame.kind))
      hello->features |= kFeatureBatches | (options_.shm != nullptr ? kFeatureShm : 0);
    // A pull need not wait for the gradients before it: it asks for what is there.
    const bool hurry = std::holds_alternative<PullFrame>(frame.kind);
    const uint64_t payload_bytes = PayloadBytes(frame);
    Payload wire = EncodeFrame(frame);
    if (wire.size() > options_.limits.max_frame_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("a frame of ", wire.size(),
                                                     " bytes; the limit is ",
                                                     options_.limits.max_frame_bytes, " bytes"));
    }
    {
      absl::MutexLock lock(&mu_);
      if (ended_) return absl::UnavailableError("the session has ended");
      if (!queue_.Push(std::move(wire), payload_bytes, hurry, std::move(make))) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the session's queue is full: ", queue_.frames(), " frames wait"));
      }
    }
    Continue();
    return absl::OkStatus();
  }

  void Cancel() { End(absl::CancelledError("the session was closed on this side")); }

  // Returns at once within OnClosed.
  void AwaitDone() {
    absl::MutexLock lock(&mu_);
    if (closer_ == std::this_thread::get_id()) return;
    mu_.Await(absl::Condition(&done_));
  }

  SessionClient::Way way(std::string* why) const {
    absl::MutexLock lock(&mu_);
    *why = why_;
    return way_;
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
      if (Receive()) Read();
    } else {
      std::shared_ptr<ShmLink> link;
      {
        absl::MutexLock lock(&mu_);
        ended_ = true;
        queue_.Clear();
        ++operations_;
        link = link_;
      }
      // What the server has sent by it before is still handed on.
      if (link != nullptr) link->Close(absl::UnavailableError("the stream has ended"));
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

  void OnUp() override {
    {
      absl::MutexLock lock(&mu_);
      link_is_up_ = true;
      way_ = SessionClient::Way::kShm;
    }
    Settle();
    Read();
  }
  void OnWire(Payload&& wire, uint64_t) override {
    absl::StatusOr<ServerFrame> frame = DecodeServerFrame(wire, options_.limits);
    if (!frame.ok()) return End(frame.status());
    if (!muted()) handler_->OnFrame(*std::move(frame), wire.size());
  }
  void OnSent(uint64_t) override {}
  void OnClosed(const absl::Status& status) override {
    bool was_up, broken;
    {
      absl::MutexLock lock(&mu_);
      was_up = link_is_up_;
      // A server that has gone, or has ended the session, tells so by the stream's end.
      broken = was_up && !absl::IsUnavailable(status) && !absl::IsCancelled(status);
      if (broken || !was_up) {
        way_ = was_up ? SessionClient::Way::kBroken : SessionClient::Way::kNoMemory;
        why_ = std::string(status.message());
      }
      // Also when the server, which was hung up on, has been faster to end the stream.
      if (broken && status_.ok())
        status_ = absl::UnavailableError(absl::StrCat("shared memory failed: ", status.message()));
      if (!was_up) link_ = nullptr;
    }
    if (broken) End(absl::OkStatus());
    if (!was_up) {
      Settle();
      Read();
    }
    Release();
  }

 private:
  struct Arrived {
    ServerFrame frame;
    size_t wire_bytes;
  };

  // Fails when the stream has ended.
  void Read() {
    {
      absl::MutexLock lock(&mu_);
      ++operations_;
    }
    stream_->Read(&incoming_, &read_tag_);
  }

  // Hands on what was read. False: Settle will, when it is known how the session goes on.
  bool Receive() {
    const Payload wire = FromByteBuffer(incoming_);
    incoming_.Clear();
    absl::StatusOr<std::vector<ServerFrame>> frames = DecodeServerFrames(wire, options_.limits);
    if (!frames.ok()) {
      End(frames.status());
      return true;
    }
    if (frames->empty()) return true;
    const auto* const hello = std::get_if<HelloReplyFrame>(&frames->front().kind);
    bool settled;
    {
      absl::MutexLock lock(&mu_);
      if (hello != nullptr) batches_ = (hello->features & kFeatureBatches) != 0;
      settled = settled_;
    }
    const size_t wire_bytes = wire.size() / frames->size();
    if (settled) {
      for (ServerFrame& frame : *frames)
        if (!muted()) handler_->OnFrame(std::move(frame), wire_bytes);
      return true;
    }
    const std::shared_ptr<ShmLink> link = hello == nullptr ? nullptr : OfferLink(*hello);
    for (ServerFrame& frame : *frames) arrived_.push_back(Arrived{std::move(frame), wire_bytes});
    if (link != nullptr) {
      options_.shm->Add(link, this);
      return false;
    }
    Settle();
    return true;
  }

  // Frames go and come from now on, by the link or by the stream.
  void Settle() {
    {
      absl::MutexLock lock(&mu_);
      settled_ = true;
    }
    for (Arrived& arrived : std::exchange(arrived_, {}))
      if (!muted()) handler_->OnFrame(std::move(arrived.frame), arrived.wire_bytes);
    Continue();
  }

  // The link to which the server invites; null: it does not, or there is none to be had.
  std::shared_ptr<ShmLink> OfferLink(const HelloReplyFrame& hello) {
    ShmKey key;
    if ((hello.features & kFeatureShm) == 0 || hello.shm_key.size() != key.size()) return nullptr;
    std::copy(hello.shm_key.begin(), hello.shm_key.end(), key.begin());
    ShmLink::Options link_options;
    link_options.arena = options_.arena;
    link_options.available_bytes = options_.available_bytes;
    auto link = ShmLink::Offer(hello.shm_socket, key, std::move(link_options));
    absl::MutexLock lock(&mu_);
    if (!link.ok()) {  // the session is as it was
      way_ = SessionClient::Way::kNoMemory;
      why_ = std::string(link.status().message());
      return nullptr;
    }
    if (ended_) return nullptr;
    link_ = *link;
    ++operations_;
    return *link;
  }

  // An operation has ended. After the last one, which comes after the finish, all is over.
  void Release() {
    absl::Status last;
    {
      absl::MutexLock lock(&mu_);
      if (--operations_ > 0 || !finished_) return;
      last = status_.ok() ? FromStream(finish_) : status_;
      closer_ = std::this_thread::get_id();
    }
    // The handler may let go of the client, and so of this.
    const std::shared_ptr<Stream> self = std::move(self_);
    handler_->OnClosed(last);
    absl::MutexLock lock(&mu_);
    done_ = true;
    closer_ = std::thread::id();
  }

  bool muted() const {
    absl::MutexLock lock(&mu_);
    return muted_;
  }

  // Cancels the stream, for a reason of this side. Reading and writing then fail, which ends it.
  void End(const absl::Status& reason) {
    std::shared_ptr<ShmLink> link;
    {
      absl::MutexLock lock(&mu_);
      if (!ended_ && status_.ok()) status_ = reason;
      ended_ = true;
      muted_ = true;
      queue_.Clear();
      link = link_;
    }
    if (link != nullptr) link->Close(absl::CancelledError("the session was ended"));
    context_.TryCancel();
  }

  // Writes the next frames, if it is time.
  void Continue() {
    while (ContinueOnce()) continue;
  }

  // True: a frame has been taken at once; there may be more.
  bool ContinueOnce() {
    std::vector<OutboundQueue::Entry> entries;
    std::shared_ptr<ShmLink> link;
    bool hurry = false;
    {
      absl::MutexLock lock(&mu_);
      if (!started_ || queue_.is_writing() || !queue_.has_waiting()) return false;
      if (!settled_ && greets_) return false;
      greets_ = true;
      link = link_;
      queue_.Start(batches_ && link == nullptr);
      hurry = queue_.writes_in_hurry();
      entries = queue_.TakeWriting();
      if (link == nullptr) ++operations_;
    }
    // Not under the lock, and yet alone: queue_.is_writing() keeps others out until OnWritten.
    std::vector<Payload> wires;
    for (OutboundQueue::Entry& entry : entries) wires.push_back(Complete(&entry));
    if (link == nullptr) {
      stream_->Write(ToByteBuffer(wires.size() == 1 ? wires[0] : BatchEncodedClientFrames(wires)),
                     &write_tag_);
      return false;
    }
    // It says by OnClosed that it has ended.
    const absl::Status sent =
        hurry ? link->SendInHurry(std::move(wires[0]), entries[0].payload_bytes, this)
              : link->Send(std::move(wires[0]), entries[0].payload_bytes, this);
    sent.IgnoreError();
    absl::MutexLock lock(&mu_);
    queue_.Finish();
    return true;
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

SessionClient::SessionClient(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop,
                             SessionClientHandler* handler, Options options)
    : stream_(std::make_shared<Stream>(std::move(channel), loop, handler, options)) {
  stream_->Begin();
}

SessionClient::~SessionClient() { Close(); }

absl::Status SessionClient::Send(ClientFrame&& frame, std::function<Payload()> make) {
  return stream_->Send(std::move(frame), std::move(make));
}

void SessionClient::Cancel() { stream_->Cancel(); }
SessionClient::Way SessionClient::way(std::string* why) const { return stream_->way(why); }

void SessionClient::Close() {
  stream_->Cancel();
  stream_->AwaitDone();
}

}  // namespace weir
