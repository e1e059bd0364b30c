// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_WORKER_TRAIN_HARNESS_H_
#define WEIR_TESTS_WORKER_TRAIN_HARNESS_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "tests/worker/counting_model.h"
#include "tests/worker/local_cluster.h"
#include "tests/worker/plain_loop.h"
#include "weir/train.h"

// The training loop over real clients and shards in one process, against a plain loop.
namespace weir {

inline constexpr uint64_t kSteps = 7;

// A cluster and a run on it, the smallest that say something.
struct RunSetup {
  LocalCluster::Options cluster;
  TrainOptions train;

  RunSetup() {
    cluster.seed = 42;
    cluster.slice_bytes = 256;
    train.steps = kSteps;
    cluster.optimizer.learning_rate = 0.25;
    cluster.schedule.base_rate = 0.25;
  }
  void UseAdamW() {
    cluster.optimizer.type = OptimizerType::kAdamW;
    cluster.optimizer.weight_decay = 0.01;
    cluster.schedule.warmup_steps = 3;
    cluster.schedule.base_rate = cluster.optimizer.learning_rate = 0.03125;
    train.clip_norm = 5;
  }
};

using ModelOf = std::function<std::unique_ptr<CountingModel>()>;

inline std::unique_ptr<CountingModel> MakeModel() { return std::make_unique<CountingModel>(); }

// Every rank in a thread of its own.
inline std::vector<Result<TrainReport>> TrainAll(LocalCluster* cluster, const RunSetup& setup,
                                                 const ModelOf& make = MakeModel) {
  std::vector<Result<TrainReport>> reports(setup.cluster.workers,
                                           Status(StatusCode::kInternal, "did not run"));
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < setup.cluster.workers; ++rank) {
    threads.emplace_back([&, rank] {
      const std::unique_ptr<Worker> worker = cluster->Join(rank);
      const std::unique_ptr<CountingModel> model = make();
      reports[rank] = Train(*worker, *model, setup.train);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return reports;
}

// The weights that the same run has without Weir.
inline PlainLoop::Tensors Plain(const RunSetup& setup, const ModelOf& make = MakeModel) {
  PlainLoop::Options options;
  options.gradient_shards = setup.cluster.gradient_shards;
  options.seed = setup.cluster.seed;
  options.optimizer = setup.cluster.optimizer;
  options.schedule = setup.cluster.schedule;
  options.clip_norm = setup.train.clip_norm;
  const std::unique_ptr<CountingModel> model = make();
  PlainLoop loop(*model, options);
  loop.Run(setup.train.steps);
  return loop.weights();
}

inline bool SameBits(const PlainLoop::Tensors& a, const PlainLoop::Tensors& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].size() != b[i].size() ||
        std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0)
      return false;
  }
  return true;
}

inline void ExpectOk(const std::vector<Result<TrainReport>>& reports) {
  for (const Result<TrainReport>& report : reports)
    ASSERT_TRUE(report.ok()) << report.status().ToString();
}

}  // namespace weir

#endif  // WEIR_TESTS_WORKER_TRAIN_HARNESS_H_
