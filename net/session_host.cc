// SPDX-License-Identifier: Apache-2.0
#include "net/session_host.h"

#include <grpcpp/completion_queue.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "net/session_host_core.h"
#include "net/session_stream.h"

namespace weir {

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

SessionHost::Core::Core(Options options) : options_(std::move(options)) {}
SessionHost::Core::~Core() = default;

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
  const std::shared_ptr<Stream> session = Find(id);  // dies after the lock
  Statistics sent;
  session->AddSentTo(&sent);
  absl::MutexLock lock(&mu_);
  sessions_.erase(id);
  ended_.payload_sent_bytes += sent.payload_sent_bytes;
  ended_.payload_sent_copied_bytes += sent.payload_sent_copied_bytes;
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
  std::vector<std::shared_ptr<Stream>> sessions;
  {
    absl::MutexLock lock(&mu_);
    statistics = ended_;
    statistics.opened = opened_;
    statistics.closed = closed_;
    statistics.workers_over_tcp = workers_over_tcp_;
    statistics.workers_over_shm = std::min(workers_over_shm_, workers_over_socket_);
    statistics.workers_over_uds = workers_over_socket_ - statistics.workers_over_shm;
    for (const auto& [id, session] : sessions_) sessions.push_back(session);
  }
  for (const auto& session : sessions) {  // each has a lock of its own
    session->AddTo(&statistics);
    session->AddSentTo(&statistics);
  }
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
