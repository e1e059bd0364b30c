// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_WAITING_LIST_H_
#define WEIR_PS_WAITING_LIST_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "net/frame.h"
#include "ps/push_ledger.h"

namespace weir {

// ssp: a read that waits until it is not too far ahead of the slowest.
struct ClockedRead {
  uint64_t clock = 0;              // the reader's, as it says
  std::optional<uint64_t> worker;  // that reads: at no lower clock than it is known to be at
  PullCondition condition = PullCondition::kAny;
  uint64_t version = 0;          // of the condition
  std::vector<uint32_t> slices;  // of a sync
};

// A request of a session: where its answers go.
struct RequestRef {
  uint64_t session = 0;
  uint64_t request_id = 0;
  uint64_t trace_id = 0;
  absl::Time deadline = absl::InfiniteFuture();
  bool by_name = false;      // it named its tensor: so does the answer
  bool want_values = false;  // a push that wants the slice's values with its answer
  bool sole = false;         // a pull of one slice: its answer is the only one
  bool encoded = false;      // it wants values in the tensor's pull codec; else in f32
  bool together = false;     // a sync: its slices are those of one moment
  std::shared_ptr<const ClockedRead> clocked;  // ssp: a pull or sync
};

// The requests that wait for others: reads until a slice has come far enough (to a version; in ssp,
// its slowest worker to a clock), and held pushes for the commit of their step. Each has a
// deadline. A request may wait for many slices (a read), or for one (a push).
//
// Holds references only, no payload; bounded by the sessions' credits. Deterministic; no threads,
// no clock.
class WaitingList {
 public:
  // `request` waits until `slice` has come to `awaited`.
  void AddRead(const RequestRef& request, uint32_t slice, uint64_t awaited);
  // `request` waits until the held push `id` of `slice` is committed. Returns the request that
  // waited for that before, which no longer does.
  std::optional<RequestRef> AddPush(const RequestRef& request, uint32_t slice, const PushId& id);

  struct Read {
    RequestRef request;
    uint64_t awaited = 0;
  };
  // Takes out the reads of `slice` that wait for `reached` or less, by (awaited, order of arrival).
  std::vector<Read> TakeReads(uint32_t slice, uint64_t reached);
  // Whether any read waits for `slice`.
  bool HasRead(uint32_t slice) const;
  // Takes out the request that waits for the held push, if any.
  std::optional<RequestRef> TakePush(uint32_t slice, const PushId& id);

  // A request taken out because its time is over.
  struct Expired {
    RequestRef request;
    uint32_t slice = 0;          // the first of those it still waited for
    std::optional<PushId> push;  // not set: a read
  };
  // Takes out the requests whose deadline is at or before `now`, the earliest first; TakeAll: all
  // of them.
  std::vector<Expired> TakeExpired(absl::Time now);
  std::vector<Expired> TakeAll() { return TakeExpired(absl::InfiniteFuture()); }

  // Takes out the requests of a session that is gone.
  void Drop(uint64_t session);

  // The earliest deadline; InfiniteFuture: none.
  absl::Time NextDeadline() const;
  // Requests that wait.
  size_t size() const { return requests_.size(); }

 private:
  using Key = std::pair<uint64_t, uint64_t>;                 // (session, request id)
  using ReadKey = std::tuple<uint32_t, uint64_t, uint64_t>;  // (slice, awaited, order of arrival)
  using PushKey = std::pair<uint32_t, PushId>;

  struct Waiter {
    RequestRef request;
    std::set<ReadKey> reads;
    std::optional<PushKey> push;
  };

  Waiter& Find(const RequestRef& request);
  // Forgets the waiter, and all that leads to it.
  void Erase(std::map<Key, Waiter>::iterator it);

  uint64_t arrivals_ = 0;
  std::map<Key, Waiter> requests_;
  std::map<ReadKey, Key> reads_;
  std::map<PushKey, Key> pushes_;
  std::set<std::pair<absl::Time, Key>> deadlines_;
};

}  // namespace weir

#endif  // WEIR_PS_WAITING_LIST_H_
