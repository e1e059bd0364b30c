// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_REFERENCE_H_
#define WEIR_TESTS_SIM_REFERENCE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "core/layout.h"
#include "core/part_tree.h"
#include "net/frame.h"
#include "tests/sim/scenario.h"

namespace weir::sim {

// Names the push of one slice; slices count through the whole layout.
struct PushKey {
  uint64_t worker = 0;
  uint64_t incarnation = 0;
  uint64_t sequence = 0;
  size_t slice = 0;

  friend bool operator<(const PushKey& a, const PushKey& b) {
    return std::tie(a.worker, a.incarnation, a.sequence, a.slice) <
           std::tie(b.worker, b.incarnation, b.sequence, b.slice);
  }
};

// A push of one slice as its worker sent it, and what became of it.
struct SentPush {
  PushKey key;
  uint64_t epoch = 0;
  uint64_t base = 0;
  uint64_t step = 0;
  PartBlock block;
  uint64_t examples = 0;
  double learning_rate = 0;
  bool poison = false;
  std::vector<float> gradient;

  uint64_t received = 0;                  // times, by its shard
  uint64_t applied_version = 0;           // asp; 0: not applied
  Outcome first = Outcome::kUnspecified;  // how it ended, once a shard has said so
};

// Every version of every slice as it must be, computed apart from the servers: one slice at a time,
// with the kernels of core/ called in the order of the definitions. Keeps all versions.
class Reference {
 public:
  explicit Reference(const Scenario& scenario);

  size_t slices() const { return layout_.slices.size(); }
  const SliceSpec& spec(size_t slice) const { return layout_.slices[slice]; }
  // The position of a slice in the layout; slices(): there is none.
  size_t Find(uint32_t tensor_id, uint64_t offset) const;
  size_t SliceBytes(size_t slice) const { return spec(slice).count * sizeof(float); }

  // The first weights of an epoch.
  void Begin(uint64_t epoch, size_t slice);
  // The bits of a version; null: it was not committed.
  const std::vector<float>* At(uint64_t epoch, size_t slice, uint64_t version) const;
  uint64_t newest(uint64_t epoch, size_t slice) const;

  // bsp: the next version, from all parts of its step.
  void CommitStep(uint64_t epoch, size_t slice);
  // asp: the next version, from one push.
  void CommitPush(uint64_t epoch, size_t slice, const SentPush& push);

 private:
  struct History {
    std::vector<std::vector<float>> weights;  // by version
    std::array<std::vector<float>, 2> state;
  };

  History* Of(uint64_t epoch, size_t slice);
  const History* Of(uint64_t epoch, size_t slice) const;
  void Commit(History* history, const std::vector<float>& gradient, uint64_t examples,
              double learning_rate);

  const ShardOptions options_;
  const Layout layout_;
  std::map<std::pair<uint64_t, size_t>, History> histories_;  // by (epoch, slice)
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_REFERENCE_H_
