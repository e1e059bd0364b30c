// SPDX-License-Identifier: Apache-2.0
#include "ps/bsp_policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weir {
namespace {

constexpr size_t kRangesNamed = 8;  // of the parts that a sentence lists

std::string RangeName(PartBlock range) {
  if (range.parts == 1) return absl::StrCat("part ", range.first);
  return absl::StrCat("parts ", range.first, " to ", range.first + range.parts - 1);
}

// The ranges that `block` and what is held have in common.
std::string HeldWithin(const PartTree& tree, PartBlock block) {
  std::vector<std::string> names;
  for (const PartBlock& held : tree.held()) {
    const uint32_t first = std::max(held.first, block.first);
    const uint32_t end = std::min(held.first + held.parts, block.first + block.parts);
    if (first < end && names.size() < kRangesNamed)
      names.push_back(RangeName({first, end - first}));
  }
  return absl::StrJoin(names, ", ");
}

Admission Invalid(uint64_t version, std::string reason) {
  return {Admission::Kind::kInvalid, Outcome::kUnspecified, version, std::move(reason)};
}

}  // namespace

BspPolicy::BspPolicy(uint32_t gradient_shards, size_t slices)
    : gradient_shards_(gradient_shards),
      open_(slices, OpenStep(gradient_shards)),
      holders_(gradient_shards) {}

Admission BspPolicy::Admit(uint32_t slice, uint64_t version, const PushTerms& push) const {
  if (!IsBlock(push.block, gradient_shards_)) {
    return Invalid(
        version,
        absl::StrCat("first part ", push.block.first, " with ", push.block.parts,
                     " parts is not a block of the tree over ", gradient_shards_, " parts"));
  }
  if (push.step > version) {
    return Invalid(version, absl::StrCat("step ", push.step,
                                         " is ahead of the slice, which collects step ", version));
  }
  if (push.step < version)
    return {Admission::Kind::kDuplicate, Outcome::kApplied, push.step + 1, ""};
  return AdmitOpen(open_[slice], version, push);
}

Admission BspPolicy::AdmitOpen(const OpenStep& open, uint64_t version,
                               const PushTerms& push) const {
  for (const PushTerms& held : open.pushes) {
    if (held.id == push.id) return {Admission::Kind::kAttach, Outcome::kPending, version, ""};
  }
  const PartTree::Verdict verdict = open.tree.Look(push.block);
  if (verdict == PartTree::Verdict::kHeld) {
    return {Admission::Kind::kDuplicate, Outcome::kPending, version,
            absl::StrCat("step ", version, " holds ", RangeName(push.block),
                         " already, from another push")};
  }
  if (verdict == PartTree::Verdict::kPartly) {
    return Invalid(
        version,
        absl::StrCat("step ", version, " holds ", HeldWithin(open.tree, push.block), " of ",
                     RangeName(push.block), " already: push the others on their own"));
  }
  if (push.base_version != push.step) {
    return {Admission::Kind::kStale, Outcome::kUnspecified, version,
            absl::StrCat("step ", push.step, " reads version ", push.step, ", not ",
                         push.base_version)};
  }
  return {};
}

FoldPlan BspPolicy::Plan(uint32_t slice, const PushTerms& push) const {
  const OpenStep& open = open_[slice];
  FoldPlan plan;
  PartBlock block = push.block;
  while (block.parts < gradient_shards_) {
    const PartBlock sibling = SiblingBlock(block, gradient_shards_);
    const std::vector<PartBlock>& held = open.tree.held();
    if (std::find(held.begin(), held.end(), sibling) == held.end()) return plan;
    const auto sum = open.sums.find(sibling.first);
    const bool is_left = sibling.first < block.first;
    if (sum != open.sums.end()) plan.addends.push_back({sum->second, is_left});
    block = {std::min(block.first, sibling.first), block.parts + sibling.parts};
  }
  plan.complete = true;
  plan.examples = open.examples + push.examples;
  plan.learning_rate = push.block.first == 0 ? push.learning_rate : open.learning_rate;
  return plan;
}

std::vector<PushTerms> BspPolicy::Take(uint32_t slice, const PushTerms& push, const FoldPlan& plan,
                                       Buffer sum) {
  OpenStep& open = open_[slice];
  for (uint32_t part = push.block.first; part < push.block.first + push.block.parts; ++part) {
    holders_[part] = {true, push.id.worker};
  }
  open.pushes.push_back(push);
  std::vector<PushTerms> committed;
  if (plan.complete) {
    committed = std::move(open.pushes);
    open.tree.Clear();
    open.sums.clear();
    open.pushes.clear();
    open.examples = 0;
    open.learning_rate = 0;
    return committed;
  }
  std::vector<PartMerge> merges;
  open.tree.Add(push.block, &merges);
  for (const PartMerge& merge : merges) {
    open.sums.erase(merge.left.first);
    open.sums.erase(merge.right.first);
  }
  const uint32_t first = merges.empty() ? push.block.first : merges.back().parent.first;
  if (sum) open.sums[first] = std::move(sum);
  open.examples += push.examples;
  if (push.block.first == 0) open.learning_rate = push.learning_rate;
  return committed;
}

std::string BspPolicy::WaitsFor(uint32_t slice, uint64_t version) const {
  std::vector<std::string> names;
  for (const PartBlock& range : open_[slice].tree.Missing()) {
    for (uint32_t first = range.first; first < range.first + range.parts;) {
      uint32_t end = first + 1;  // behind the parts that one worker has held
      const Holder& holder = holders_[first];
      while (end < range.first + range.parts && holders_[end].known == holder.known &&
             holders_[end].worker == holder.worker) {
        ++end;
      }
      names.push_back(absl::StrCat(RangeName({first, end - first}),
                                   holder.known
                                       ? absl::StrCat(" (last held by worker ", holder.worker, ")")
                                       : std::string(" (never seen)")));
      first = end;
      if (names.size() == kRangesNamed) break;
    }
    if (names.size() == kRangesNamed) {
      names.push_back("...");
      break;
    }
  }
  return absl::StrCat("step ", version, " waits for ", absl::StrJoin(names, ", "));
}

}  // namespace weir
