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
}

void SessionCounts::Add(const SessionCounts& o) {
  tcp += o.tcp;
  uds += o.uds;
  shm += o.shm;
}

bool SessionCounts::operator==(const SessionCounts& o) const {
  return tcp == o.tcp && uds == o.uds && shm == o.shm;
}

bool PushCounts::operator==(const PushCounts& o) const {
  return std::tie(applied, stale, duplicate, overloaded, moved, invalid, fenced) ==
         std::tie(o.applied, o.stale, o.duplicate, o.overloaded, o.moved, o.invalid, o.fenced);
}

}  // namespace weir
