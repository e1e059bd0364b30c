// SPDX-License-Identifier: Apache-2.0
#include "ps/waiting_list.h"

namespace weir {

WaitingList::Waiter& WaitingList::Find(const RequestRef& request) {
  const Key key(request.session, request.request_id);
  const auto [it, is_new] = requests_.try_emplace(key);
  if (is_new) {
    it->second.request = request;
    deadlines_.emplace(request.deadline, key);
  }
  return it->second;
}

void WaitingList::Erase(std::map<Key, Waiter>::iterator it) {
  const Waiter& waiter = it->second;
  for (const ReadKey& read : waiter.reads) reads_.erase(read);
  if (waiter.push.has_value()) pushes_.erase(*waiter.push);
  deadlines_.erase({waiter.request.deadline, it->first});
  requests_.erase(it);
}

void WaitingList::AddRead(const RequestRef& request, uint32_t slice, uint64_t awaited) {
  const ReadKey read(slice, awaited, arrivals_++);
  Find(request).reads.insert(read);
  reads_.emplace(read, Key(request.session, request.request_id));
}

std::optional<RequestRef> WaitingList::AddPush(const RequestRef& request, uint32_t slice,
                                               const PushId& id) {
  std::optional<RequestRef> previous = TakePush(slice, id);
  Find(request).push = PushKey(slice, id);
  pushes_.emplace(PushKey(slice, id), Key(request.session, request.request_id));
  return previous;
}

std::vector<WaitingList::Read> WaitingList::TakeReads(uint32_t slice, uint64_t reached) {
  std::vector<Read> taken;
  auto it = reads_.lower_bound({slice, 0, 0});
  while (it != reads_.end() && std::get<0>(it->first) == slice &&
         std::get<1>(it->first) <= reached) {
    const auto waiter = requests_.find(it->second);
    taken.push_back({waiter->second.request, std::get<1>(it->first)});
    waiter->second.reads.erase(it->first);
    it = reads_.erase(it);
    if (waiter->second.reads.empty()) Erase(waiter);
  }
  return taken;
}

bool WaitingList::HasRead(uint32_t slice) const {
  const auto it = reads_.lower_bound({slice, 0, 0});
  return it != reads_.end() && std::get<0>(it->first) == slice;
}

std::optional<RequestRef> WaitingList::TakePush(uint32_t slice, const PushId& id) {
  const auto it = pushes_.find({slice, id});
  if (it == pushes_.end()) return std::nullopt;
  const auto waiter = requests_.find(it->second);
  const RequestRef request = waiter->second.request;
  Erase(waiter);
  return request;
}

std::vector<WaitingList::Expired> WaitingList::TakeExpired(absl::Time now) {
  std::vector<Expired> taken;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto it = requests_.find(deadlines_.begin()->second);
    const Waiter& waiter = it->second;
    Expired expired{waiter.request, 0, std::nullopt};
    if (waiter.push.has_value()) {
      expired.slice = waiter.push->first;
      expired.push = waiter.push->second;
    } else {
      expired.slice = std::get<0>(*waiter.reads.begin());
    }
    taken.push_back(expired);
    Erase(it);
  }
  return taken;
}

void WaitingList::Drop(uint64_t session) {
  for (auto it = requests_.lower_bound({session, 0});
       it != requests_.end() && it->first.first == session;)
    Erase(it++);
}

absl::Time WaitingList::NextDeadline() const {
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

}  // namespace weir
