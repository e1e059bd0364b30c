// SPDX-License-Identifier: Apache-2.0
#include "launcher/weight_export.h"

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "core/build_info.h"
#include "core/transport.h"
#include "net/channel.h"
#include "net/completion_loop.h"
#include "net/session_client.h"
#include "net/socket_directory.h"

namespace weir {
namespace {

constexpr uint64_t kMaxBytesInFlight = uint64_t{32} << 20;
constexpr size_t kMaxRequestsInFlight = 64;

// Whoever waits for the weights has nothing else to do: a server that does nothing any more is
// given up within 5 seconds, before its lease ends.
ChannelOptions ReaderChannel() {
  ChannelOptions options;
  options.keepalive_interval = absl::Seconds(2);
  options.keepalive_timeout = absl::Seconds(3);
  return options;
}

// The shard's socket where it can be used, else its address: a reader may be on any host.
std::string AddressOf(const JobStatus& job, uint32_t shard, const std::string& host_key) {
  const ShardAddress& address = job.layout.shard_addresses[shard];
  const absl::StatusOr<std::vector<Route>> routes = PickRoutes(address, Transport::kAuto, host_key);
  if (!routes.ok() || routes->front().transport != Transport::kUds ||
      !CheckSocket(address.uds_path).ok()) {
    return address.address;
  }
  return routes->front().address;
}

// Reads the slices of one shard into `weights`, a window of requests at a time.
//
// Frames come on the loop, one at a time; whoever waits for the end does so on another thread.
// Slices of different shards are different memory, so that readers share `weights` without a lock.
class ShardReader : public SessionClientHandler {
 public:
  ShardReader(const JobStatus& job, const std::string& job_token, const std::string& host_key,
              uint32_t shard, CompletionLoop* loop, Weights* weights)
      : job_(job), shard_(shard), weights_(*weights) {
    for (const SliceSpec& slice : job.layout.slices) {
      if (slice.shard == shard) slices_.push_back(slice);
    }
    client_ = std::make_unique<SessionClient>(
        MakeChannel(AddressOf(job, shard, host_key), ReaderChannel()), loop, this);
    HelloFrame hello;
    hello.job_id = std::string(job.job_id.begin(), job.job_id.end());
    hello.job_token = job_token;
    hello.role = SessionRole::kReader;
    hello.session_nonce = 1;
    hello.shard = shard;
    hello.build_id = BuildId();
    Send(/*request_id=*/1, hello);
  }

  // False at `deadline`.
  bool Await(absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithDeadline(absl::Condition(&ended_), deadline);
  }
  absl::Status status() {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  // After this no frame comes any more.
  void Close() { client_->Close(); }

  void OnFrame(ServerFrame&& frame, size_t) override {
    if (std::holds_alternative<HelloReplyFrame>(frame.kind)) {
      PullMore();
    } else if (const auto* reply = std::get_if<PullReplyFrame>(&frame.kind)) {
      Take(frame.request_id, *reply);
    } else if (const auto* error = std::get_if<ErrorReplyFrame>(&frame.kind)) {
      End(absl::UnavailableError(absl::StrCat("shard ", shard_, " does not give its weights: ",
                                              OutcomeName(error->outcome), ", ", error->reason)));
    }
  }
  void OnClosed(const absl::Status& status) override {
    const std::string who =
        absl::StrCat("shard ", shard_, " at ", job_.layout.shard_addresses[shard_].address);
    End(status.ok() ? absl::UnavailableError(absl::StrCat(who, " ended the session"))
                    : absl::Status(status.code(), absl::StrCat(who, ": ", status.message())));
  }

 private:
  template <typename Kind>
  void Send(uint64_t request_id, Kind kind) {
    ClientFrame frame;
    frame.request_id = request_id;
    frame.epoch = job_.layout.epoch;
    frame.kind = std::move(kind);
    absl::Status sent = client_->Send(std::move(frame));
    if (!sent.ok()) End(sent);
  }

  // Request ids are positions in slices_, after that of the hello.
  static constexpr uint64_t kFirstRequest = 2;

  void PullMore() {
    while (next_ < slices_.size() && in_flight_ < kMaxRequestsInFlight &&
           (in_flight_ == 0 ||
            bytes_in_flight_ + slices_[next_].count * sizeof(float) <= kMaxBytesInFlight)) {
      const SliceSpec& slice = slices_[next_];
      PullFrame pull;
      pull.tensor_id = slice.tensor_id;
      pull.offset = slice.offset;
      pull.count = slice.count;
      ++in_flight_;
      bytes_in_flight_ += slice.count * sizeof(float);
      Send(kFirstRequest + next_++, pull);
    }
    if (in_flight_ == 0) End(absl::OkStatus());
  }

  void Take(uint64_t request_id, const PullReplyFrame& reply) {
    const uint64_t position = request_id - kFirstRequest;
    if (request_id < kFirstRequest || position >= next_ || in_flight_ == 0) {
      return End(
          absl::DataLossError(absl::StrCat("shard ", shard_, " answers what was not asked")));
    }
    const SliceSpec& slice = slices_[position];
    if (reply.tensor_id != slice.tensor_id || reply.offset != slice.offset ||
        reply.count != slice.count || reply.remaining != 0 ||
        reply.tensor_data.size() != slice.count * sizeof(float)) {
      return End(absl::DataLossError(absl::StrCat(
          "shard ", shard_, " sends ", reply.tensor_data.size(), " bytes for tensor ",
          slice.tensor_id, " from ", slice.offset, ", ", slice.count, " elements were asked for")));
    }
    reply.tensor_data.CopyTo(
        reinterpret_cast<char*>(weights_.data(slice.tensor_id - 1) + slice.offset));
    --in_flight_;
    bytes_in_flight_ -= slice.count * sizeof(float);
    PullMore();
  }

  void End(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    status_ = std::move(status);
    ended_ = true;
  }

  const JobStatus& job_;
  const uint32_t shard_;
  Weights& weights_;
  std::vector<SliceSpec> slices_;
  std::unique_ptr<SessionClient> client_;
  // Of the stream's callbacks, which come one at a time.
  size_t next_ = 0;
  size_t in_flight_ = 0;
  uint64_t bytes_in_flight_ = 0;

  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

Weights::Weights(std::vector<TensorShape> tensors) : tensors_(std::move(tensors)) {
  for (const TensorShape& tensor : tensors_) {
    blocks_.push_back(pool_.Allocate(static_cast<size_t>(tensor.count()) * sizeof(float)));
  }
}

std::vector<WeightsView> Weights::Views() const {
  std::vector<WeightsView> views;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    views.push_back({tensors_[i].name, tensors_[i].shape,
                     absl::MakeConstSpan(data(i), static_cast<size_t>(tensors_[i].count()))});
  }
  return views;
}

absl::StatusOr<std::unique_ptr<Weights>> ReadWeights(const JobStatus& job,
                                                     const std::string& job_token,
                                                     const std::string& host_key,
                                                     absl::Duration limit) {
  if (!job.layout_ready)
    return absl::FailedPreconditionError("the job has no layout yet: there are no weights");
  auto weights = std::make_unique<Weights>(job.layout.tensors);
  CompletionLoop loop{CompletionLoop::Options()};
  loop.Start();
  std::vector<std::unique_ptr<ShardReader>> readers;
  for (uint32_t shard = 0; shard < job.layout.shard_addresses.size(); ++shard) {
    readers.push_back(
        std::make_unique<ShardReader>(job, job_token, host_key, shard, &loop, weights.get()));
  }
  const absl::Time deadline = absl::Now() + limit;
  std::vector<std::string> silent;
  absl::Status status;
  for (size_t shard = 0; shard < readers.size(); ++shard) {
    if (!readers[shard]->Await(deadline)) silent.push_back(absl::StrCat(shard));
    status.Update(readers[shard]->status());
  }
  for (auto& reader : readers) reader->Close();
  if (!silent.empty()) {
    status.Update(absl::DeadlineExceededError(
        absl::StrCat("shards that did not give their weights within ", absl::FormatDuration(limit),
                     ": ", absl::StrJoin(silent, ", "))));
  }
  if (!status.ok()) return status;
  return weights;
}

}  // namespace weir
