// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SESSION_HOST_CORE_H_
#define WEIR_NET_SESSION_HOST_CORE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "net/session_host.h"
#include "net/shm_host.h"
#include "weir/v1/parameter_service.grpc.pb.h"

namespace weir {

// Private to net/session_*.cc, as is net/session_stream.h.

// The sessions by id, the handlers by shard, and the gRPC service that makes sessions.
class SessionHost::Core final : public QueuedService {
 public:
  explicit Core(Options options);
  ~Core() override;

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
  Statistics ended_ ABSL_GUARDED_BY(mu_);  // what the sessions that are gone have sent
  std::map<SessionId, std::shared_ptr<Stream>> sessions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace weir

#endif  // WEIR_NET_SESSION_HOST_CORE_H_
