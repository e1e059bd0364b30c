// SPDX-License-Identifier: Apache-2.0
#include "net/session_host.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "net/byte_buffer.h"
#include "net/outbound_queue.h"
#include "net/status.h"
#include "weir/v1/parameter_service.grpc.pb.h"

namespace weir {
namespace {

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// A stream that is ended before it began.
class RefusedStream final : public Reactor {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

// The sessions by id, the handlers by shard, and the gRPC service that makes sessions.
class SessionHost::Core : public std::enable_shared_from_this<SessionHost::Core> {
 public:
  explicit Core(Options options) : options_(std::move(options)), service_(this) {}

  const Options& options() const { return options_; }
  grpc::Service* service() { return &service_; }

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

  Reactor* Open(grpc::CallbackServerContext* context);
  void Remove(SessionId id);
  std::shared_ptr<Stream> Find(SessionId id) const;
  std::vector<std::shared_ptr<Stream>> All() const;
  Statistics statistics() const;

 private:
  class Service final
      : public v1::ParameterService::WithRawCallbackMethod_Session<v1::ParameterService::Service> {
   public:
    explicit Service(Core* core) : core_(core) {}
    Reactor* Session(grpc::CallbackServerContext* context) override { return core_->Open(context); }

   private:
    Core* const core_;
  };

  const Options options_;
  Service service_;

  mutable absl::Mutex mu_;
  std::map<uint32_t, SessionHandler*> handlers_ ABSL_GUARDED_BY(mu_);
  SessionId last_id_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t closed_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<SessionId, std::shared_ptr<Stream>> sessions_ ABSL_GUARDED_BY(mu_);
};

// One stream. gRPC calls the reactions, others the methods; at most one read and one write are
// under way. The stream is ended by Finish when it is closing, nothing is being written and nothing
// waits; OnDone follows when every reaction has returned.
class SessionHost::Stream final : public Reactor {
 public:
  Stream(std::shared_ptr<Core> core, SessionId id, grpc::CallbackServerContext* context)
      : core_(std::move(core)),
        id_(id),
        context_(context),
        queue_(core_->options().max_queued_frames, core_->options().max_queued_bytes) {}

  void Begin() { StartRead(&incoming_); }

  void Send(const ServerFrame& frame) {
    const size_t max_bytes = core_->options().limits.max_frame_bytes;
    Payload wire = EncodeFrame(frame);
    if (wire.size() > max_bytes) {
      return Close(absl::InternalError(absl::StrCat(
          "an answer of ", wire.size(), " bytes exceeds the ", max_bytes, " bytes of a frame")));
    }
    const size_t payload_bytes = PayloadBytes(frame);
    bool queued;
    {
      absl::MutexLock lock(&mu_);
      if (closing_) return;
      queued = queue_.Push(std::move(wire), payload_bytes);
    }
    if (!queued) {
      return Break(
          absl::ResourceExhaustedError("the session does not read its answers: its queue is full"));
    }
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
      queue_.Clear();
      // Under the lock, so that the context still lives; no reaction that takes the lock runs
      // within the call.
      if (queue_.writing() && !done_) context_->TryCancel();
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

  void OnReadDone(bool ok) override {
    if (!ok) return Close(absl::OkStatus());  // the client has ended the stream, or is gone
    const Payload wire = FromByteBuffer(incoming_);
    incoming_.Clear();
    absl::StatusOr<ClientFrame> frame = DecodeClientFrame(wire, core_->options().limits);
    if (!frame.ok()) return Close(frame.status());
    const absl::Status status = Deliver(*std::move(frame), wire.size());
    if (!status.ok()) return Close(status);
    {
      absl::MutexLock lock(&mu_);
      if (closing_) return;
    }
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    outgoing_.Clear();
    uint64_t payload_bytes;
    SessionHandler* handler;
    {
      absl::MutexLock lock(&mu_);
      payload_bytes = queue_.current_payload_bytes();
      handler = handler_;
    }
    // While the frame still counts as being written: nobody writes the next one meanwhile.
    if (ok && handler != nullptr) handler->OnSent(id_, payload_bytes);
    {
      absl::MutexLock lock(&mu_);
      queue_.Finish();
      ++written_;
      if (!ok) {  // the connection is lost: nothing more can be written
        closing_ = true;
        queue_.Clear();
      }
    }
    Continue();
  }

  void OnDone() override {
    SessionHandler* handler;
    {
      absl::MutexLock lock(&mu_);
      done_ = true;
      handler = handler_;
    }
    if (handler != nullptr) handler->OnClosed(id_);
    core_->Remove(id_);  // the last reference, unless someone is looking at it just now
  }

 private:
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
      }
      handler->OnOpen(id_, context_->peer());
    }
    handler->OnFrame(id_, std::move(frame), wire_bytes);
    return absl::OkStatus();
  }

  // Writes the next frame, or finishes a closing stream, if it is time for either.
  void Continue() {
    Payload wire;
    absl::optional<grpc::Status> last;
    {
      absl::MutexLock lock(&mu_);
      if (finished_ || queue_.writing()) return;
      if (queue_.has_waiting()) {
        wire = queue_.Start();
      } else if (closing_) {
        finished_ = true;
        last = ToGrpcStatus(status_);
      } else {
        return;
      }
    }
    // Not under the lock, and yet alone: queue_.writing() keeps others out until OnWriteDone,
    // finished_ for ever.
    if (last) return Finish(*last);
    outgoing_ = ToByteBuffer(wire);
    StartWrite(&outgoing_);
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
    if (queue_.idle() || written_ != written_before_) write_deadline_ = absl::InfiniteFuture();
    written_before_ = written_;
    if (!queue_.idle() && Expired(now, options.write_timeout, &write_deadline_)) {
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

  const std::shared_ptr<Core> core_;
  const SessionId id_;
  grpc::CallbackServerContext* const context_;  // lives until OnDone has returned

  grpc::ByteBuffer incoming_;  // of the read under way
  grpc::ByteBuffer outgoing_;  // of the write under way

  mutable absl::Mutex mu_;
  OutboundQueue queue_ ABSL_GUARDED_BY(mu_);
  SessionHandler* handler_ ABSL_GUARDED_BY(mu_) = nullptr;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  bool closing_ ABSL_GUARDED_BY(mu_) = false;   // nothing new is read or queued
  bool finished_ ABSL_GUARDED_BY(mu_) = false;  // Finish was called
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t written_ ABSL_GUARDED_BY(mu_) = 0;         // frames
  uint64_t written_before_ ABSL_GUARDED_BY(mu_) = 0;  // at the last Tick
  absl::Time hello_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time write_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time close_deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
};

Reactor* SessionHost::Core::Open(grpc::CallbackServerContext* context) {
  std::shared_ptr<Stream> session;
  {
    absl::MutexLock lock(&mu_);
    if (sessions_.size() < options_.max_sessions) {
      const SessionId id = ++last_id_;
      session = std::make_shared<Stream>(shared_from_this(), id, context);
      sessions_[id] = session;
    }
  }
  if (session == nullptr) {
    return new RefusedStream(ToGrpcStatus(absl::ResourceExhaustedError(
        absl::StrCat("this process serves ", options_.max_sessions, " sessions already"))));
  }
  session->Begin();
  return session.get();
}

void SessionHost::Core::Remove(SessionId id) {
  std::shared_ptr<Stream> session;  // dies after the lock
  absl::MutexLock lock(&mu_);
  const auto found = sessions_.find(id);
  session = std::move(found->second);
  sessions_.erase(found);
  ++closed_;
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
  statistics.opened = last_id_;
  statistics.closed = closed_;
  return statistics;
}

SessionHost::SessionHost(Options options) : core_(std::make_shared<Core>(std::move(options))) {}
SessionHost::~SessionHost() = default;

void SessionHost::AddShard(uint32_t shard, SessionHandler* handler) {
  core_->AddShard(shard, handler);
}
grpc::Service* SessionHost::service() { return core_->service(); }

void SessionHost::Send(SessionId id, ServerFrame&& frame) {
  const ServerFrame taken = std::move(frame);  // lets go of the payload when it is queued
  if (const auto session = core_->Find(id)) session->Send(taken);
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
