// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_PS_SHARD_HARNESS_H_
#define WEIR_TESTS_PS_SHARD_HARNESS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "ps/shard.h"

namespace weir {

// A shard in a test's hands: sessions are numbers, time is a variable, answers are kept by session
// and request, and jobs run at once, or when the test says so, in an order drawn from a seed.
// Outbound frames count as taken at once unless told otherwise.
class ShardHarness {
 public:
  struct Options {
    ShardOptions shard;
    std::vector<TensorShape> tensors = {{"w", {64}, {}}};
    uint64_t slice_bytes = 64;  // of 16 elements: "w" has four slices
    uint32_t shards = 1;
    bool install = true;
    std::vector<TensorCodec> codecs = {};  // by tensor; none: f32
  };

  ShardHarness() : ShardHarness(Options()) {}
  explicit ShardHarness(Options options);

  // Installs a layout of `epoch` and runs its jobs.
  absl::Status Install(uint64_t epoch);
  // The same with what a cut holds.
  absl::Status InstallRestored(uint64_t epoch, const ShardRestore& restore);
  // Asks for a cut; says that the one that is out is done.
  absl::Status Cut(uint64_t number);
  void CutDone();

  // Opens a session; with a hello for `worker`, whose answer is taken out.
  uint64_t Open();
  uint64_t Connect(uint64_t worker, uint64_t incarnation = 1, uint64_t nonce = 1,
                   uint32_t lane = 0);
  uint64_t ConnectReader();
  HelloFrame HelloOf(uint64_t worker) const;
  void Disconnect(uint64_t session);
  // Tells the shard who counts.
  void Tell(const Roster& roster);

  // Sends a frame of this kind with the shard's epoch; returns its request id, never used twice.
  uint64_t Send(uint64_t session, decltype(ClientFrame::kind) kind, uint32_t deadline_ms = 0);
  void SendFrame(uint64_t session, ClientFrame frame);

  // Runs the jobs that are out, and those that follow from them; one of those that are out, drawn
  // from the seed.
  void RunJobs();
  bool RunOneJob();
  // Lets time pass and ticks.
  void Pass(absl::Duration time);
  // Says that `session` has taken one frame with `payload_bytes` of payload.
  void Sent(uint64_t session, uint64_t payload_bytes);

  // Drops the answers that nobody has taken out.
  void ForgetAnswers() { answers_.clear(); }
  // Takes out the answers to a request, in order.
  std::vector<ServerFrame> Answers(uint64_t session, uint64_t request);
  // The only answer, of this kind; an empty one, and a failed expectation, when there is none.
  PullReplyFrame PullReply(uint64_t session, uint64_t request);
  PushReplyFrame PushReply(uint64_t session, uint64_t request);
  ErrorReplyFrame ErrorReply(uint64_t session, uint64_t request);
  bool HasAnswer(uint64_t session, uint64_t request) const {
    return answers_.count({session, request}) > 0;
  }
  // How the shard closed the session; OK: it did not.
  absl::Status CloseStatus(uint64_t session) const;

  // A push of slice `slice` whose gradient is `value` everywhere, of one example.
  PushFrame PushOf(uint64_t worker, uint64_t sequence, uint32_t slice, float value);
  // The same with these values.
  PushFrame PushOf(uint64_t worker, uint64_t sequence, uint32_t slice,
                   const std::vector<float>& values);
  // A pull of slice `slice` alone.
  PullFrame PullOf(uint32_t slice, PullCondition condition = PullCondition::kAny,
                   uint64_t version = 0) const;
  // The first weight of the slice as it is now; its version.
  float Weight(uint32_t slice) const;
  uint64_t Version(uint32_t slice) const { return shard.snapshot(slice).version; }
  std::vector<float> Weights(uint32_t slice) const;

  BufferPool pool;
  Shard shard;
  absl::Time now = absl::UnixEpoch();
  bool jobs_run_at_once = true;
  bool frames_are_taken_at_once = true;
  std::mt19937_64 random{1};
  std::vector<Job> jobs;                              // out
  std::vector<std::shared_ptr<const ShardCut>> cuts;  // handed out
  uint64_t last_released = 0;                         // push_bytes_released of the last frame
  uint64_t credit_frames = 0;
  HelloReplyFrame last_hello;  // that Connect took out

 private:
  void Handle(Effects effects);
  absl::StatusOr<Layout> LayoutOf(uint64_t epoch) const;

  const Options options_;
  uint64_t next_session_ = 1;
  uint64_t next_request_ = 1;
  std::map<std::pair<uint64_t, uint64_t>, std::vector<ServerFrame>> answers_;
  std::map<uint64_t, absl::Status> closed_;
};

// Payload bytes as floats.
std::vector<float> Floats(const Payload& payload);

}  // namespace weir

#endif  // WEIR_TESTS_PS_SHARD_HARNESS_H_
