// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_WEIGHT_EXPORT_H_
#define WEIR_LAUNCHER_WEIGHT_EXPORT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/buffer.h"
#include "core/layout.h"
#include "core/safetensors.h"
#include "launcher/member.h"

namespace weir {

// The weights of a whole model, as read from its servers.
class Weights {
 public:
  explicit Weights(std::vector<TensorShape> tensors);
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  const std::vector<TensorShape>& tensors() const { return tensors_; }
  // Of the tensor at `position`, all its elements; 64-byte aligned.
  float* data(size_t position) const { return blocks_[position].floats(); }
  // In the order of tensors(); they borrow from this object.
  std::vector<WeightsView> Views() const;

 private:
  std::vector<TensorShape> tensors_;
  BufferPool pool_;
  std::vector<Buffer> blocks_;
};

// Reads every slice of the job's layout from its servers, each whole and of one version, through
// sessions that only read: over the Unix sockets of servers on the host `host_key`, this process's,
// else over TCP. A cut when nobody pushes any more. Blocks, at most `limit`:
// DEADLINE_EXCEEDED naming the shards that did not answer. FAILED_PRECONDITION: the job has no
// layout yet. UNAVAILABLE, DATA_LOSS: a server is gone, or sent what does not fit.
absl::StatusOr<std::unique_ptr<Weights>> ReadWeights(const JobStatus& job,
                                                     const std::string& job_token,
                                                     const std::string& host_key,
                                                     absl::Duration limit);

}  // namespace weir

#endif  // WEIR_LAUNCHER_WEIGHT_EXPORT_H_
