// SPDX-License-Identifier: Apache-2.0
#include "net/frame.h"

namespace weir {

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kUnspecified:
      return "unspecified";
    case Outcome::kApplied:
      return "applied";
    case Outcome::kStale:
      return "stale";
    case Outcome::kInvalid:
      return "invalid";
    case Outcome::kOverloaded:
      return "overloaded";
    case Outcome::kMoved:
      return "moved";
    case Outcome::kDuplicate:
      return "duplicate";
    case Outcome::kFenced:
      return "fenced";
    case Outcome::kPending:
      return "pending";
  }
  return "unknown";
}

}  // namespace weir
