// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_lane.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

absl::Status Failed(absl::string_view what, const Status& status) {
  return absl::InternalError(absl::StrCat(what, ": ", status.ToString()));
}

MutableTensorView ViewOf(absl::Span<float> values) {
  MutableTensorView view;
  view.data = values.data();
  view.count = static_cast<int64_t>(values.size());
  return view;
}

}  // namespace

RestLane::RestLane(RestForm form, RestPlacement placement, RestMemory* memory)
    : placement_(std::move(placement)),
      codec_(MakeRestBodyCodec(form, memory)),
      connections_(placement_.ports.size()),
      versions_(placement_.names.size()),
      body_(memory) {}

absl::StatusOr<std::vector<LanePiece>> RestLane::PushPull(uint32_t tensor,
                                                          absl::Span<const float> gradient,
                                                          absl::Span<float> into) {
  return Exchange(tensor, "POST", codec_->Write(versions_[tensor], gradient), into);
}

absl::StatusOr<std::vector<LanePiece>> RestLane::Pull(uint32_t tensor, absl::Span<float> into) {
  return Exchange(tensor, "GET", "", into);
}

absl::StatusOr<std::vector<LanePiece>> RestLane::Exchange(uint32_t tensor, absl::string_view method,
                                                          absl::string_view body,
                                                          absl::Span<float> into) {
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
  const auto reply = connection->ReceiveReply(&body_);
  if (!reply.ok()) return reply.status();
  if (reply->status != 200) {
    return absl::InternalError(
        absl::StrCat("HTTP ", reply->status, ": ", body_.text().substr(0, 200)));
  }
  if (absl::Status status = codec_->Read(body_, &versions_[tensor], into); !status.ok())
    return status;
  return std::vector<LanePiece>{{0, into.size(), versions_[tensor]}};
}

absl::StatusOr<std::vector<LanePiece>> WeirLane::PushPull(uint32_t tensor,
                                                          absl::Span<const float> gradient,
                                                          absl::Span<float> into) {
  std::vector<TensorPush> push(1);
  push[0].tensor = tensor;
  push[0].gradient.data = gradient.data();
  push[0].gradient.count = static_cast<int64_t>(gradient.size());
  push[0].into = ViewOf(into);
  PushOptions options;
  options.examples = 1;
  const Result<PushResult> pushed = worker_->PushPull(std::move(push), options);
  if (!pushed.ok()) return Failed("push-pull", pushed.status());
  std::vector<LanePiece> pieces;
  for (const SliceOutcome& slice : pushed->slices) {
    if (slice.outcome != PushOutcome::kApplied)
      return absl::InternalError(
          absl::StrCat("push-pull: a slice was not applied: ", pushed->reason));
    pieces.push_back({slice.offset, slice.count, slice.values_version});
  }
  return pieces;
}

absl::StatusOr<std::vector<LanePiece>> WeirLane::Pull(uint32_t tensor, absl::Span<float> into) {
  std::vector<TensorPull> pull(1);
  pull[0].tensor = tensor;
  pull[0].into = ViewOf(into);
  const Result<PullResult> pulled = worker_->Pull(std::move(pull));
  if (!pulled.ok()) return Failed("pull", pulled.status());
  const Result<std::vector<SliceRange>> ranges = worker_->Slices(tensor);
  if (!ranges.ok()) return Failed("slices", ranges.status());
  const std::vector<uint64_t>& versions = pulled->tensors[0].slices;
  if (versions.size() != ranges->size()) return absl::InternalError("pull: not every slice came");
  std::vector<LanePiece> pieces;
  for (size_t i = 0; i < versions.size(); ++i)
    pieces.push_back({(*ranges)[i].offset, (*ranges)[i].count, versions[i]});
  return pieces;
}

}  // namespace weir
