// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_LANE_H_
#define WEIR_TOOLS_REST_LANE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tools/rest_body.h"
#include "tools/rest_connection.h"
#include "weir/tensor.h"
#include "weir/worker.h"

namespace weir {

// A part of a tensor that came back at one version.
struct LanePiece {
  uint64_t offset = 0;
  uint64_t count = 0;
  uint64_t version = 0;
  const float* values = nullptr;  // `count` of them, until the lane lets go of them
};

// One request in flight: a lane sends a tensor's gradient, or asks for a tensor, and waits for the
// answer. The systems compared differ in nothing but what stands behind this. Each brings the
// values to memory of its own, as much as the tensor has. Blocking; not thread-safe, one a thread.
class ExchangeLane {
 public:
  virtual ~ExchangeLane() = default;

  // Pushes the gradient of `tensor`, as many elements as it has, and brings its new values. Returns
  // the pieces that came back, which cover it. Any error: the lane is of no more use.
  virtual absl::StatusOr<std::vector<LanePiece>> PushPull(uint32_t tensor,
                                                          absl::Span<const float> gradient) = 0;
  // The same without a push, of a tensor of `count` elements.
  virtual absl::StatusOr<std::vector<LanePiece>> Pull(uint32_t tensor, size_t count) = 0;
  // Lets go of what the last call brought.
  virtual void Release() = 0;
};

// Where the REST comparison's tensors lie.
struct RestPlacement {
  std::vector<std::string> names;  // by tensor
  std::vector<uint32_t> servers;   // by tensor
  std::vector<int> ports;          // by server
};

// Over HTTP: one kept connection to each server, opened when first used.
class RestLane : public ExchangeLane {
 public:
  // `memory` is shared by a process' lanes and outlives them.
  RestLane(RestForm form, RestPlacement placement, RestMemory* memory);

  absl::StatusOr<std::vector<LanePiece>> PushPull(uint32_t tensor,
                                                  absl::Span<const float> gradient) override;
  absl::StatusOr<std::vector<LanePiece>> Pull(uint32_t tensor, size_t count) override;
  void Release() override;

 private:
  absl::StatusOr<std::vector<LanePiece>> Exchange(uint32_t tensor, absl::string_view method,
                                                  absl::string_view body, size_t count);

  const RestPlacement placement_;
  const std::unique_ptr<RestBodyCodec> codec_;
  std::vector<std::unique_ptr<RestConnection>> connections_;  // by server; null: not yet used
  std::vector<uint64_t> versions_;                            // by tensor, that came last
  RestBuffer body_;
  RestBuffer values_;
};

// Over a Worker's calls, which several lanes share. `worker` has declared its tensors. Values are
// lent, and checked where they lie.
class WeirLane : public ExchangeLane {
 public:
  explicit WeirLane(Worker* worker) : worker_(worker) {}

  absl::StatusOr<std::vector<LanePiece>> PushPull(uint32_t tensor,
                                                  absl::Span<const float> gradient) override;
  absl::StatusOr<std::vector<LanePiece>> Pull(uint32_t tensor, size_t count) override;
  void Release() override { lent_.clear(); }

 private:
  std::vector<LanePiece> Take(std::vector<LentSlice> lent);

  Worker* const worker_;
  std::vector<LentSlice> lent_;
};

}  // namespace weir

#endif  // WEIR_TOOLS_REST_LANE_H_
