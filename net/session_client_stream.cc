// SPDX-License-Identifier: Apache-2.0
#include "net/session_client_stream.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "net/byte_buffer.h"
#include "net/frame_batch.h"
#include "net/shm_poller.h"
#include "net/status.h"

namespace weir {
namespace {

constexpr char kMethod[] = "/weir.v1.ParameterService/Session";

// The wire of a frame, whose payload is made now if that is not done.
Payload Complete(OutboundQueue::Entry* entry) {
  if (!entry->make) return std::move(entry->wire);
  const Payload::Chunk& header = entry->wire.chunks()[0];
  Payload wire;
  wire.Append(header.data, header.size, header.owner);
  const Payload payload = entry->make();
  for (const Payload::Chunk& chunk : payload.chunks())
    wire.Append(chunk.data, chunk.size, chunk.owner);
  entry->make = nullptr;
  return wire;
}

// What a lost connection looks like depends on the moment; the caller's next move is one: connect
// again.
absl::Status FromStream(const grpc::Status& status) {
  const absl::Status ended = FromGrpcStatus(status);
  if (absl::IsCancelled(ended)) return absl::UnavailableError("the server broke the session off");
  if (absl::IsUnknown(ended))
    return absl::UnavailableError(absl::StrCat("the session was lost: ", ended.message()));
  return ended;
}

}  // namespace

SessionClient::Stream::Stream(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop,
                              SessionClientHandler* handler, const Options& options)
    : options_(options),
      handler_(handler),
      stub_(std::move(channel)),
      queue_(options.max_queued_frames, options.max_queued_bytes),
      settled_(options.shm == nullptr) {
  stream_ = stub_.PrepareCall(&context_, kMethod, loop->queue());
}

void SessionClient::Stream::Begin() {
  self_ = shared_from_this();
  {
    absl::MutexLock lock(&mu_);
    ++operations_;
  }
  stream_->StartCall(&start_tag_);
}

absl::Status SessionClient::Stream::Send(ClientFrame frame, std::function<Payload()> make) {
  // Batches are between the two ends of the stream: nobody else needs to know of them.
  if (auto* const hello = std::get_if<HelloFrame>(&frame.kind))
    hello->features |= kFeatureBatches | (options_.shm != nullptr ? kFeatureShm : 0);
  // A pull need not wait for the gradients before it: it asks for what is there.
  const bool hurry = std::holds_alternative<PullFrame>(frame.kind);
  const uint64_t payload_bytes = PayloadBytes(frame);
  Payload wire = EncodeFrame(frame);
  if (wire.size() > options_.limits.max_frame_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("a frame of ", wire.size(),
                                                   " bytes; the limit is ",
                                                   options_.limits.max_frame_bytes, " bytes"));
  }
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return absl::UnavailableError("the session has ended");
    if (!queue_.Push(std::move(wire), payload_bytes, hurry, std::move(make))) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the session's queue is full: ", queue_.frames(), " frames wait"));
    }
  }
  Continue();
  return absl::OkStatus();
}

void SessionClient::Stream::AwaitDone() {
  absl::MutexLock lock(&mu_);
  if (closer_ == std::this_thread::get_id()) return;
  mu_.Await(absl::Condition(&done_));
}

SessionClient::Way SessionClient::Stream::way(std::string* why) const {
  absl::MutexLock lock(&mu_);
  *why = why_;
  return way_;
}

void SessionClient::Stream::OnStarted(bool ok) {
  {
    absl::MutexLock lock(&mu_);
    started_ = ok;
    ++operations_;
  }
  stream_->Read(&incoming_, &read_tag_);
  Continue();
  Release();
}

void SessionClient::Stream::OnRead(bool ok) {
  if (ok) {
    if (Receive()) Read();
  } else {
    std::shared_ptr<ShmLink> link;
    {
      absl::MutexLock lock(&mu_);
      ended_ = true;
      queue_.Clear();
      ++operations_;
      link = link_;
    }
    // What the server has sent by it before is still handed on.
    if (link != nullptr) link->Close(absl::UnavailableError("the stream has ended"));
    stream_->Finish(&finish_, &finish_tag_);
  }
  Release();
}

void SessionClient::Stream::OnWritten(bool ok) {
  {
    absl::MutexLock lock(&mu_);
    queue_.Finish();
    if (!ok) {  // the server takes no more; what it has sent before is still read
      ended_ = true;
      queue_.Clear();
    }
  }
  Continue();
  Release();
}

void SessionClient::Stream::OnFinished(bool) {
  {
    absl::MutexLock lock(&mu_);
    finished_ = true;
  }
  Release();
}

void SessionClient::Stream::OnUp() {
  {
    absl::MutexLock lock(&mu_);
    link_is_up_ = true;
    way_ = SessionClient::Way::kShm;
  }
  Settle();
  Read();
}

void SessionClient::Stream::OnWire(Payload&& wire, uint64_t) {
  absl::StatusOr<ServerFrame> frame = DecodeServerFrame(wire, options_.limits);
  if (!frame.ok()) return End(frame.status());
  if (!muted()) handler_->OnFrame(*std::move(frame), wire.size());
}

void SessionClient::Stream::OnClosed(const absl::Status& status) {
  bool was_up, broken;
  {
    absl::MutexLock lock(&mu_);
    was_up = link_is_up_;
    // A server that has gone, or has ended the session, tells so by the stream's end.
    broken = was_up && !absl::IsUnavailable(status) && !absl::IsCancelled(status);
    if (broken || !was_up) {
      way_ = was_up ? SessionClient::Way::kBroken : SessionClient::Way::kNoMemory;
      why_ = std::string(status.message());
    }
    // Also when the server, which was hung up on, has been faster to end the stream.
    if (broken && status_.ok())
      status_ = absl::UnavailableError(absl::StrCat("shared memory failed: ", status.message()));
    if (!was_up) link_ = nullptr;
  }
  if (broken) End(absl::OkStatus());
  if (!was_up) {
    Settle();
    Read();
  }
  Release();
}

void SessionClient::Stream::Read() {
  {
    absl::MutexLock lock(&mu_);
    ++operations_;
  }
  stream_->Read(&incoming_, &read_tag_);
}

bool SessionClient::Stream::Receive() {
  const Payload wire = FromByteBuffer(incoming_);
  incoming_.Clear();
  absl::StatusOr<std::vector<ServerFrame>> frames = DecodeServerFrames(wire, options_.limits);
  if (!frames.ok()) {
    End(frames.status());
    return true;
  }
  if (frames->empty()) return true;
  const auto* const hello = std::get_if<HelloReplyFrame>(&frames->front().kind);
  bool settled;
  {
    absl::MutexLock lock(&mu_);
    if (hello != nullptr) batches_ = (hello->features & kFeatureBatches) != 0;
    settled = settled_;
  }
  const size_t wire_bytes = wire.size() / frames->size();
  if (settled) {
    for (ServerFrame& frame : *frames)
      if (!muted()) handler_->OnFrame(std::move(frame), wire_bytes);
    return true;
  }
  const std::shared_ptr<ShmLink> link = hello == nullptr ? nullptr : OfferLink(*hello);
  for (ServerFrame& frame : *frames) arrived_.push_back(Arrived{std::move(frame), wire_bytes});
  if (link != nullptr) {
    options_.shm->Add(link, this);
    return false;
  }
  Settle();
  return true;
}

void SessionClient::Stream::Settle() {
  {
    absl::MutexLock lock(&mu_);
    settled_ = true;
  }
  for (Arrived& arrived : std::exchange(arrived_, {}))
    if (!muted()) handler_->OnFrame(std::move(arrived.frame), arrived.wire_bytes);
  Continue();
}

std::shared_ptr<ShmLink> SessionClient::Stream::OfferLink(const HelloReplyFrame& hello) {
  ShmKey key;
  if ((hello.features & kFeatureShm) == 0 || hello.shm_key.size() != key.size()) return nullptr;
  std::copy(hello.shm_key.begin(), hello.shm_key.end(), key.begin());
  ShmLink::Options link_options;
  link_options.arena = options_.arena;
  link_options.available_bytes = options_.available_bytes;
  auto link = ShmLink::Offer(hello.shm_socket, key, std::move(link_options));
  absl::MutexLock lock(&mu_);
  if (!link.ok()) {  // the session is as it was
    way_ = SessionClient::Way::kNoMemory;
    why_ = std::string(link.status().message());
    return nullptr;
  }
  if (ended_) return nullptr;
  link_ = *link;
  ++operations_;
  return *link;
}

void SessionClient::Stream::Release() {
  absl::Status last;
  {
    absl::MutexLock lock(&mu_);
    if (--operations_ > 0 || !finished_) return;
    last = status_.ok() ? FromStream(finish_) : status_;
    closer_ = std::this_thread::get_id();
  }
  // The handler may let go of the client, and so of this.
  const std::shared_ptr<Stream> self = std::move(self_);
  handler_->OnClosed(last);
  absl::MutexLock lock(&mu_);
  done_ = true;
  closer_ = std::thread::id();
}

bool SessionClient::Stream::muted() const {
  absl::MutexLock lock(&mu_);
  return muted_;
}

void SessionClient::Stream::End(const absl::Status& reason) {
  std::shared_ptr<ShmLink> link;
  {
    absl::MutexLock lock(&mu_);
    if (!ended_ && status_.ok()) status_ = reason;
    ended_ = true;
    muted_ = true;
    queue_.Clear();
    link = link_;
  }
  if (link != nullptr) link->Close(absl::CancelledError("the session was ended"));
  context_.TryCancel();
}

void SessionClient::Stream::Continue() {
  while (ContinueOnce()) continue;
}

bool SessionClient::Stream::ContinueOnce() {
  std::vector<OutboundQueue::Entry> entries;
  std::shared_ptr<ShmLink> link;
  bool hurry = false;
  {
    absl::MutexLock lock(&mu_);
    if (!started_ || queue_.is_writing() || !queue_.has_waiting()) return false;
    if (!settled_ && greets_) return false;
    greets_ = true;
    link = link_;
    queue_.Start(batches_ && link == nullptr);
    hurry = queue_.writes_in_hurry();
    entries = queue_.TakeWriting();
    if (link == nullptr) ++operations_;
  }
  // Not under the lock, and yet alone: queue_.is_writing() keeps others out until OnWritten.
  std::vector<Payload> wires;
  for (OutboundQueue::Entry& entry : entries) wires.push_back(Complete(&entry));
  if (link == nullptr) {
    stream_->Write(ToByteBuffer(wires.size() == 1 ? wires[0] : BatchEncodedClientFrames(wires)),
                   &write_tag_);
    return false;
  }
  // It says by OnClosed that it has ended.
  const absl::Status sent =
      hurry ? link->SendInHurry(std::move(wires[0]), entries[0].payload_bytes, this)
            : link->Send(std::move(wires[0]), entries[0].payload_bytes, this);
  sent.IgnoreError();
  absl::MutexLock lock(&mu_);
  queue_.Finish();
  return true;
}

}  // namespace weir
