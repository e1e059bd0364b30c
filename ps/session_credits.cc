// SPDX-License-Identifier: Apache-2.0
#include "ps/session_credits.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weir {

absl::Status SessionCredits::Begin(uint64_t request_id) {
  if (request_id == 0) return absl::InvalidArgumentError("a request has the request_id 0");
  if (to_come_ >= limits_.max_requests) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than max_requests = ", limits_.max_requests, " requests in flight"));
  }
  if (IsFlood(1)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(unsent_answers_, " answers wait to be read and more are asked for"));
  }
  if (!requests_.emplace(request_id, Request()).second) {
    return absl::InvalidArgumentError(
        absl::StrCat("request_id ", request_id, " is in flight already"));
  }
  ++to_come_;
  return absl::OkStatus();
}

bool SessionCredits::IsFlood(uint64_t more) const {
  return unsent_answers_ + to_come_ + more > 2 * std::max(limits_.max_requests, widest_);
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
  widest_ = std::max<uint64_t>(widest_, replies);
  const uint64_t more = replies - 1;
  if (more > 0 && requests_.size() > 1 && to_come_ + more > limits_.max_requests) {
    return absl::ResourceExhaustedError(
        absl::StrCat("request ", request_id, " asks for ", replies, " answers beside ",
                     to_come_ - 1, " to come, more than max_requests = ", limits_.max_requests));
  }
  if (IsFlood(more)) {
    return absl::ResourceExhaustedError(absl::StrCat(unsent_answers_,
                                                     " answers wait to be read and request ",
                                                     request_id, " asks for ", replies));
  }
  asked_ += bytes;
  to_come_ += more;
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
  --to_come_;
  return --request.replies;
}

void SessionCredits::End(uint64_t request_id) {
  const auto it = requests_.find(request_id);
  asked_ -= it->second.bytes;
  to_come_ -= it->second.replies;
  requests_.erase(it);
}

void SessionCredits::Queue(uint64_t bytes, bool is_answer) {
  if (bytes == 0) unsent_bare_.push_back(is_answer);
  unsent_answers_ += is_answer ? 1 : 0;
  unsent_bytes_ += bytes;
}

void SessionCredits::Sent(uint64_t bytes) {
  bool is_answer = bytes > 0;
  if (!is_answer) {
    if (unsent_bare_.empty()) return;
    is_answer = unsent_bare_.front();
    unsent_bare_.pop_front();
  }
  unsent_answers_ -= is_answer && unsent_answers_ > 0 ? 1 : 0;
  unsent_bytes_ -= std::min(bytes, unsent_bytes_);
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
