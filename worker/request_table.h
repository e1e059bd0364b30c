// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_REQUEST_TABLE_H_
#define WEIR_WORKER_REQUEST_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "net/frame.h"
#include "worker/credits.h"

namespace weir {

enum class ClientRequestKind { kPull, kSync, kPush, kPutState, kGetState, kLeave };

// One frame of a client's call, from when the call is planned to its answer; see
// worker/client_core.h.
struct ClientRequest {
  enum class State { kQueued, kDelayed, kSent, kParked };
  uint64_t call = 0;
  size_t index = 0;  // in ClientCall::requests
  bool orphan = false;
  ClientRequestKind kind = ClientRequestKind::kPull;
  State state = State::kQueued;
  size_t shard = 0;
  size_t order = 0;  // the slice: first layers first
  size_t piece = 0;  // pull, push
  // kPull: what it asks for. A pull that follows a push asks for `step` or the newest.
  PullCondition condition = PullCondition::kAny;
  uint64_t version = 0;
  uint64_t sequence = 0;      // push
  std::set<size_t> answered;  // kSync: slices, since it was last sent
  CreditNeed need;
  bool has_overtaken = false;  // sent before others of its shard that waited for credit
  absl::Time due;              // kDelayed
  uint32_t refused = 0;        // times OVERLOADED
};

// A client's requests by name, a number above 0 that is never used twice. Every slice of every step
// goes through it, so requests lie in slots that are used again and again instead of in nodes of a
// tree. References stay valid until their request is erased.
//
// Deterministic: nothing depends on the order of the hash table. Memory: the most requests that
// there were at a time since Clear.
class RequestTable {
 public:
  size_t size() const { return slot_of_.size(); }

  // Null: there is none of that name.
  ClientRequest* Find(uint64_t name) {
    const auto at = slot_of_.find(name);
    return at == slot_of_.end() ? nullptr : &slots_[at->second].request;
  }
  // REQUIRES: there is one of that name.
  ClientRequest& at(uint64_t name) { return slots_[slot_of_.at(name)].request; }
  const ClientRequest& at(uint64_t name) const { return slots_[slot_of_.at(name)].request; }

  // REQUIRES: the name is above 0 and new.
  ClientRequest& Add(uint64_t name, ClientRequest request) {
    if (free_.empty()) {
      free_.push_back(slots_.size());
      slots_.emplace_back();
    }
    const size_t slot = free_.back();
    free_.pop_back();
    slot_of_.emplace(name, slot);
    slots_[slot].name = name;
    slots_[slot].request = std::move(request);
    return slots_[slot].request;
  }

  // REQUIRES: there is one of that name.
  void Erase(uint64_t name) {
    const auto at = slot_of_.find(name);
    slots_[at->second].name = 0;
    free_.push_back(at->second);
    slot_of_.erase(at);
  }

  void Clear() {
    slots_.clear();
    free_.clear();
    slot_of_.clear();
  }

  // Calls f(name, request) for each, in no order that means anything.
  template <typename F>
  void ForEach(F f) const {
    for (const Slot& slot : slots_) {
      if (slot.name != 0) f(slot.name, slot.request);
    }
  }

 private:
  struct Slot {
    uint64_t name = 0;  // 0: free
    ClientRequest request;
  };
  std::deque<Slot> slots_;
  std::vector<size_t> free_;  // slots
  absl::flat_hash_map<uint64_t, size_t> slot_of_;
};

}  // namespace weir

#endif  // WEIR_WORKER_REQUEST_TABLE_H_
