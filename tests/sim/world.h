// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_WORLD_H_
#define WEIR_TESTS_SIM_WORLD_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "tests/sim/event_queue.h"
#include "tests/sim/judge.h"
#include "tests/sim/random.h"
#include "tests/sim/reference.h"
#include "tests/sim/scenario.h"
#include "tests/sim/totals.h"
#include "tests/sim/trace.h"

namespace weir::sim {

// What all parts of one simulation share: the clock, the chance, what is counted and checked. One
// thread; nothing in it depends on an address.
struct World {
  World(const Scenario& drawn, Trace::Lines lines)
      : scenario(drawn),
        random(Mix(drawn.seed, 2)),
        trace(lines),
        judge(&totals),
        reference(drawn) {}

  void Note(const char* what, std::initializer_list<Trace::Field> fields,
            const std::string& note = "") {
    trace.Event(queue.micros(), what, fields, note);
  }
  void Count(Fault fault) { ++totals.of(fault); }

  // An honest worker sends a push for the first time.
  void AddPush(SentPush push) {
    const PushKey key = push.key;
    push_of_bits[{key.slice, HashOf(push.gradient.data(), push.gradient.size() * sizeof(float))}] =
        key;
    pushes.emplace(key, std::move(push));
  }
  SentPush* FindPush(const PushKey& key) {
    const auto at = pushes.find(key);
    return at == pushes.end() ? nullptr : &at->second;
  }
  static uint64_t HashOf(const void* data, size_t bytes) {
    Trace bits(Trace::Lines::kNone);
    bits.Bits(data, bytes);
    return bits.hash();
  }

  const Scenario scenario;
  EventQueue queue;
  Random random;
  Trace trace;
  Totals totals;
  Judge judge;
  Reference reference;
  std::map<PushKey, SentPush> pushes;                           // every push of an honest worker
  std::map<std::pair<size_t, uint64_t>, PushKey> push_of_bits;  // asp: by slice and gradient
  uint64_t newest_epoch = 1;                                    // published
  uint32_t shards_behind = 0;                                   // that have not installed it
  // Set once enough has happened: workers finish. bsp: at the same step.
  bool finishing = false;
  std::map<uint64_t, uint64_t> furthest_step;  // by epoch: that any worker has begun
  std::map<uint64_t, uint64_t> last_step;      // by epoch, once finishing: not begun any more
  bool poison_wanted = false;                  // by the next push
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_WORLD_H_
