// SPDX-License-Identifier: Apache-2.0
#include "launcher/coordinator_service.h"

#include <grpcpp/grpcpp.h>

#include <map>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "core/steady_clock.h"
#include "launcher/coordinator_codec.h"
#include "net/layout_proto.h"
#include "net/status.h"
#include "weir/v1/coordinator.grpc.pb.h"

namespace weir {

class CoordinatorService::Core : public v1::Coordinator::CallbackService {
 public:
  Core(Membership::Options options, std::function<absl::Time()> clock)
      : clock_(clock ? std::move(clock) : SteadyNow),
        key_{std::string(options.job_id.begin(), options.job_id.end()), options.job_token},
        membership_(std::move(options), clock_()),
        ticker_([this] { TickWhenDue(); }) {}
  ~Core() override {
    {
      absl::MutexLock lock(&mutex_);
      ending_ = true;
    }
    ticker_.join();
  }

  JobStatus Status() {
    absl::MutexLock lock(&mutex_);
    return *membership_.GetStatus(key_, clock_());
  }

  std::vector<std::string> TakeWarnings() {
    absl::MutexLock lock(&mutex_);
    return membership_.TakeWarnings();
  }

  void TellToStop(absl::string_view reason) {
    Handle([&](Membership& membership, absl::Time now) {
      return membership.Stop(key_, reason, now);
    }).IgnoreError();
  }

  bool AwaitEnd(absl::Duration limit) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(this, &Core::Over), limit);
  }

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context,
                                 const v1::JoinRequest* request, v1::JoinReply* reply) override {
    JoinEvent event = FromProto(*request);
    event.address = CompleteAddress(event.address, context->peer());
    return Answer(context, Handle([&](Membership& membership, absl::Time now) {
                    return membership.Join(event, now);
                  }),
                  reply);
  }

  grpc::ServerUnaryReactor* Declare(grpc::CallbackServerContext* context,
                                    const v1::DeclareRequest* request,
                                    v1::DeclareReply* reply) override {
    absl::StatusOr<std::vector<TensorShape>> tensors = TensorsFromProto(request->tensors());
    if (!tensors.ok()) return Finish(context, tensors.status());
    absl::StatusOr<uint64_t> epoch = Handle([&](Membership& membership, absl::Time now) {
      return membership.Declare(FromProto(request->job()), CallerOf(*request), *tensors, now);
    });
    if (epoch.ok()) reply->set_epoch(*epoch);
    return Finish(context, epoch.status());
  }

  grpc::ServerUnaryReactor* GetLayout(grpc::CallbackServerContext*,
                                      const v1::GetLayoutRequest* request,
                                      v1::GetLayoutReply* reply) override {
    auto* call = new LayoutCall(this, reply);  // deletes itself when gRPC is done with it
    Handle(
        [&](Membership& membership, absl::Time now) {
          membership.GetLayout(call->wait_id, FromProto(request->job()), CallerOf(*request),
                               absl::Milliseconds(request->wait_ms()), request->newer_than(), now);
          return absl::OkStatus();
        },
        call)
        .IgnoreError();
    return call;
  }

  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context,
                                      const v1::HeartbeatRequest* request,
                                      v1::HeartbeatReply* reply) override {
    return Answer(context, Handle([&](Membership& membership, absl::Time now) {
                    return membership.Heartbeat(FromProto(request->job()), CallerOf(*request),
                                                FromProto(*request), now);
                  }),
                  reply);
  }

  grpc::ServerUnaryReactor* Leave(grpc::CallbackServerContext* context,
                                  const v1::LeaveRequest* request, v1::LeaveReply*) override {
    return Finish(context, Handle([&](Membership& membership, absl::Time now) {
                    return membership.Leave(FromProto(request->job()), CallerOf(*request),
                                            FromProto(*request), now);
                  }));
  }

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest* request,
                                      v1::GetStatusReply* reply) override {
    return Answer(context, Handle([&](Membership& membership, absl::Time now) {
                    return membership.GetStatus(FromProto(request->job()), now);
                  }),
                  reply);
  }

  grpc::ServerUnaryReactor* Stop(grpc::CallbackServerContext* context,
                                 const v1::StopRequest* request, v1::StopReply*) override {
    return Finish(context, Handle([&](Membership& membership, absl::Time now) {
                    return membership.Stop(FromProto(request->job()), request->reason(), now);
                  }));
  }

  grpc::ServerUnaryReactor* Scale(grpc::CallbackServerContext* context,
                                  const v1::ScaleRequest* request, v1::ScaleReply* reply) override {
    return Answer(context, Handle([&](Membership& membership, absl::Time now) {
                    return membership.Scale(FromProto(request->job()), request->workers(), now);
                  }),
                  reply);
  }

  grpc::ServerUnaryReactor* ReportLoss(grpc::CallbackServerContext* context,
                                       const v1::ReportLossRequest* request,
                                       v1::ReportLossReply* reply) override {
    return Answer(context, Handle([&](Membership& membership, absl::Time now) {
                    return membership.ReportLoss(
                        FromProto(request->job()), static_cast<MemberRole>(request->role()),
                        request->rank(), request->restarts(), request->reason(), now);
                  }),
                  reply);
  }

 private:
  // A GetLayout that waits.
  class LayoutCall : public grpc::ServerUnaryReactor {
   public:
    LayoutCall(Core* core, v1::GetLayoutReply* reply) : core_(core), reply_(reply) {}
    void OnCancel() override { core_->CancelWait(this); }
    void OnDone() override { delete this; }
    void Answer(const absl::StatusOr<std::shared_ptr<const Layout>>& layout) {
      if (layout.ok()) *reply_->mutable_layout() = ToProto(**layout);
      Finish(ToGrpcStatus(layout.status()));
    }

    uint64_t wait_id = 0;

   private:
    Core* const core_;
    v1::GetLayoutReply* const reply_;
  };

  // One event of the membership, for `waiting` if it is a GetLayout; then answers, without the
  // lock, the waits that it has ended.
  template <typename Event>
  std::invoke_result_t<Event, Membership&, absl::Time> Handle(Event event,
                                                              LayoutCall* waiting = nullptr)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    std::vector<std::pair<LayoutCall*, Membership::Answer>> ended;
    mutex_.Lock();
    if (waiting != nullptr) {
      waiting->wait_id = ++last_wait_;
      calls_[waiting->wait_id] = waiting;
    }
    auto result = event(membership_, clock_());
    for (Membership::Answer& answer : membership_.TakeAnswers()) {
      auto call = calls_.find(answer.wait_id);
      if (call == calls_.end()) continue;
      ended.emplace_back(call->second, std::move(answer));
      calls_.erase(call);
    }
    mutex_.Unlock();
    for (auto& [call, answer] : ended) call->Answer(answer.layout);
    return result;
  }

  void CancelWait(LayoutCall* call) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (calls_.erase(call->wait_id) == 0) return;  // being answered
      membership_.CancelWait(call->wait_id);
    }
    call->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller is gone"));
  }

  grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context,
                                   const absl::Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

  template <typename Value, typename Reply>
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                   const absl::StatusOr<Value>& value, Reply* reply) {
    if (value.ok()) *reply = ToProto(*value);
    return Finish(context, value.status());
  }

  bool Over() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return membership_.empty() &&
           (membership_.finished() || membership_.stopping() || !membership_.failure().empty());
  }
  bool Earlier() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ending_ || membership_.NextTick() < planned_;
  }

  void TickWhenDue() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::function<absl::Time()> clock_;
  const JobKey key_;
  absl::Mutex mutex_;
  Membership membership_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, LayoutCall*> calls_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_wait_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time planned_ ABSL_GUARDED_BY(mutex_);  // what the ticker sleeps until
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread ticker_;  // last: it uses all others
};

// Sleeps until the membership's next tick; an event that makes it earlier wakes it.
void CoordinatorService::Core::TickWhenDue() {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      planned_ = membership_.NextTick();
      mutex_.AwaitWithTimeout(absl::Condition(this, &Core::Earlier), planned_ - clock_());
      if (ending_) return;
      if (clock_() < membership_.NextTick()) continue;
    }
    Handle([](Membership& membership, absl::Time now) {
      membership.Tick(now);
      return absl::OkStatus();
    }).IgnoreError();
  }
}

CoordinatorService::CoordinatorService(Membership::Options options,
                                       std::function<absl::Time()> clock)
    : core_(std::make_unique<Core>(std::move(options), std::move(clock))) {}
CoordinatorService::~CoordinatorService() = default;
grpc::Service* CoordinatorService::service() { return core_.get(); }
JobStatus CoordinatorService::Status() { return core_->Status(); }
std::vector<std::string> CoordinatorService::TakeWarnings() { return core_->TakeWarnings(); }
void CoordinatorService::Stop(absl::string_view reason) { core_->TellToStop(reason); }
bool CoordinatorService::AwaitEnd(absl::Duration limit) { return core_->AwaitEnd(limit); }

std::string CompleteAddress(absl::string_view address, absl::string_view peer) {
  if (!absl::StartsWith(address, ":")) return std::string(address);
  if (absl::StartsWith(peer, "unix")) return absl::StrCat("127.0.0.1", address);
  const size_t kind = peer.find(':'), port = peer.rfind(':');
  if (kind == absl::string_view::npos || kind == port) return std::string(address);
  std::string host(peer.substr(kind + 1, port - kind - 1));
  host = absl::StrReplaceAll(host, {{"%5B", "["}, {"%5D", "]"}, {"%25", "%"}});
  return absl::StrCat(host, address);
}

}  // namespace weir
