// SPDX-License-Identifier: Apache-2.0
#include "net/coordinator_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "net/channel.h"
#include "net/status.h"
#include "weir/v1/coordinator.grpc.pb.h"

namespace weir {

// The stub, and the contexts of the calls in flight so that they can be cancelled.
class CoordinatorClient::Core {
 public:
  using Stub = v1::Coordinator::Stub;

  explicit Core(const std::string& address)
      : address_(address),
        channel_(MakeChannel(address, Options())),
        stub_(v1::Coordinator::NewStub(channel_)) {}

  bool AwaitConnected(absl::Duration limit) {
    return channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + limit));
  }

  const std::string& address() const { return address_; }

  template <typename Request, typename Reply>
  absl::StatusOr<Reply> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                          Reply*),
                             const Request& request, absl::Duration timeout) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    if (!Enter(&context)) return Cancelled();
    Reply reply;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &reply);
    const bool cancelled = Exit(&context);
    if (status.ok()) return reply;
    if (cancelled) return Cancelled();
    return Explain(FromGrpcStatus(status), timeout);
  }

  void Cancel() {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
    // Under the lock, so that they are alive; no reaction of ours runs within.
    for (grpc::ClientContext* context : in_flight_) context->TryCancel();
  }

 private:
  static ChannelOptions Options() {
    ChannelOptions options;
    options.max_message_bytes = kMaxControlMessageBytes;
    return options;
  }

  static absl::Status Cancelled() {
    return absl::CancelledError("the call to the coordinator was cancelled");
  }

  bool Enter(grpc::ClientContext* context) {
    absl::MutexLock lock(&mu_);
    if (cancelled_) return false;
    in_flight_.insert(context);
    return true;
  }

  // True when Cancel was called.
  bool Exit(grpc::ClientContext* context) {
    absl::MutexLock lock(&mu_);
    in_flight_.erase(context);
    return cancelled_;
  }

  // Adds whom the call did not reach; the coordinator's own sentences stay as they are.
  absl::Status Explain(const absl::Status& status, absl::Duration timeout) const {
    if (absl::IsDeadlineExceeded(status)) {
      return absl::DeadlineExceededError(absl::StrCat("the coordinator at ", address_,
                                                      " did not answer within ",
                                                      absl::FormatDuration(timeout)));
    }
    if (absl::IsUnavailable(status)) {
      return absl::UnavailableError(
          absl::StrCat("the coordinator at ", address_, ": ", status.message()));
    }
    return status;
  }

  const std::string address_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<Stub> stub_;  // self-synchronised
  absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::set<grpc::ClientContext*> in_flight_ ABSL_GUARDED_BY(mu_);
};

CoordinatorClient::CoordinatorClient(const std::string& address)
    : core_(std::make_unique<Core>(address)) {}
CoordinatorClient::~CoordinatorClient() = default;

absl::StatusOr<v1::JoinReply> CoordinatorClient::Join(const v1::JoinRequest& request,
                                                      absl::Duration timeout) {
  return core_->Call(&Core::Stub::Join, request, timeout);
}
absl::StatusOr<v1::DeclareReply> CoordinatorClient::Declare(const v1::DeclareRequest& request,
                                                            absl::Duration timeout) {
  return core_->Call(&Core::Stub::Declare, request, timeout);
}
absl::StatusOr<v1::GetLayoutReply> CoordinatorClient::GetLayout(const v1::GetLayoutRequest& request,
                                                                absl::Duration timeout) {
  return core_->Call(&Core::Stub::GetLayout, request, timeout);
}
absl::StatusOr<v1::HeartbeatReply> CoordinatorClient::Heartbeat(const v1::HeartbeatRequest& request,
                                                                absl::Duration timeout) {
  return core_->Call(&Core::Stub::Heartbeat, request, timeout);
}
absl::Status CoordinatorClient::Leave(const v1::LeaveRequest& request, absl::Duration timeout) {
  return core_->Call(&Core::Stub::Leave, request, timeout).status();
}
absl::StatusOr<v1::GetStatusReply> CoordinatorClient::GetStatus(const v1::GetStatusRequest& request,
                                                                absl::Duration timeout) {
  return core_->Call(&Core::Stub::GetStatus, request, timeout);
}
absl::Status CoordinatorClient::Stop(const v1::StopRequest& request, absl::Duration timeout) {
  return core_->Call(&Core::Stub::Stop, request, timeout).status();
}
absl::StatusOr<v1::ScaleReply> CoordinatorClient::Scale(const v1::ScaleRequest& request,
                                                        absl::Duration timeout) {
  return core_->Call(&Core::Stub::Scale, request, timeout);
}
absl::StatusOr<v1::ReportLossReply> CoordinatorClient::ReportLoss(
    const v1::ReportLossRequest& request, absl::Duration timeout) {
  return core_->Call(&Core::Stub::ReportLoss, request, timeout);
}

bool CoordinatorClient::AwaitConnected(absl::Duration limit) {
  return core_->AwaitConnected(limit);
}

void CoordinatorClient::Cancel() { core_->Cancel(); }
const std::string& CoordinatorClient::address() const { return core_->address(); }

}  // namespace weir
