// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/network.h"

#include <algorithm>
#include <utility>

namespace weir::sim {

uint64_t Network::Connect(ClientEnd* client, uint64_t connection, ServerEnd* server, bool faulty) {
  const uint64_t id = next_link_++;
  Link& link = links_[id];
  link.client = client;
  link.connection = connection;
  link.server = server;
  link.window = static_cast<uint32_t>(world_->random.Between(1, 16));
  link.delay = world_->scenario.shortest_delay;
  link.to_server = link.to_client = link.blocked = world_->queue.now();
  if (faulty && world_->random.Chance(3)) {
    world_->Count(Fault::kConnectRefused);
    link.ending = true;
    EndClient(id, NextArrival(link, link.to_client), absl::UnavailableError("connection refused"));
    return id;
  }
  link.to_server = NextArrival(link, link.to_server);
  world_->queue.At(link.to_server, [this, id] {
    Link& opened = links_.at(id);
    if (world_->queue.now() > opened.server_deaf) return;
    opened.server_open = true;
    opened.server->OnOpen(id);
  });
  link.to_client = NextArrival(link, link.to_client);
  world_->queue.At(link.to_client, [this, id] {
    Link& opened = links_.at(id);
    if (opened.client_open && world_->queue.now() <= opened.client_deaf)
      opened.client->Connected(opened.connection);
  });
  return id;
}

absl::Time Network::NextArrival(const Link& link, absl::Time last) {
  const absl::Duration longest = std::max(world_->scenario.longest_delay, link.delay * 2);
  const absl::Duration delay =
      world_->random.Chance(80) ? link.delay : world_->random.Between(link.delay, longest);
  return std::max(
      last, world_->queue.now() + delay + world_->random.Between(absl::ZeroDuration(), link.delay));
}

void Network::SendToServer(uint64_t id, ClientFrame frame) {
  Link& link = links_.at(id);
  if (link.ending) {
    world_->Count(Fault::kRequestLost);
    return;
  }
  link.to_server = NextArrival(link, link.to_server);
  world_->queue.At(link.to_server,
                   [this, id, stamp = next_stamp_++, frame = std::move(frame)]() mutable {
                     Arrive(id, stamp, std::move(frame));
                   });
}

void Network::Arrive(uint64_t id, uint64_t stamp, ClientFrame frame) {
  Link& link = links_.at(id);
  if (!link.server_open || world_->queue.now() > link.server_deaf) {
    world_->Count(Fault::kRequestLost);
    return;
  }
  if (!link.client_open) world_->Count(Fault::kLateFrame);
  uint64_t& newest = newest_stamp_[link.server];
  if (stamp < newest) world_->Count(Fault::kReordered);
  newest = std::max(newest, stamp);
  link.server->OnFrame(id, std::move(frame));
}

void Network::SendToClient(uint64_t id, ServerFrame frame) {
  Link& link = links_.at(id);
  if (!link.server_open) return;
  link.waiting.push_back(std::move(frame));
  Pump(id);
}

void Network::Pump(uint64_t id) {
  Link& link = links_.at(id);
  if (link.taking || link.waiting.empty() || link.in_flight >= link.window || !link.server_open)
    return;
  link.taking = true;
  const absl::Duration wait = world_->random.Between(absl::ZeroDuration(), absl::Microseconds(20));
  world_->queue.At(std::max(world_->queue.now(), link.blocked) + wait, [this, id] { Take(id); });
}

// The transport takes an answer: the shard is told before the client can react to it.
void Network::Take(uint64_t id) {
  Link& link = links_.at(id);
  link.taking = false;
  if (link.waiting.empty() || !link.server_open) return;
  ServerFrame frame = std::move(link.waiting.front());
  link.waiting.pop_front();
  ++link.in_flight;
  link.server->OnSent(id, PayloadBytesOf(frame));
  Travel(id, std::move(frame));
  Pump(id);
}

void Network::Travel(uint64_t id, ServerFrame frame) {
  Link& link = links_.at(id);
  link.to_client = NextArrival(link, link.to_client);
  world_->queue.At(link.to_client, [this, id, frame = std::move(frame)]() mutable {
    Link& at = links_.at(id);
    if (!at.client_open || world_->queue.now() > at.client_deaf) {
      world_->Count(Fault::kAnswerLost);
      Read(id);
      return;
    }
    at.client->Receive(id, at.connection, std::move(frame));
  });
}

void Network::Read(uint64_t id) {
  Link& link = links_.at(id);
  if (link.in_flight > 0) --link.in_flight;
  Pump(id);
}

void Network::Leave(uint64_t id) {
  Link& link = links_.at(id);
  link.client_open = false;
  if (link.ending) return;
  link.ending = true;
  const absl::Time now = world_->queue.now();
  // Mostly all that was sent arrives, then the end.
  if (world_->random.Chance(30))
    link.server_deaf = now + world_->random.Between(absl::ZeroDuration(), link.delay * 4);
  const absl::Duration late = world_->random.Chance(20) ? absl::Seconds(2) : absl::Milliseconds(5);
  EndServer(id, std::max(link.to_server, now) + world_->random.Between(absl::ZeroDuration(), late));
}

void Network::CloseByServer(uint64_t id, const absl::Status& why) {
  Link& link = links_.at(id);
  // What was sent before still goes out.
  while (!link.waiting.empty()) {
    Travel(id, std::move(link.waiting.front()));
    link.waiting.pop_front();
    ++link.in_flight;
  }
  link.ending = true;
  EndServer(id, world_->queue.now() +
                    world_->random.Between(absl::ZeroDuration(), absl::Milliseconds(5)));
  link.to_client = NextArrival(link, link.to_client);
  EndClient(id, link.to_client, why);
}

void Network::Cut(uint64_t id) {
  Link& link = links_.at(id);
  if (link.ending) return;
  world_->Count(Fault::kCut);
  link.ending = true;
  const absl::Time now = world_->queue.now();
  Random& random = world_->random;
  const absl::Duration window = world_->scenario.longest_delay * 2;
  const absl::Duration client_late = random.Chance(20)
                                         ? random.Between(window, absl::Seconds(3))
                                         : random.Between(absl::ZeroDuration(), window);
  const absl::Duration server_late = random.Chance(30)
                                         ? random.Between(window, absl::Seconds(5))
                                         : random.Between(absl::ZeroDuration(), window);
  link.client_deaf = now + random.Between(absl::ZeroDuration(), client_late);
  link.server_deaf = now + random.Between(absl::ZeroDuration(), server_late);
  EndClient(id, now + client_late, absl::UnavailableError("connection reset"));
  EndServer(id, now + server_late);
}

void Network::EndServer(uint64_t id, absl::Time when) {
  world_->queue.At(when, [this, id] {
    Link& link = links_.at(id);
    if (!link.server_open) {
      link.server_deaf = absl::InfinitePast();
      return;
    }
    link.server_open = false;
    link.waiting.clear();
    link.server->OnClosed(id);
  });
}

void Network::EndClient(uint64_t id, absl::Time when, const absl::Status& why) {
  world_->queue.At(when, [this, id, why] {
    Link& link = links_.at(id);
    if (!link.client_open) return;
    link.client_open = false;
    link.client->Disconnected(link.connection, why);
  });
}

void Network::SlowDown(uint64_t id) {
  world_->Count(Fault::kSlow);
  Link& link = links_.at(id);
  link.delay = world_->random.Between(absl::Milliseconds(5), absl::Milliseconds(150));
  world_->queue.After(world_->random.Between(absl::Seconds(1), absl::Seconds(10)),
                      [this, id] { links_.at(id).delay = world_->scenario.shortest_delay; });
}

void Network::StopReading(uint64_t id, absl::Duration time) {
  world_->Count(Fault::kNotReading);
  links_.at(id).blocked = world_->queue.now() + time;
}

std::vector<uint64_t> Network::OpenLinks() const { return OpenLinks(nullptr); }

std::vector<uint64_t> Network::OpenLinks(const ServerEnd* server) const {
  std::vector<uint64_t> open;
  for (const auto& [id, link] : links_) {
    if (link.client_open && link.server_open && !link.ending &&
        (server == nullptr || link.server == server))
      open.push_back(id);
  }
  return open;
}

}  // namespace weir::sim
