// SPDX-License-Identifier: Apache-2.0
#include "net/session_host.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "net/byte_buffer.h"
#include "net/completion_loop.h"
#include "net/frame_batch.h"
#include "net/outbound_queue.h"
#include "net/shm_host.h"
#include "net/status.h"
#include "weir/v1/parameter_service.grpc.pb.h"

namespace weir {
// The sessions by id, the handlers by shard, and the gRPC service that makes sessions.
class SessionHost::Core final : public QueuedService {
 public:
  explicit Core(Options options) : options_(std::move(options)) {}

  const Options& options() const { return options_; }

  grpc::Service* service() override { return &service_; }
  void Begin(const std::vector<CompletionLoop*>& loops) override;
  void End() override;

  void AddShard(uint32_t shard, SessionHandler* handler) {
    absl::MutexLock lock(&mu_);
    handlers_[shard] = handler;
  }

  // UNAVAILABLE names the shards that there are.
  absl::StatusOr<SessionHandler*> HandlerOf(uint32_t shard) const {
    absl::MutexLock lock(&mu_);
    const auto found = handlers_.find(shard);
    if (found != handlers_.end()) return found->second;
    const auto name = [](std::string* out, const auto& entry) {
      absl::StrAppend(out, entry.first);
    };
    return absl::UnavailableError(
        absl::StrCat("shard ", shard, " is not here (yet); this process serves ",
                     handlers_.empty() ? "none" : absl::StrJoin(handlers_, ", ", name)));
  }

  // A shard has let a worker in.
  void CountWorker(bool over_socket) {
    absl::MutexLock lock(&mu_);
    ++(over_socket ? workers_over_socket_ : workers_over_tcp_);
  }
  // A worker's session has moved from its socket to shared memory.
  void CountMove() {
    absl::MutexLock lock(&mu_);
    ++workers_over_shm_;
  }
  // Whom the link of that session belongs to; null: it has ended.
  ShmLinkHandler* Welcome(SessionId id, std::shared_ptr<ShmLink> link);
  void Remove(SessionId id);
  std::shared_ptr<Stream> Find(SessionId id) const;
  std::vector<std::shared_ptr<Stream>> All() const;
  Statistics statistics() const;

 private:
  class Acceptor;
  using Service = v1::ParameterService::WithRawMethod_Session<v1::ParameterService::Service>;

  void Admit(std::shared_ptr<Stream> stream);
  void Ended();

  const Options options_;
  Service service_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // set by Begin

  mutable absl::Mutex mu_;
  std::map<uint32_t, SessionHandler*> handlers_ ABSL_GUARDED_BY(mu_);
  size_t accepting_ ABSL_GUARDED_BY(mu_) = 0;  // acceptors that wait for a session
  SessionId last_id_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t opened_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t closed_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t workers_over_tcp_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t workers_over_socket_ ABSL_GUARDED_BY(mu_) = 0;  // at first
  uint64_t workers_over_shm_ ABSL_GUARDED_BY(mu_) = 0;     // of these, since they moved
  std::map<SessionId, std::shared_ptr<Stream>> sessions_ ABSL_GUARDED_BY(mu_);
};

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
  void Begin(SessionId id) {
    id_ = id;
    over_socket_ = absl::StartsWith(context_.peer(), "fd:");  // as ServerHost hands it to gRPC
    Read();
  }
  void Refuse(SessionId id, const absl::Status& status) {
    id_ = id;
    refused_ = true;
    Close(status);
  }
  bool refused() const { return refused_; }

  void Send(ServerFrame frame) {
    const size_t max_bytes = core_->options().limits.max_frame_bytes;
    auto* const hello_reply = std::get_if<HelloReplyFrame>(&frame.kind);
    if (hello_reply != nullptr) Answer(hello_reply);
    Payload wire = EncodeFrame(frame);
    if (wire.size() > max_bytes) {
      return Close(absl::InternalError(absl::StrCat(
          "an answer of ", wire.size(), " bytes exceeds the ", max_bytes, " bytes of a frame")));
    }
    const size_t payload_bytes = PayloadBytes(frame);
    bool queued, worker_enters;
    {
      absl::MutexLock lock(&mu_);
      if (closing_) return;
      worker_enters = is_worker_ && hello_reply != nullptr;
      queued = queue_.Push(std::move(wire), payload_bytes, frame.hurry);
    }
    if (!queued) {
      return Break(
          absl::ResourceExhaustedError("the session does not read its answers: its queue is full"));
    }
    if (worker_enters) core_->CountWorker(over_socket_);
    Continue();
  }

  // Ends the stream when what waits has been written.
  void Close(const absl::Status& status) {
    {
      absl::MutexLock lock(&mu_);
      if (closing_) return;
      closing_ = true;
      status_ = status;
    }
    Continue();
  }

  // Ends the stream at once: what waits is dropped, and a write that hangs is cancelled.
  void Break(const absl::Status& status) {
    {
      absl::MutexLock lock(&mu_);
      if (!closing_) status_ = status;
      closing_ = true;
      abandoned_ = true;
      queue_.Clear();
      if (writes_stream_) context_.TryCancel();
    }
    Continue();
  }

  void Tick(absl::Time now) {
    const absl::Status late = Late(now);
    if (late.ok()) return;
    if (absl::IsDeadlineExceeded(late)) return Close(late);
    Break(late);
  }

  void AddTo(SessionHost::Statistics* statistics) const {
    absl::MutexLock lock(&mu_);
    statistics->queued_frames += queue_.frames();
    statistics->queued_bytes += queue_.bytes();
  }

  void OnRead(bool ok) {
    const bool moved = has_moved();
    absl::Status status;
    if (ok && moved)
      status = absl::InvalidArgumentError("a frame by the stream of a session in shared memory");
    if (ok && !moved) status = Receive();
    // Not OK: a frame that cannot be served. No read: the client has ended the stream, or is gone.
    if (!ok || !status.ok()) {
      if (!ok || moved) Abandon();
      Close(status);
    } else if (!closing()) {
      Read();
    }
    Release();
  }

  void OnWritten(bool ok) {
    std::vector<uint64_t> payloads;
    SessionHandler* handler;
    {
      absl::MutexLock lock(&mu_);
      for (const OutboundQueue::Entry& entry : queue_.writing())
        payloads.push_back(entry.payload_bytes);
      handler = handler_;
    }
    // While the frames still count as being written: nobody writes the next ones meanwhile.
    if (ok && handler != nullptr) {
      for (const uint64_t bytes : payloads) handler->OnSent(id_, bytes);
    }
    {
      absl::MutexLock lock(&mu_);
      written_ += payloads.size();
      writes_stream_ = false;
      queue_.Finish();
      if (!ok) {  // the connection is lost: nothing more can be written
        closing_ = true;
        queue_.Clear();
      }
    }
    Continue();
    Release();
  }

  void OnFinished(bool) { Release(); }

  // The client has come to where it was invited to. False: too late.
  bool MoveTo(std::shared_ptr<ShmLink> link) {
    absl::MutexLock lock(&mu_);
    if (closing_ || link_ != nullptr) return false;
    link_ = std::move(link);
    ++operations_;
    if (is_worker_) core_->CountMove();
    return true;
  }

  void OnUp() override {}  // of the other end
  void OnWire(Payload&& wire, uint64_t) override {
    const absl::Status status = closing() ? absl::OkStatus() : Receive(wire);
    if (!status.ok()) Close(status);
  }
  void OnSent(uint64_t payload_bytes) override {
    SessionHandler* handler;
    {
      absl::MutexLock lock(&mu_);
      handler = handler_;
    }
    handler->OnSent(id_, payload_bytes);
    if (closing()) Continue();
  }
  void OnClosed(const absl::Status& status) override {
    {
      absl::MutexLock lock(&mu_);
      link_ended_ = true;
    }
    // Ended by the client, or for what it did. A stream that has ended first has its own status.
    Close(absl::IsUnavailable(status) || absl::IsCancelled(status) ? absl::OkStatus() : status);
    Continue();
    Release();
  }

 private:
  bool client_batches() const {
    absl::MutexLock lock(&mu_);
    return batches_;
  }

  bool closing() const {
    absl::MutexLock lock(&mu_);
    return closing_;
  }

  bool has_moved() const {
    absl::MutexLock lock(&mu_);
    return link_ != nullptr;
  }

  // Nobody is there any more, or it breaks the rules: the end is not to wait for it.
  void Abandon() {
    {
      absl::MutexLock lock(&mu_);
      abandoned_ = true;
    }
    Continue();
  }

  void Read() {
    {
      absl::MutexLock lock(&mu_);
      ++operations_;
    }
    stream_.Read(&incoming_, &read_tag_);
  }

  // An operation has ended. The last one, after the finish, is the stream's end.
  void Release() {
    SessionHandler* handler;
    {
      absl::MutexLock lock(&mu_);
      if (--operations_ > 0 || !finished_) return;
      handler = handler_;
    }
    if (handler != nullptr) handler->OnClosed(id_);
    core_->Remove(id_);  // the last reference, unless someone is looking at it just now
  }

  // Completes the answer to a hello with what is between the two ends of the stream.
  void Answer(HelloReplyFrame* reply) {
    bool invite;
    {
      absl::MutexLock lock(&mu_);
      if (batches_) reply->features |= kFeatureBatches;
      invite = wants_shm_ && over_socket_ && !closing_;
      wants_shm_ = false;  // one invitation
    }
    ShmHost* const shm = core_->options().shm;
    if (!invite || shm == nullptr) return;
    const absl::StatusOr<ShmKey> key = shm->Invite(
        [core = core_, id = id_](auto link) { return core->Welcome(id, std::move(link)); });
    if (!key.ok()) return;  // the session stays on its stream
    reply->features |= kFeatureShm;
    reply->shm_socket = shm->path();
    reply->shm_key.assign(key->begin(), key->end());
    {
      absl::MutexLock lock(&mu_);
      if (!finished_) {
        shm_key_ = *key;
        return;
      }
    }
    shm->Withdraw(*key);
  }

  // Decodes what was read and hands it on.
  absl::Status Receive() {
    const Payload wire = FromByteBuffer(incoming_);
    incoming_.Clear();
    return Receive(wire);
  }
  absl::Status Receive(const Payload& wire) {
    absl::StatusOr<std::vector<ClientFrame>> frames =
        DecodeClientFrames(wire, core_->options().limits);
    if (!frames.ok()) return frames.status();
    if (frames->size() > 1 && !client_batches())
      return absl::InvalidArgumentError("a batch in a session that has not said it sends them");
    for (ClientFrame& frame : *frames) {
      const absl::Status status = Deliver(std::move(frame), wire.size() / frames->size());
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Hands a frame to the shard's handler, which the first one chooses.
  absl::Status Deliver(ClientFrame&& frame, size_t wire_bytes) {
    SessionHandler* handler;
    {
      absl::MutexLock lock(&mu_);
      if (closing_) return absl::OkStatus();
      handler = handler_;
    }
    if (handler == nullptr) {
      const auto* hello = std::get_if<HelloFrame>(&frame.kind);
      if (hello == nullptr) {
        return absl::FailedPreconditionError(
            "the first frame of a session must be a hello; this one is another");
      }
      const absl::StatusOr<SessionHandler*> found = core_->HandlerOf(hello->shard);
      if (!found.ok()) return found.status();
      handler = *found;
      {
        absl::MutexLock lock(&mu_);
        handler_ = handler;
        is_worker_ = hello->role == SessionRole::kWorker;
        batches_ = (hello->features & kFeatureBatches) != 0;
        wants_shm_ = (hello->features & kFeatureShm) != 0;
      }
      handler->OnOpen(id_, context_.peer());
    }
    handler->OnFrame(id_, std::move(frame), wire_bytes);
    return absl::OkStatus();
  }

  // Writes the next frames, or finishes a closing stream, if it is time for either.
  void Continue() {
    while (ContinueOnce()) continue;
  }

  // True: a frame has been taken at once; there may be more to do.
  bool ContinueOnce() {
    std::vector<Payload> wires;
    std::shared_ptr<ShmLink> link;
    uint64_t payload_bytes = 0;
    absl::optional<grpc::Status> last;
    absl::optional<ShmKey> key;
    {
      absl::MutexLock lock(&mu_);
      if (finished_ || queue_.is_writing()) return false;
      link = link_;
      if (queue_.has_waiting()) {
        queue_.Start(batches_ && link == nullptr);
        writes_stream_ = link == nullptr;
        payload_bytes = queue_.writing().front().payload_bytes;
        for (OutboundQueue::Entry& entry : queue_.writing()) wires.push_back(std::move(entry.wire));
      } else if (closing_ && (link == nullptr || link_ended_ || abandoned_ || link->Drain())) {
        finished_ = true;
        last = ToGrpcStatus(status_);
        key = shm_key_;
      } else {
        return false;
      }
      if (last || link == nullptr) ++operations_;
    }
    // Not under the lock, and yet alone: queue_.is_writing() keeps others out until OnWritten,
    // finished_ for ever.
    if (last) {
      if (key) core_->options().shm->Withdraw(*key);
      // What the link has taken is still read by the client.
      if (link != nullptr) link->Close(absl::UnavailableError("the session has ended"));
      stream_.Finish(*last, &finish_tag_);
      return false;
    }
    if (link == nullptr) {
      stream_.Write(ToByteBuffer(wires.size() == 1 ? wires[0] : BatchEncodedServerFrames(wires)),
                    &write_tag_);
      return false;
    }
    // It says by OnClosed that it has ended.
    link->Send(std::move(wires[0]), payload_bytes, this).IgnoreError();
    absl::MutexLock lock(&mu_);
    queue_.Finish();
    return true;
  }

  // DEADLINE_EXCEEDED: no hello in time. RESOURCE_EXHAUSTED: the client does not read, or not fast
  // enough for a closing one.
  absl::Status Late(absl::Time now) {
    const SessionHost::Options& options = core_->options();
    absl::MutexLock lock(&mu_);
    if (handler_ == nullptr && !closing_ && Expired(now, options.hello_timeout, &hello_deadline_)) {
      return absl::DeadlineExceededError(
          absl::StrCat("no hello within ", absl::FormatDuration(options.hello_timeout)));
    }
    if (closing_ && !finished_ && Expired(now, options.write_timeout, &close_deadline_)) {
      return absl::ResourceExhaustedError(
          "the session was closed and its last answers are not read");
    }
    const bool idle = queue_.idle() && (link_ == nullptr || !link_->waiting());
    const uint64_t progress = written_ + (link_ == nullptr ? 0 : link_->progress());
    if (idle || progress != progress_before_) write_deadline_ = absl::InfiniteFuture();
    progress_before_ = progress;
    if (!idle && Expired(now, options.write_timeout, &write_deadline_)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the session has not read an answer for ", absl::FormatDuration(options.write_timeout)));
    }
    return absl::OkStatus();
  }

  // Sets a deadline that is not set yet; true when it has passed.
  static bool Expired(absl::Time now, absl::Duration timeout, absl::Time* deadline) {
    if (*deadline == absl::InfiniteFuture()) *deadline = now + timeout;
    return now >= *deadline;
  }

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
  uint64_t written_ ABSL_GUARDED_BY(mu_) = 0;          // frames
  uint64_t progress_before_ ABSL_GUARDED_BY(mu_) = 0;  // at the last Tick
  absl::Time hello_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time write_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time close_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
};

// Waits for the next session on one loop, for as long as the server runs.
class SessionHost::Core::Acceptor final {
 public:
  Acceptor(Core* core, CompletionLoop* loop) : core_(core), loop_(loop) {}

  void Accept() {
    next_ = std::make_shared<Stream>(core_);
    auto* queue = static_cast<grpc::ServerCompletionQueue*>(loop_->queue());
    core_->service_.RequestSession(next_->context(), next_->stream(), queue, queue, &tag_);
  }

  void OnAccepted(bool ok) {
    if (!ok) return core_->Ended();  // the server is being shut down
    std::shared_ptr<Stream> stream = std::move(next_);
    Accept();
    core_->Admit(std::move(stream));
  }

 private:
  Core* const core_;
  CompletionLoop* const loop_;
  MemberTag<Acceptor, &Acceptor::OnAccepted> tag_{this};
  std::shared_ptr<Stream> next_;
};

void SessionHost::Core::Begin(const std::vector<CompletionLoop*>& loops) {
  {
    absl::MutexLock lock(&mu_);
    accepting_ = loops.size();
  }
  for (CompletionLoop* loop : loops) {
    acceptors_.push_back(std::make_unique<Acceptor>(this, loop));
    acceptors_.back()->Accept();
  }
}

void SessionHost::Core::End() {
  absl::MutexLock lock(&mu_);
  const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return accepting_ == 0 && sessions_.empty();
  };
  mu_.Await(absl::Condition(&ended));
}

void SessionHost::Core::Ended() {
  absl::MutexLock lock(&mu_);
  --accepting_;
}

void SessionHost::Core::Admit(std::shared_ptr<Stream> stream) {
  SessionId id;
  bool full;
  {
    absl::MutexLock lock(&mu_);
    id = ++last_id_;
    full = opened_ - closed_ >= options_.max_sessions;
    if (!full) ++opened_;
    sessions_[id] = stream;
  }
  if (!full) return stream->Begin(id);
  stream->Refuse(id, absl::ResourceExhaustedError(absl::StrCat(
                         "this process serves ", options_.max_sessions, " sessions already")));
}

ShmLinkHandler* SessionHost::Core::Welcome(SessionId id, std::shared_ptr<ShmLink> link) {
  const std::shared_ptr<Stream> session = Find(id);
  return session != nullptr && session->MoveTo(std::move(link)) ? session.get() : nullptr;
}

void SessionHost::Core::Remove(SessionId id) {
  std::shared_ptr<Stream> session;  // dies after the lock
  absl::MutexLock lock(&mu_);
  const auto found = sessions_.find(id);
  session = std::move(found->second);
  sessions_.erase(found);
  if (!session->refused()) ++closed_;
}

std::shared_ptr<SessionHost::Stream> SessionHost::Core::Find(SessionId id) const {
  absl::MutexLock lock(&mu_);
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<SessionHost::Stream>> SessionHost::Core::All() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::shared_ptr<Stream>> all;
  all.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) all.push_back(session);
  return all;
}

SessionHost::Statistics SessionHost::Core::statistics() const {
  Statistics statistics;
  for (const auto& session : All()) session->AddTo(&statistics);
  absl::MutexLock lock(&mu_);
  statistics.opened = opened_;
  statistics.closed = closed_;
  statistics.workers_over_tcp = workers_over_tcp_;
  statistics.workers_over_shm = std::min(workers_over_shm_, workers_over_socket_);
  statistics.workers_over_uds = workers_over_socket_ - statistics.workers_over_shm;
  return statistics;
}

SessionHost::SessionHost(Options options) : core_(std::make_unique<Core>(std::move(options))) {}
SessionHost::~SessionHost() = default;

void SessionHost::AddShard(uint32_t shard, SessionHandler* handler) {
  core_->AddShard(shard, handler);
}
QueuedService* SessionHost::queued() { return core_.get(); }

void SessionHost::Send(SessionId id, ServerFrame&& frame) {
  if (const auto session = core_->Find(id)) session->Send(std::move(frame));
}

void SessionHost::Close(SessionId id, const absl::Status& status) {
  if (const auto session = core_->Find(id)) session->Close(status);
}

void SessionHost::CloseAll(const absl::Status& status) {
  for (const auto& session : core_->All()) session->Close(status);
}

void SessionHost::Tick(absl::Time now) {
  for (const auto& session : core_->All()) session->Tick(now);
}

SessionHost::Statistics SessionHost::statistics() const { return core_->statistics(); }

}  // namespace weir
