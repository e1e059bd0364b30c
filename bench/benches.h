// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_BENCH_BENCHES_H_
#define WEIR_BENCH_BENCHES_H_

#include <memory>
#include <vector>

#include "bench/arrays.h"
#include "bench/measured.h"

// What is measured, a file each: adds its measurements and their limits to `all`.
namespace weir::bench {

// Every optimizer's update of a model, a slice at a time, written beside the old, as a shard does.
void AddOptimizers(const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all);

// Encoding and decoding a model in each codec.
void AddCodecs(const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all);

// Writing and reading frames and batches of them. The limit is a copy of the same bytes, which a
// frame that borrows its payload beats.
void AddFrames(std::vector<Measured>* all);

// The slice store's look-ups and commits, beside touching as many cache lines whose place is known;
// and a shard's whole job for a received push, beside a triad.
void AddStore(const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all);

}  // namespace weir::bench

#endif  // WEIR_BENCH_BENCHES_H_
