// SPDX-License-Identifier: Apache-2.0
#include "tools/load_echo.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/buffer.h"
#include "net/channel.h"
#include "net/completion_loop.h"
#include "net/session_client.h"
#include "tools/load_memory.h"
#include "tools/load_memory_use.h"
#include "tools/load_pattern.h"
#include "tools/load_pieces.h"
#include "tools/load_profile.h"
#include "tools/load_step.h"
#include "tools/raw_stream_service.h"

namespace weir {
namespace {

// Where what comes back goes. Called on the loop's thread.
class EchoSink {
 public:
  virtual ~EchoSink() = default;
  virtual void OnSlice(const Payload& bytes) = 0;  // in the order in which they were sent
  virtual void OnEnd(const absl::Status& status) = 0;
};

// A way to send a slice.
class EchoWire {
 public:
  virtual ~EchoWire() = default;
  virtual absl::Status Send(const SliceRange& range, Payload bytes) = 0;
};

// Frames over a session.
class SessionWire final : public EchoWire, SessionClientHandler {
 public:
  SessionWire(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop, EchoSink* sink)
      : sink_(sink), client_(std::move(channel), loop, this) {
    ClientFrame hello;
    HelloFrame kind;
    kind.role = SessionRole::kWorker;
    hello.kind = std::move(kind);
    (void)client_.Send(std::move(hello));  // a stream that failed tells so in OnClosed
  }

  absl::Status Send(const SliceRange& range, Payload bytes) override {
    ClientFrame frame;
    frame.request_id = ++requests_;
    PushFrame push;
    push.is_push_pull = push.want_values = true;
    push.tensor_id = range.tensor + 1;
    push.sequence = requests_;
    push.offset = range.offset;
    push.count = range.count;
    push.examples = 1;
    push.codec = Codec::kF32;
    push.atomicity = Atomicity::kSlice;
    push.gradient = std::move(bytes);
    frame.kind = std::move(push);
    return client_.Send(std::move(frame));
  }

 private:
  void OnFrame(ServerFrame&& frame, size_t) override {
    if (const auto* push = std::get_if<PushReplyFrame>(&frame.kind))
      sink_->OnSlice(push->tensor_data);
  }
  void OnClosed(const absl::Status& status) override { sink_->OnEnd(status); }

  EchoSink* const sink_;
  uint64_t requests_ = 0;
  SessionClient client_;
};

// Messages over a stream of gRPC's.
class RawWire final : public EchoWire, RawSink {
 public:
  RawWire(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop, EchoSink* sink)
      : sink_(sink), stream_(OpenRawStream(std::move(channel), loop, this)) {}

  absl::Status Send(const SliceRange&, Payload bytes) override {
    stream_->Send(std::move(bytes));
    return absl::OkStatus();
  }

 private:
  void OnMessage(const Payload& bytes) override { sink_->OnSlice(bytes); }
  void OnEnd(const absl::Status& status) override { sink_->OnEnd(status); }

  EchoSink* const sink_;
  const std::unique_ptr<RawStream> stream_;
};

// The steps of one worker.
class EchoLoad final : public EchoSink {
 public:
  explicit EchoLoad(const LoadProfile& profile)
      : slices_(SlicesOf(profile.tensors)), check_(/*rate=*/-1, Codec::kF32) {
    const uint64_t bytes = static_cast<uint64_t>(profile.parameters()) * sizeof(float);
    const size_t sets = GradientSets(bytes, LastCacheBytes(), kMostGradientBytes);
    report_.gradient_bytes = sets * bytes;
    report_.last_cache_bytes = LastCacheBytes();
    gradients_.resize(sets);
    for (const SliceRange& slice : slices_) {
      for (std::vector<Buffer>& set : gradients_) {
        set.push_back(pool_.Allocate(slice.count * sizeof(float)));
        FillGradient(slice.offset, slice.count, set.back().floats());
      }
      weights_.push_back(pool_.Allocate(slice.count * sizeof(float)));
    }
  }

  // Sends every slice and compares every one that comes back.
  absl::Status Step(EchoWire* wire) {
    const std::vector<Buffer>& gradients = gradients_[step_++ % gradients_.size()];
    {
      absl::MutexLock lock(&mu_);
      arrived_ = 0;
    }
    size_t sent = 0;
    uint64_t on_their_way = 0;
    for (size_t next = 0; next < slices_.size();) {
      if (sent < slices_.size() &&
          (on_their_way == 0 || on_their_way + Bytes(sent) <= kEchoWindowBytes)) {
        on_their_way += Bytes(sent);
        absl::Status status = wire->Send(slices_[sent], Payload(gradients[sent], 0, Bytes(sent)));
        if (!status.ok()) return status;
        ++sent;
        continue;
      }
      if (absl::Status status = Await(next); !status.ok()) return status;
      on_their_way -= Bytes(next);
      Check(next++);
    }
    return absl::OkStatus();
  }

  LoadReport& report() { return report_; }

  void OnSlice(const Payload& bytes) override {
    size_t slice;
    {
      absl::MutexLock lock(&mu_);
      slice = arrived_;
    }
    const bool right = slice < slices_.size() && bytes.size() == Bytes(slice);
    if (right) bytes.CopyTo(weights_[slice].data());
    absl::MutexLock lock(&mu_);
    if (!right && ended_.ok())
      ended_ = absl::DataLossError("the peer's answer has another size than what was sent");
    ++arrived_;
  }
  void OnEnd(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    if (ended_.ok()) {
      ended_ =
          absl::UnavailableError(absl::StrCat("the peer ended the stream: ", status.ToString()));
    }
  }

 private:
  uint64_t Bytes(size_t slice) const { return slices_[slice].count * sizeof(float); }

  absl::Status Await(size_t slice) {
    absl::MutexLock lock(&mu_);
    const auto settled = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return arrived_ > slice || !ended_.ok();
    };
    mu_.Await(absl::Condition(&settled));
    return ended_;
  }

  void Check(size_t slice) {
    report_.wrong += check_.CountWrong(weights_[slice].floats(), slices_[slice].offset,
                                       slices_[slice].count, /*version=*/1);
    report_.checked += slices_[slice].count;
  }

  const std::vector<SliceRange> slices_;
  PatternCheck check_;  // at version 1 with rate -1: the gradient itself
  BufferPool pool_;
  std::vector<std::vector<Buffer>> gradients_;  // by set and slice
  std::vector<Buffer> weights_;  // a slice is written until it has arrived, then read
  uint64_t step_ = 0;
  LoadReport report_;

  absl::Mutex mu_;
  size_t arrived_ ABSL_GUARDED_BY(mu_) = 0;  // slices of this step
  absl::Status ended_ ABSL_GUARDED_BY(mu_);
};

std::unique_ptr<EchoWire> MakeWire(const std::string& mode, const std::string& address,
                                   CompletionLoop* loop, EchoSink* sink) {
  ChannelOptions options;
  options.carries_payloads = true;
  auto channel = MakeChannel(address, options);
  if (mode == "echo") return std::make_unique<SessionWire>(std::move(channel), loop, sink);
  if (mode == "net") return std::make_unique<RawWire>(std::move(channel), loop, sink);
  return nullptr;
}

absl::Status RunSteps(const LoadOptions& options, EchoLoad* load, EchoWire* wire,
                      const LoadMarks& marks) {
  for (uint64_t i = 0; i < options.warmup_steps; ++i) {
    if (absl::Status status = load->Step(wire); !status.ok()) return status;
  }
  marks.begins();
  LoadReport& report = load->report();
  const double cpu = CpuSeconds();
  const double start = LoadNow();
  for (uint64_t i = 0; i < options.steps; ++i) {
    const double begun = LoadNow();
    if (absl::Status status = load->Step(wire); !status.ok()) return status;
    report.steps.Record(static_cast<uint64_t>((LoadNow() - begun) * 1e9));
  }
  report.seconds = LoadNow() - start;
  report.cpu_seconds = CpuSeconds() - cpu;
  report.peak_rss_bytes = PeakRssBytes(0);
  marks.ends();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadReport> RunLoadEcho(const LoadOptions& options, const std::string& address,
                                       const LoadMarks& marks) {
  const auto profile = MakeLoadProfile(options.profile);
  if (!profile.ok()) return profile.status();
  EchoLoad load(*profile);
  const std::unique_ptr<CompletionLoop> loop = MakeClientLoop();
  loop->Start();
  std::unique_ptr<EchoWire> wire = MakeWire(options.mode, address, loop.get(), &load);
  absl::Status status = wire == nullptr
                            ? absl::InvalidArgumentError(absl::StrCat("mode '", options.mode, "'"))
                            : RunSteps(options, &load, wire.get(), marks);
  wire.reset();
  loop->Shutdown();
  if (!status.ok()) return status;
  LoadReport& report = load.report();
  report.moved_bytes =
      2 * options.steps * static_cast<uint64_t>(profile->parameters()) * sizeof(float);
  report.wire_bytes = report.moved_bytes;
  report.bytes_per_second = static_cast<double>(report.moved_bytes) / report.seconds;
  return std::move(report);
}

}  // namespace weir
