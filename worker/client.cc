// SPDX-License-Identifier: Apache-2.0
#include "worker/client.h"

#include <utility>

#include "core/payload_decoder.h"
#include "worker/client_core.h"

namespace weir {

void DeliverValues(const DeliverEffect& deliver) {
  float* const to = reinterpret_cast<float*>(deliver.to);
  if (deliver.lent) {
    DecodePayloadToCache(deliver.codec, deliver.payload, deliver.count, to);
  } else {
    DecodePayload(deliver.codec, deliver.payload, deliver.count, to);
  }
}

Client::Core::Core(ClientOptions options, BufferPool* pool)
    : options_(std::move(options)),
      pool_(pool),
      backoff_(options_.seed, options_.min_backoff, options_.max_backoff),
      sequences_(options_.max_tickets),
      encoder_(pool),
      next_nonce_(options_.session_nonce) {}

void Client::Core::Begin(absl::Time now, ClientEffects* effects) {
  now_ = now;
  effects_ = effects;
}

void Client::Core::Finish() {
  PlanWaiting();
  PumpAll();
  effects_ = nullptr;
}

Client::Statistics Client::Core::statistics() const {
  Statistics result = statistics_;
  result.calls = calls_.size();
  result.requests = requests_.size();
  return result;
}

uint64_t Client::Core::DeliveredVersion(uint32_t tensor, uint64_t offset) const {
  const size_t slice = slices_.At(tensor + 1, offset);
  return slice < delivered_.size() && delivered_[slice] != kNever ? delivered_[slice] : 0;
}

Client::Client(ClientOptions options, BufferPool* pool)
    : core_(std::make_unique<Core>(std::move(options), pool)) {}
Client::~Client() = default;

void Client::Pull(uint64_t call, std::vector<TensorPull> tensors, const PullOptions& options,
                  absl::Time now, ClientEffects* effects) {
  ClientCall made;
  made.kind = ClientCallKind::kPull;
  made.pulls = std::move(tensors);
  made.pull_options = options;
  core_->Begin(now, effects);
  core_->Admit(call, std::move(made), options.deadline);
  core_->Finish();
}

void Client::Sync(uint64_t call, std::vector<TensorPull> tensors, const PullOptions& options,
                  absl::Time now, ClientEffects* effects) {
  ClientCall made;
  made.kind = ClientCallKind::kSync;
  made.pulls = std::move(tensors);
  made.pull_options = options;
  core_->Begin(now, effects);
  core_->Admit(call, std::move(made), options.deadline);
  core_->Finish();
}

void Client::Push(uint64_t call, std::vector<TensorPush> tensors,
                  std::vector<std::shared_ptr<const void>> owners, const PushOptions& options,
                  bool want_values, absl::Time now, ClientEffects* effects) {
  ClientCall made;
  made.kind = ClientCallKind::kPush;
  made.pushes = std::move(tensors);
  made.owners = std::move(owners);
  made.push_options = options;
  made.want_values = want_values;
  core_->Begin(now, effects);
  core_->Admit(call, std::move(made), options.deadline);
  core_->Finish();
}

void Client::NewSequence(uint64_t call, Deadline deadline, absl::Time now, ClientEffects* effects) {
  ClientCall made;
  made.kind = ClientCallKind::kNewSequence;
  core_->Begin(now, effects);
  core_->Admit(call, std::move(made), deadline);
  core_->Finish();
}

void Client::PutState(uint64_t call, uint64_t sequence, const std::string& state, Deadline deadline,
                      absl::Time now, ClientEffects* effects) {
  ClientCall made;
  made.kind = ClientCallKind::kPutState;
  made.state = state;
  made.state_sequence = sequence;
  core_->Begin(now, effects);
  core_->Admit(call, std::move(made), deadline);
  core_->Finish();
}

void Client::GetState(uint64_t call, Deadline deadline, absl::Time now, ClientEffects* effects) {
  ClientCall made;
  made.kind = ClientCallKind::kGetState;
  core_->Begin(now, effects);
  core_->Admit(call, std::move(made), deadline);
  core_->Finish();
}

void Client::Leave(uint64_t call, Deadline deadline, absl::Time now, ClientEffects* effects) {
  ClientCall made;
  made.kind = ClientCallKind::kLeave;
  core_->Begin(now, effects);
  core_->Admit(call, std::move(made), deadline);
  core_->Finish();
}

void Client::Cancel(uint64_t call, absl::Time now, ClientEffects* effects) {
  core_->Begin(now, effects);
  core_->Cancel(call);
  core_->Finish();
}

void Client::SetLayout(const Layout& layout, absl::Time now, ClientEffects* effects) {
  core_->Begin(now, effects);
  core_->SetLayout(layout);
  core_->Finish();
}

void Client::Connected(uint64_t connection, absl::Time now, ClientEffects* effects) {
  core_->Begin(now, effects);
  core_->Connected(connection);
  core_->Finish();
}

void Client::Disconnected(uint64_t connection, const absl::Status& why, absl::Time now,
                          ClientEffects* effects) {
  core_->Begin(now, effects);
  core_->Disconnected(connection, why);
  core_->Finish();
}

void Client::Receive(uint64_t connection, ServerFrame frame, absl::Time now,
                     ClientEffects* effects) {
  core_->Begin(now, effects);
  core_->Receive(connection, frame);
  core_->Finish();
}

void Client::Returned(const Loan& loan, absl::Time now, ClientEffects* effects) {
  core_->Begin(now, effects);
  core_->Returned(loan);
  core_->Finish();
}

void Client::Tick(absl::Time now, ClientEffects* effects) {
  core_->Begin(now, effects);
  core_->ExpireCalls();
  core_->TickSessions();
  core_->Finish();
}

absl::Time Client::NextTick() const { return core_->NextTick(); }

void Client::Stop(const Status& why, absl::Time now, ClientEffects* effects) {
  core_->Begin(now, effects);
  core_->Fail(why);
  core_->Finish();
}

Client::Statistics Client::statistics() const { return core_->statistics(); }
uint64_t Client::epoch() const { return core_->epoch(); }
uint64_t Client::DeliveredVersion(uint32_t tensor, uint64_t offset) const {
  return core_->DeliveredVersion(tensor, offset);
}
std::string Client::WaitsFor() const { return core_->WaitsFor(); }

}  // namespace weir
