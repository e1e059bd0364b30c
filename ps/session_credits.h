// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_SESSION_CREDITS_H_
#define WEIR_PS_SESSION_CREDITS_H_

#include <cstdint>
#include <deque>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

namespace weir {

// The bounds of one session; see Credits in proto/weir/v1/parameter_service.proto.
struct CreditLimits {
  uint64_t max_requests = 0;
  uint64_t max_push_bytes = 0;
  uint64_t max_reply_bytes = 0;
};

// What one session has in flight, and whether that is within its credit.
//
// Three separate bounds: requests, pushed payload, payload asked for. A request is in flight until
// its last answer is queued; the client cannot have fewer in flight than that, so a client that
// counts is never closed. A request with several answers counts as many requests as it has answers
// to come; alone it may have any number. Answers queued and not yet taken by the transport are
// bounded too, with as much again, since the client may have read an answer before we are told that
// it was taken; so no session has more than 2 * max(max_requests, the answers of its widest
// request) of them, payload or not. RESOURCE_EXHAUSTED, a sentence: the frame is beyond a credit,
// and the session must be closed.
//
// The transport does not take frames in the order in which they are queued: small answers overtake
// others, and shared memory is done with a payload when the client lets go of it. So it tells how
// much payload the frame had. Those without any are taken to go in order, though some may overtake
// bare credit frames, which are no answers: until these have gone too, as many answers fewer count
// as taken.
//
// Deterministic; no threads. Memory: one entry a request in flight and one a frame without payload
// that is not taken.
class SessionCredits {
 public:
  explicit SessionCredits(const CreditLimits& limits) : limits_(limits) {}

  // What the client is told, with the answer to its hello.
  void SetMaxRequests(uint64_t max_requests) { limits_.max_requests = max_requests; }
  uint64_t max_requests() const { return limits_.max_requests; }

  // A request has arrived. INVALID_ARGUMENT: its id is 0, or that of a request in flight; the
  // session must be closed.
  absl::Status Begin(uint64_t request_id);
  // It asks for `bytes` of payload, in `replies` answers. REQUIRES: it is in flight, this is called
  // at most once for it, and replies >= 1.
  absl::Status AskFor(uint64_t request_id, uint64_t bytes, uint32_t replies);
  // Pushed payload has arrived.
  absl::Status Receive(uint64_t bytes);
  // Pushed payload has been taken over by the shard, or dropped.
  void Release(uint64_t bytes) { released_ += bytes; }

  bool InFlight(uint64_t request_id) const { return requests_.contains(request_id); }
  // One answer is queued, which settles `bytes` of what was asked for. Returns how many are still
  // to come; with 0 the request is no longer in flight. REQUIRES: it is in flight.
  uint32_t Answer(uint64_t request_id, uint64_t bytes);
  // The request is ended by this answer, whatever was still to come. REQUIRES: it is in flight.
  void End(uint64_t request_id);

  // A frame with `bytes` of payload is queued, an answer or, without payload, a bare credit frame;
  // one with `bytes` of payload has been taken by the transport.
  void Queue(uint64_t bytes, bool is_answer);
  void Sent(uint64_t bytes);
  bool has_unsent() const { return unsent_answers_ > 0 || !unsent_bare_.empty(); }

  // The running total for the next frame, which counts as told.
  uint64_t TellReleased();
  // Whether a bare credit frame is due: there is something to tell, and by what it was told so far
  // the client may be about to run out; `largest_push` is the most that one frame of it can hold.
  bool WantsCredit(uint64_t largest_push) const;

  uint64_t requests() const { return requests_.size(); }
  uint64_t push_bytes() const { return received_ - released_; }
  uint64_t reply_bytes() const { return asked_; }

 private:
  struct Request {
    uint64_t bytes = 0;  // asked for and not settled
    uint32_t replies = 1;
  };
  // Whether `more` answers beside those to come and those unread are more than a client that counts
  // can have.
  bool IsFlood(uint64_t more) const;

  CreditLimits limits_;
  absl::flat_hash_map<uint64_t, Request> requests_;  // looked up only
  uint64_t to_come_ = 0;                             // answers, of all requests in flight
  uint64_t widest_ = 1;                              // the most answers one request ever had
  uint64_t asked_ = 0;                               // payload, of all requests in flight
  uint64_t received_ = 0;                            // pushed payload, running totals
  uint64_t released_ = 0;
  uint64_t told_ = 0;
  // Of the frames queued and not taken.
  uint64_t unsent_answers_ = 0;
  uint64_t unsent_bytes_ = 0;
  std::deque<bool> unsent_bare_;  // those without payload, in order: whether it is an answer
};

}  // namespace weir

#endif  // WEIR_PS_SESSION_CREDITS_H_
