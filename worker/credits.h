// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_CREDITS_H_
#define WEIR_WORKER_CREDITS_H_

#include <algorithm>
#include <cstdint>

namespace weir {

// What a request takes of a session's credits.
struct CreditNeed {
  uint64_t requests = 1;  // as many as it has answers
  uint64_t push_bytes = 0;
  uint64_t reply_bytes = 0;
};

// The client's count of one session's three credits: requests in flight, reply bytes asked for, and
// pushed bytes that the shard has not yet taken over. A request that is alone in flight may have
// any number of answers. Starts with nothing to spend. Deterministic.
class Credits {
 public:
  void SetLimits(uint64_t max_requests, uint64_t max_push_bytes, uint64_t max_reply_bytes) {
    max_requests_ = max_requests;
    max_push_bytes_ = max_push_bytes;
    max_reply_bytes_ = max_reply_bytes;
  }

  // False: no session state would let it through.
  bool CanHold(const CreditNeed& need) const {
    return max_requests_ > 0 && need.reply_bytes <= max_reply_bytes_ &&
           need.push_bytes <= max_push_bytes_;
  }
  bool Fits(const CreditNeed& need) const {
    const bool few =
        requests_ == 0 ? max_requests_ > 0 : requests_ + need.requests <= max_requests_;
    return few && reply_bytes_ + lent_bytes_ + need.reply_bytes <= max_reply_bytes_ &&
           pushed_bytes_ - released_bytes_ + need.push_bytes <= max_push_bytes_;
  }
  // Were only `few` in flight, `need` would fit as far as its answers go.
  bool LeavesRoom(const CreditNeed& few, const CreditNeed& need) const {
    return few.requests + need.requests <= max_requests_ &&
           few.reply_bytes + need.reply_bytes <= max_reply_bytes_;
  }
  // REQUIRES: Fits(need).
  void Take(const CreditNeed& need) {
    requests_ += need.requests;
    reply_bytes_ += need.reply_bytes;
    pushed_bytes_ += need.push_bytes;
  }
  // The request has been answered.
  void Answered(const CreditNeed& need) {
    requests_ -= need.requests;
    reply_bytes_ -= need.reply_bytes;
  }
  // Of an answer, values that the caller has been lent: they count until they are returned.
  void Lend(uint64_t bytes) { lent_bytes_ += bytes; }
  void Returned(uint64_t bytes) { lent_bytes_ -= std::min(lent_bytes_, bytes); }
  // The shard's running total; one that goes back, or beyond what was sent, is cut to what can be
  // true.
  void Released(uint64_t total) {
    released_bytes_ = std::min(pushed_bytes_, std::max(released_bytes_, total));
  }

  // A new session with the same limits.
  void Reset() { requests_ = reply_bytes_ = lent_bytes_ = pushed_bytes_ = released_bytes_ = 0; }

  uint64_t max_requests() const { return max_requests_; }
  uint64_t max_push_bytes() const { return max_push_bytes_; }
  uint64_t max_reply_bytes() const { return max_reply_bytes_; }

 private:
  uint64_t max_requests_ = 0;
  uint64_t max_push_bytes_ = 0;
  uint64_t max_reply_bytes_ = 0;
  uint64_t requests_ = 0;
  uint64_t reply_bytes_ = 0;
  uint64_t lent_bytes_ = 0;
  uint64_t pushed_bytes_ = 0;
  uint64_t released_bytes_ = 0;
};

}  // namespace weir

#endif  // WEIR_WORKER_CREDITS_H_
