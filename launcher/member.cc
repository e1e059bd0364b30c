// SPDX-License-Identifier: Apache-2.0
#include "launcher/member.h"

#include <tuple>

namespace weir {

const char* MemberRoleName(MemberRole role) {
  switch (role) {
    case MemberRole::kServer:
      return "server";
    case MemberRole::kWorker:
      return "worker";
    case MemberRole::kUnspecified:
      break;
  }
  return "member of unknown role";
}

const char* MemberStateName(MemberState state) {
  switch (state) {
    case MemberState::kExpected:
      return "expected";
    case MemberState::kJoined:
      return "joined";
    case MemberState::kServing:
      return "serving";
    case MemberState::kLeft:
      return "left";
    case MemberState::kLost:
      return "lost";
    case MemberState::kInherited:
      return "lost, its parts inherited";
    case MemberState::kUnspecified:
      break;
  }
  return "unknown";
}

void PushCounts::Add(const PushCounts& o) {
  applied += o.applied;
  stale += o.stale;
  duplicate += o.duplicate;
  overloaded += o.overloaded;
  moved += o.moved;
  invalid += o.invalid;
  fenced += o.fenced;
  examples += o.examples;
}

void SessionCounts::Add(const SessionCounts& o) {
  tcp += o.tcp;
  uds += o.uds;
  shm += o.shm;
}

bool SessionCounts::operator==(const SessionCounts& o) const {
  return tcp == o.tcp && uds == o.uds && shm == o.shm;
}

void PayloadCounts::Add(const PayloadCounts& o) {
  received += o.received;
  received_copied += o.received_copied;
  sent += o.sent;
  sent_copied += o.sent_copied;
}

bool PayloadCounts::operator==(const PayloadCounts& o) const {
  return std::tie(received, received_copied, sent, sent_copied) ==
         std::tie(o.received, o.received_copied, o.sent, o.sent_copied);
}

bool PushCounts::operator==(const PushCounts& o) const {
  return std::tie(applied, stale, duplicate, overloaded, moved, invalid, fenced, examples) ==
         std::tie(o.applied, o.stale, o.duplicate, o.overloaded, o.moved, o.invalid, o.fenced,
                  o.examples);
}

}  // namespace weir
