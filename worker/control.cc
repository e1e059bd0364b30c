// SPDX-License-Identifier: Apache-2.0
#include "worker/control.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/steady_clock.h"
#include "net/layout_proto.h"

namespace weir {
namespace {

constexpr absl::Duration kReportInterval =
    absl::Milliseconds(500);  // people watch, and wait for a stop

constexpr size_t kMaxValues = 64;
constexpr size_t kMaxValueNameBytes = 64;
constexpr absl::Duration kLayoutWait = absl::Seconds(5);  // of one GetLayout
constexpr absl::Duration kAnswerTime = absl::Seconds(5);  // beyond it
constexpr absl::Duration kRetryPause = absl::Milliseconds(200);

absl::Duration Since(absl::Time time) { return SteadyNow() - time; }

template <typename Request>
void Identify(const Control::Options& options, Request* request) {
  *request->mutable_job() = options.job;
  request->set_role(v1::MEMBER_ROLE_WORKER);
  request->set_rank(options.rank);
  request->set_incarnation(options.incarnation);
}

// The coordinator could not be reached, or is not ready: the same call may be made again.
bool Transient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

Status ToStatus(const absl::Status& status) {
  StatusCode code = StatusCode::kInternal;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return Status();
    case absl::StatusCode::kInvalidArgument:
      code = StatusCode::kInvalidArgument;
      break;
    case absl::StatusCode::kNotFound:
      code = StatusCode::kNotFound;
      break;
    case absl::StatusCode::kAborted:
      code = StatusCode::kAborted;
      break;
    case absl::StatusCode::kUnavailable:
      code = StatusCode::kUnavailable;
      break;
    case absl::StatusCode::kDeadlineExceeded:
      code = StatusCode::kDeadlineExceeded;
      break;
    case absl::StatusCode::kResourceExhausted:
      code = StatusCode::kResourceExhausted;
      break;
    case absl::StatusCode::kUnimplemented:
      code = StatusCode::kUnimplemented;
      break;
    case absl::StatusCode::kCancelled:
      code = StatusCode::kCancelled;
      break;
    case absl::StatusCode::kDataLoss:
      code = StatusCode::kDataLoss;
      break;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      code = StatusCode::kFailedPrecondition;
      break;
    default:
      break;
  }
  return Status(code, std::string(status.message()));
}

Control::Control(Options options) : options_(std::move(options)) {
  absl::MutexLock lock(&close_mu_);
  lease_thread_ = std::thread([this] { RunLease(); });
  layout_thread_ = std::thread([this] { RunLayout(); });
}

Control::~Control() { Close(); }

bool Control::Pause(absl::Duration time) {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(this, &Control::Closing), time);
}

v1::HeartbeatRequest Control::MakeHeartbeat(const std::string& failure) {
  v1::HeartbeatRequest request;
  Identify(options_, &request);
  request.set_waits_for(options_.waits_for());
  request.set_failure(failure);
  absl::MutexLock lock(&mu_);
  request.set_step(step_);
  request.set_steps(steps_);
  for (const auto& [name, value] : values_) {
    v1::NamedValue* named = request.add_values();
    named->set_name(name);
    named->set_value(value);
  }
  return request;
}

void Control::RunLease() {
  pthread_setname_np(pthread_self(), "weir-lease");
  absl::Duration lease = options_.lease;
  absl::Time heard = SteadyNow();
  bool reachable = true;
  while (!Pause(std::min(lease / 3, kReportInterval))) {
    const absl::Time asked = SteadyNow();
    const absl::StatusOr<v1::HeartbeatReply> reply =
        options_.client->Heartbeat(MakeHeartbeat(""), lease / 3);
    if (reply.ok()) {
      if (!reachable) options_.log(LogLevel::kInfo, "the coordinator answers again");
      reachable = true;
      heard = asked;  // the lease counts from before the coordinator heard of us
      if (reply->lease_ms() > 0) lease = absl::Milliseconds(reply->lease_ms());
      if (!reply->stop()) continue;
      return options_.stop(
          Status(StatusCode::kCancelled, absl::StrCat("the job is stopping: ", reply->reason())));
    }
    if (absl::IsCancelled(reply.status())) return;
    if (!Transient(reply.status())) {
      return options_.stop(
          Status(StatusCode::kCancelled,
                 absl::StrCat("the lease is lost: ", std::string(reply.status().message()))));
    }
    if (reachable) options_.log(LogLevel::kWarning, std::string(reply.status().message()));
    reachable = false;
    if (Since(heard) <= lease) continue;
    return options_.stop(
        Status(StatusCode::kCancelled,
               absl::StrCat("the lease is lost: the coordinator was not heard for ",
                            absl::FormatDuration(lease), " (",
                            std::string(reply.status().message()), ")")));
  }
}

// One wait for a layout. On a transient failure the result is kUnavailable and says whom it waits
// for.
Result<Layout> Control::AskLayout(uint64_t newer_than, absl::Duration wait, Status* transient) {
  v1::GetLayoutRequest request;
  Identify(options_, &request);
  request.set_newer_than(newer_than);
  request.set_wait_ms(static_cast<uint32_t>(std::max<int64_t>(1, absl::ToInt64Milliseconds(wait))));
  const absl::StatusOr<v1::GetLayoutReply> reply =
      options_.client->GetLayout(request, wait + kAnswerTime);
  if (!reply.ok()) {
    // ABORTED: another wait of this member took the place of this one.
    if (Transient(reply.status()) || absl::IsAborted(reply.status()))
      *transient = ToStatus(reply.status());
    return ToStatus(reply.status());
  }
  absl::StatusOr<Layout> layout = LayoutFromProto(reply->layout());
  if (!layout.ok()) return Status(StatusCode::kDataLoss, std::string(layout.status().message()));
  return *std::move(layout);
}

void Control::RunLayout() {
  pthread_setname_np(pthread_self(), "weir-layout");
  while (true) {
    uint64_t newer_than = 0;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &Control::MustFetch));
      if (closing_) return;
      newer_than = newer_than_;
    }
    Status transient;
    Result<Layout> layout = AskLayout(newer_than, kLayoutWait, &transient);
    if (layout.ok()) {
      {
        absl::MutexLock lock(&mu_);
        fetching_ = newer_than_ > newer_than;
      }
      options_.layout(std::move(*layout));
      continue;
    }
    if (transient.ok()) {
      if (layout.status().code() == StatusCode::kCancelled) return;
      return options_.stop(layout.status());
    }
    if (Pause(kRetryPause)) return;
  }
}

void Control::FetchLayout(uint64_t newer_than) {
  absl::MutexLock lock(&mu_);
  newer_than_ = newer_than;
  fetching_ = true;
}

Result<Layout> Control::Declare(const std::vector<TensorShape>& tensors, absl::Duration deadline) {
  const absl::Time begin = SteadyNow();
  v1::DeclareRequest request;
  Identify(options_, &request);
  ToProto(tensors, request.mutable_tensors());
  Status waits_for;
  for (bool declared = false; Since(begin) < deadline;) {
    const absl::Duration left = deadline - Since(begin);
    if (!declared) {
      const absl::Status status = options_.client->Declare(request, left).status();
      if (!status.ok() && !Transient(status)) return ToStatus(status);
      declared = status.ok();
      if (!declared) waits_for = ToStatus(status);
    } else {
      Status transient;
      Result<Layout> layout = AskLayout(0, std::min(left, kLayoutWait), &transient);
      if (layout.ok() || transient.ok()) return layout;
      waits_for = transient;
    }
    if (!waits_for.ok() && Pause(std::min(kRetryPause, left)))
      return Status(StatusCode::kCancelled, "the worker was closed");
  }
  return Status(
      StatusCode::kDeadlineExceeded,
      absl::StrCat("no layout within ", absl::FormatDuration(deadline), ": ", waits_for.message()));
}

Status Control::Report(const std::string& name, double value) {
  if (name.empty() || name.size() > kMaxValueNameBytes) {
    return Status(StatusCode::kInvalidArgument,
                  absl::StrCat("a value's name has 1 to ", kMaxValueNameBytes, " bytes"));
  }
  absl::MutexLock lock(&mu_);
  if (values_.count(name) == 0 && values_.size() >= kMaxValues) {
    return Status(StatusCode::kResourceExhausted,
                  absl::StrCat("a worker reports at most ", kMaxValues, " values"));
  }
  values_[name] = value;
  return Status();
}

void Control::Progress(uint64_t step, uint64_t steps) {
  absl::MutexLock lock(&mu_);
  step_ = step;
  steps_ = steps;
}

Status Control::Fail(const std::string& why, absl::Duration deadline) {
  return ToStatus(options_.client->Heartbeat(MakeHeartbeat(why), deadline).status());
}

Status Control::Leave(absl::Duration deadline) {
  const v1::HeartbeatRequest last = MakeHeartbeat("");
  v1::LeaveRequest request;
  Identify(options_, &request);
  request.set_step(last.step());
  request.set_steps(last.steps());
  *request.mutable_values() = last.values();
  return ToStatus(options_.client->Leave(request, deadline));
}

void Control::Close() {
  absl::MutexLock close_lock(&close_mu_);
  if (!lease_thread_.joinable()) return;
  {
    absl::MutexLock lock(&mu_);
    closing_ = true;
  }
  options_.client->Cancel();
  lease_thread_.join();
  layout_thread_.join();
}

}  // namespace weir
