// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_lane.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

absl::Status Failed(absl::string_view what, const Status& status) {
  return absl::InternalError(absl::StrCat(what, ": ", status.ToString()));
}

}  // namespace

RestLane::RestLane(RestForm form, RestPlacement placement, RestMemory* memory)
    : placement_(std::move(placement)),
      codec_(MakeRestBodyCodec(form, memory)),
      connections_(placement_.ports.size()),
      versions_(placement_.names.size()),
      body_(memory),
      values_(memory) {}

absl::StatusOr<std::vector<LanePiece>> RestLane::PushPull(uint32_t tensor,
                                                          absl::Span<const float> gradient) {
  return Exchange(tensor, "POST", codec_->Write(versions_[tensor], gradient), gradient.size());
}

absl::StatusOr<std::vector<LanePiece>> RestLane::Pull(uint32_t tensor, size_t count) {
  return Exchange(tensor, "GET", "", count);
}

void RestLane::Release() {
  body_.Release();
  values_.Release();
}

absl::StatusOr<std::vector<LanePiece>> RestLane::Exchange(uint32_t tensor, absl::string_view method,
                                                          absl::string_view body, size_t count) {
  const uint32_t server = placement_.servers[tensor];
  std::unique_ptr<RestConnection>& connection = connections_[server];
  if (connection == nullptr) {
    auto connected = RestConnection::Connect(placement_.ports[server]);
    if (!connected.ok()) return connected.status();
    connection = *std::move(connected);
  }
  const std::string head =
      HttpRequest(method, absl::StrCat("/v1/tensors/", placement_.names[tensor]),
                  absl::StrCat("127.0.0.1:", placement_.ports[server]), body.size());
  if (absl::Status status = connection->Send(head, body); !status.ok()) return status;
  codec_->Release();
  const auto reply = connection->ReceiveReply(&body_);
  if (!reply.ok()) return reply.status();
  if (reply->status != 200) {
    return absl::InternalError(
        absl::StrCat("HTTP ", reply->status, ": ", body_.text().substr(0, 200)));
  }
  values_.Resize(count * sizeof(float));
  auto* const values = reinterpret_cast<float*>(values_.data());
  absl::Status status = codec_->Read(body_, &versions_[tensor], absl::MakeSpan(values, count));
  if (!status.ok()) return status;
  return std::vector<LanePiece>{{0, count, versions_[tensor], values}};
}

std::vector<LanePiece> WeirLane::Take(std::vector<LentSlice> lent) {
  lent_ = std::move(lent);
  std::vector<LanePiece> pieces;
  for (const LentSlice& slice : lent_)
    pieces.push_back({slice.offset, slice.count, slice.version, slice.values});
  return pieces;
}

absl::StatusOr<std::vector<LanePiece>> WeirLane::PushPull(uint32_t tensor,
                                                          absl::Span<const float> gradient) {
  std::vector<TensorPush> push(1);
  push[0].tensor = tensor;
  push[0].gradient.data = gradient.data();
  push[0].gradient.count = static_cast<int64_t>(gradient.size());
  PushOptions options;
  options.examples = 1;
  Result<PushResult> pushed = worker_->PushPull(std::move(push), options);
  if (!pushed.ok()) return Failed("push-pull", pushed.status());
  if (pushed->tally.applied != pushed->tally.total()) {
    return absl::InternalError(
        absl::StrCat("push-pull: a slice was not applied: ", pushed->reason));
  }
  return Take(std::move(pushed->lent));
}

absl::StatusOr<std::vector<LanePiece>> WeirLane::Pull(uint32_t tensor, size_t /*count*/) {
  std::vector<TensorPull> pull(1);
  pull[0].tensor = tensor;
  Result<PullResult> pulled = worker_->Pull(std::move(pull));
  if (!pulled.ok()) return Failed("pull", pulled.status());
  return Take(std::move(pulled->lent));
}

}  // namespace weir
