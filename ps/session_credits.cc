// SPDX-License-Identifier: Apache-2.0
#include "ps/session_credits.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weir {

absl::Status SessionCredits::Begin(uint64_t request_id) {
  if (request_id == 0) return absl::InvalidArgumentError("a request has the request_id 0");
  if (requests_.size() >= limits_.max_requests) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than max_requests = ", limits_.max_requests, " requests in flight"));
  }
  if (unsent_requests_ >= 2 * limits_.max_requests) {
    return absl::ResourceExhaustedError(
        absl::StrCat(unsent_requests_, " answers wait to be read and more are asked for"));
  }
  if (!requests_.emplace(request_id, Request()).second) {
    return absl::InvalidArgumentError(
        absl::StrCat("request_id ", request_id, " is in flight already"));
  }
  return absl::OkStatus();
}

absl::Status SessionCredits::AskFor(uint64_t request_id, uint64_t bytes, uint32_t replies) {
  if (bytes > limits_.max_reply_bytes || asked_ > limits_.max_reply_bytes - bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("request ", request_id, " asks for ", bytes, " bytes beside ", asked_,
                     " in flight, more than max_reply_bytes = ", limits_.max_reply_bytes));
  }
  if (unsent_bytes_ > 2 * limits_.max_reply_bytes - asked_ - bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(unsent_bytes_, " bytes of answers wait to be read and request ", request_id,
                     " asks for ", bytes, " more"));
  }
  asked_ += bytes;
  requests_[request_id] = {bytes, replies};
  return absl::OkStatus();
}

absl::Status SessionCredits::Receive(uint64_t bytes) {
  if (bytes > limits_.max_push_bytes || push_bytes() > limits_.max_push_bytes - bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a push of ", bytes, " bytes beside ", push_bytes(),
                     " not yet released, more than max_push_bytes = ", limits_.max_push_bytes));
  }
  received_ += bytes;
  return absl::OkStatus();
}

uint32_t SessionCredits::Answer(uint64_t request_id, uint64_t bytes) {
  const auto it = requests_.find(request_id);
  Request& request = it->second;
  if (request.replies <= 1) {
    End(request_id);
    return 0;
  }
  bytes = std::min(bytes, request.bytes);
  request.bytes -= bytes;
  asked_ -= bytes;
  return --request.replies;
}

void SessionCredits::End(uint64_t request_id) {
  const auto it = requests_.find(request_id);
  asked_ -= it->second.bytes;
  requests_.erase(it);
}

void SessionCredits::Queue(uint64_t bytes, bool ends_request) {
  unsent_.push_back({bytes, ends_request});
  unsent_requests_ += ends_request ? 1 : 0;
  unsent_bytes_ += bytes;
}

void SessionCredits::Sent() {
  if (unsent_.empty()) return;
  unsent_bytes_ -= unsent_.front().bytes;
  unsent_requests_ -= unsent_.front().ends_request ? 1 : 0;
  unsent_.pop_front();
}

uint64_t SessionCredits::TellReleased() {
  told_ = released_;
  return told_;
}

bool SessionCredits::WantsCredit(uint64_t largest_push) const {
  if (told_ == released_) return false;
  const uint64_t spare =
      std::max(limits_.max_push_bytes / 2, std::min(largest_push, limits_.max_push_bytes));
  return received_ - told_ > limits_.max_push_bytes - spare;
}

}  // namespace weir
