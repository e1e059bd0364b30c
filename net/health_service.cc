// SPDX-License-Identifier: Apache-2.0
#include "net/health_service.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "net/completion_loop.h"

namespace weir {

namespace health = ::grpc::health::v1;

class HealthService::Core {
 public:
  void SetServing(bool serving) {
    absl::MutexLock lock(&mu_);
    serving_ = serving;
  }

  grpc::Service* service() { return &service_; }

  void Begin(const std::vector<CompletionLoop*>& loops) {
    for (CompletionLoop* loop : loops) (new Check(this, loop))->Accept();
  }

  void End() {
    absl::MutexLock lock(&mu_);
    const auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return checks_ == 0; };
    mu_.Await(absl::Condition(&none));
  }

 private:
  // One call, from before it comes until it has been answered; then it deletes itself, for nobody
  // else knows it.
  class Check final {
   public:
    Check(Core* core, CompletionLoop* loop) : core_(core), loop_(loop) {
      absl::MutexLock lock(&core_->mu_);
      ++core_->checks_;
    }

    void Accept() {
      auto* queue = static_cast<grpc::ServerCompletionQueue*>(loop_->queue());
      core_->service_.RequestCheck(&context_, &request_, &writer_, queue, queue, &accepted_);
    }

    void OnAccepted(bool ok) {
      if (!ok) return OnAnswered(false);  // the server is being shut down
      (new Check(core_, loop_))->Accept();
      if (!request_.service().empty()) {
        return writer_.FinishWithError(
            grpc::Status(grpc::StatusCode::NOT_FOUND, "health is told of the whole server"),
            &answered_);
      }
      health::HealthCheckResponse response;
      response.set_status(core_->Status());
      writer_.Finish(response, grpc::Status::OK, &answered_);
    }

    void OnAnswered(bool) {
      Core* const core = core_;
      delete this;
      absl::MutexLock lock(&core->mu_);
      --core->checks_;
    }

   private:
    Core* const core_;
    CompletionLoop* const loop_;
    grpc::ServerContext context_;
    health::HealthCheckRequest request_;
    grpc::ServerAsyncResponseWriter<health::HealthCheckResponse> writer_{&context_};
    MemberTag<Check, &Check::OnAccepted> accepted_{this};
    MemberTag<Check, &Check::OnAnswered> answered_{this};
  };

  health::HealthCheckResponse::ServingStatus Status() const {
    absl::MutexLock lock(&mu_);
    return serving_ ? health::HealthCheckResponse::SERVING
                    : health::HealthCheckResponse::NOT_SERVING;
  }

  health::Health::WithAsyncMethod_Check<health::Health::Service> service_;
  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  int checks_ ABSL_GUARDED_BY(mu_) = 0;
};

HealthService::HealthService() : core_(std::make_unique<Core>()) {}
HealthService::~HealthService() = default;
void HealthService::SetServing(bool serving) { core_->SetServing(serving); }
grpc::Service* HealthService::service() { return core_->service(); }
void HealthService::Begin(const std::vector<CompletionLoop*>& loops) { core_->Begin(loops); }
void HealthService::End() { core_->End(); }

}  // namespace weir
