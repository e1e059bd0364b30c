// SPDX-License-Identifier: Apache-2.0
#include "net/session_stream.h"

#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "net/byte_buffer.h"
#include "net/frame_batch.h"
#include "net/status.h"

namespace weir {

void SessionHost::Stream::Begin(SessionId id) {
  id_ = id;
  over_socket_ = absl::StartsWith(context_.peer(), "fd:");  // as ServerHost hands it to gRPC
  Read();
}

void SessionHost::Stream::Refuse(SessionId id, const absl::Status& status) {
  id_ = id;
  refused_ = true;
  Close(status);
}

void SessionHost::Stream::Send(ServerFrame frame) {
  const size_t max_bytes = core_->options().limits.max_frame_bytes;
  auto* const hello_reply = std::get_if<HelloReplyFrame>(&frame.kind);
  if (hello_reply != nullptr) Answer(hello_reply);
  Payload wire = EncodeFrame(frame);
  if (wire.size() > max_bytes) {
    return Close(absl::InternalError(absl::StrCat(
        "an answer of ", wire.size(), " bytes exceeds the ", max_bytes, " bytes of a frame")));
  }
  const size_t payload_bytes = PayloadBytes(frame);
  bool queued, worker_enters;
  {
    absl::MutexLock lock(&mu_);
    if (closing_) return;
    worker_enters = is_worker_ && hello_reply != nullptr;
    queued = queue_.Push(std::move(wire), payload_bytes, frame.hurry);
  }
  if (!queued) {
    return Break(
        absl::ResourceExhaustedError("the session does not read its answers: its queue is full"));
  }
  if (worker_enters) core_->CountWorker(over_socket_);
  Continue();
}

void SessionHost::Stream::Close(const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (closing_) return;
    closing_ = true;
    status_ = status;
  }
  Continue();
}

void SessionHost::Stream::Break(const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (!closing_) status_ = status;
    closing_ = true;
    abandoned_ = true;
    queue_.Clear();
    if (writes_stream_) context_.TryCancel();
  }
  Continue();
}

void SessionHost::Stream::Tick(absl::Time now) {
  const absl::Status late = Late(now);
  if (late.ok()) return;
  if (absl::IsDeadlineExceeded(late)) return Close(late);
  Break(late);
}

void SessionHost::Stream::AddTo(SessionHost::Statistics* statistics) const {
  absl::MutexLock lock(&mu_);
  statistics->queued_frames += queue_.frames();
  statistics->queued_bytes += queue_.bytes();
}

void SessionHost::Stream::AddSentTo(SessionHost::Statistics* statistics) const {
  absl::MutexLock lock(&mu_);
  statistics->payload_sent_bytes += sent_bytes_;
  statistics->payload_sent_copied_bytes += sent_copied_bytes_;
  if (link_ == nullptr) return;
  const ShmOutbound::Statistics link = link_->sent();
  statistics->payload_sent_bytes += link.described_bytes + link.copied_bytes;
  statistics->payload_sent_copied_bytes += link.copied_bytes;
}

void SessionHost::Stream::OnRead(bool ok) {
  const bool moved = has_moved();
  absl::Status status;
  if (ok && moved)
    status = absl::InvalidArgumentError("a frame by the stream of a session in shared memory");
  if (ok && !moved) status = Receive();
  // Not OK: a frame that cannot be served. No read: the client has ended the stream, or is gone.
  if (!ok || !status.ok()) {
    if (!ok || moved) Abandon();
    Close(status);
  } else if (!closing()) {
    Read();
  }
  Release();
}

void SessionHost::Stream::OnWritten(bool ok) {
  std::vector<uint64_t> payloads;
  SessionHandler* handler;
  {
    absl::MutexLock lock(&mu_);
    for (const OutboundQueue::Entry& entry : queue_.writing())
      payloads.push_back(entry.payload_bytes);
    handler = handler_;
  }
  // While the frames still count as being written: nobody writes the next ones meanwhile.
  if (ok && handler != nullptr) {
    for (const uint64_t bytes : payloads) handler->OnSent(id_, bytes);
  }
  {
    absl::MutexLock lock(&mu_);
    written_ += payloads.size();
    writes_stream_ = false;
    queue_.Finish();
    if (!ok) {  // the connection is lost: nothing more can be written
      closing_ = true;
      queue_.Clear();
    }
  }
  Continue();
  Release();
}

bool SessionHost::Stream::MoveTo(std::shared_ptr<ShmLink> link) {
  absl::MutexLock lock(&mu_);
  if (closing_ || link_ != nullptr) return false;
  link_ = std::move(link);
  ++operations_;
  if (is_worker_) core_->CountMove();
  return true;
}

void SessionHost::Stream::OnWire(Payload&& wire, uint64_t) {
  const absl::Status status = closing() ? absl::OkStatus() : Receive(wire);
  if (!status.ok()) Close(status);
}

void SessionHost::Stream::OnSent(uint64_t payload_bytes) {
  SessionHandler* handler;
  {
    absl::MutexLock lock(&mu_);
    handler = handler_;
  }
  handler->OnSent(id_, payload_bytes);
  if (closing()) Continue();
}

void SessionHost::Stream::OnClosed(const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    link_ended_ = true;
  }
  // Ended by the client, or for what it did. A stream that has ended first has its own status.
  Close(absl::IsUnavailable(status) || absl::IsCancelled(status) ? absl::OkStatus() : status);
  Continue();
  Release();
}

bool SessionHost::Stream::client_batches() const {
  absl::MutexLock lock(&mu_);
  return batches_;
}

bool SessionHost::Stream::closing() const {
  absl::MutexLock lock(&mu_);
  return closing_;
}

bool SessionHost::Stream::has_moved() const {
  absl::MutexLock lock(&mu_);
  return link_ != nullptr;
}

void SessionHost::Stream::Abandon() {
  {
    absl::MutexLock lock(&mu_);
    abandoned_ = true;
  }
  Continue();
}

void SessionHost::Stream::Read() {
  {
    absl::MutexLock lock(&mu_);
    ++operations_;
  }
  stream_.Read(&incoming_, &read_tag_);
}

void SessionHost::Stream::Release() {
  SessionHandler* handler;
  {
    absl::MutexLock lock(&mu_);
    if (--operations_ > 0 || !finished_) return;
    handler = handler_;
  }
  if (handler != nullptr) handler->OnClosed(id_);
  core_->Remove(id_);  // the last reference, unless someone is looking at it just now
}

void SessionHost::Stream::Answer(HelloReplyFrame* reply) {
  bool invite;
  {
    absl::MutexLock lock(&mu_);
    if (batches_) reply->features |= kFeatureBatches;
    invite = wants_shm_ && over_socket_ && !closing_;
    wants_shm_ = false;  // one invitation
  }
  ShmHost* const shm = core_->options().shm;
  if (!invite || shm == nullptr) return;
  const absl::StatusOr<ShmKey> key = shm->Invite(
      [core = core_, id = id_](auto link) { return core->Welcome(id, std::move(link)); });
  if (!key.ok()) return;  // the session stays on its stream
  reply->features |= kFeatureShm;
  reply->shm_socket = shm->path();
  reply->shm_key.assign(key->begin(), key->end());
  {
    absl::MutexLock lock(&mu_);
    if (!finished_) {
      shm_key_ = *key;
      return;
    }
  }
  shm->Withdraw(*key);
}

absl::Status SessionHost::Stream::Receive() {
  const Payload wire = FromByteBuffer(incoming_);
  incoming_.Clear();
  return Receive(wire);
}

absl::Status SessionHost::Stream::Receive(const Payload& wire) {
  absl::StatusOr<std::vector<ClientFrame>> frames =
      DecodeClientFrames(wire, core_->options().limits);
  if (!frames.ok()) return frames.status();
  if (frames->size() > 1 && !client_batches())
    return absl::InvalidArgumentError("a batch in a session that has not said it sends them");
  for (ClientFrame& frame : *frames) {
    const absl::Status status = Deliver(std::move(frame), wire.size() / frames->size());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SessionHost::Stream::Deliver(ClientFrame&& frame, size_t wire_bytes) {
  SessionHandler* handler;
  bool shared;
  {
    absl::MutexLock lock(&mu_);
    if (closing_) return absl::OkStatus();
    handler = handler_;
    shared = link_ != nullptr;
  }
  if (handler == nullptr) {
    const auto* hello = std::get_if<HelloFrame>(&frame.kind);
    if (hello == nullptr) {
      return absl::FailedPreconditionError(
          "the first frame of a session must be a hello; this one is another");
    }
    const absl::StatusOr<SessionHandler*> found = core_->HandlerOf(hello->shard);
    if (!found.ok()) return found.status();
    handler = *found;
    {
      absl::MutexLock lock(&mu_);
      handler_ = handler;
      is_worker_ = hello->role == SessionRole::kWorker;
      batches_ = (hello->features & kFeatureBatches) != 0;
      wants_shm_ = (hello->features & kFeatureShm) != 0;
    }
    handler->OnOpen(id_, context_.peer());
  }
  if (shared) {
    handler->OnSharedFrame(id_, std::move(frame), wire_bytes);
  } else {
    handler->OnFrame(id_, std::move(frame), wire_bytes);
  }
  return absl::OkStatus();
}

void SessionHost::Stream::Continue() {
  while (ContinueOnce()) continue;
}

bool SessionHost::Stream::ContinueOnce() {
  std::vector<Payload> wires;
  std::shared_ptr<ShmLink> link;
  uint64_t payload_bytes = 0;
  bool hurry = false;
  absl::optional<grpc::Status> last;
  absl::optional<ShmKey> key;
  {
    absl::MutexLock lock(&mu_);
    if (finished_ || queue_.is_writing()) return false;
    link = link_;
    if (queue_.has_waiting()) {
      queue_.Start(batches_ && link == nullptr);
      hurry = queue_.writes_in_hurry();
      writes_stream_ = link == nullptr;
      payload_bytes = queue_.writing().front().payload_bytes;
      for (OutboundQueue::Entry& entry : queue_.writing()) {
        if (writes_stream_) {
          sent_bytes_ += entry.payload_bytes;
          sent_copied_bytes_ += CopiedPayloadBytes(entry.wire);
        }
        wires.push_back(std::move(entry.wire));
      }
    } else if (closing_ && (link == nullptr || link_ended_ || abandoned_ || link->Drain())) {
      finished_ = true;
      last = ToGrpcStatus(status_);
      key = shm_key_;
    } else {
      return false;
    }
    if (last || link == nullptr) ++operations_;
  }
  // Not under the lock, and yet alone: queue_.is_writing() keeps others out until OnWritten,
  // finished_ for ever.
  if (last) {
    if (key) core_->options().shm->Withdraw(*key);
    // What the link has taken is still read by the client.
    if (link != nullptr) link->Close(absl::UnavailableError("the session has ended"));
    stream_.Finish(*last, &finish_tag_);
    return false;
  }
  if (link == nullptr) {
    stream_.Write(ToByteBuffer(wires.size() == 1 ? wires[0] : BatchEncodedServerFrames(wires)),
                  &write_tag_);
    return false;
  }
  // It says by OnClosed that it has ended.
  const absl::Status sent = hurry ? link->SendInHurry(std::move(wires[0]), payload_bytes, this)
                                  : link->Send(std::move(wires[0]), payload_bytes, this);
  sent.IgnoreError();
  absl::MutexLock lock(&mu_);
  queue_.Finish();
  return true;
}

absl::Status SessionHost::Stream::Late(absl::Time now) {
  const SessionHost::Options& options = core_->options();
  absl::MutexLock lock(&mu_);
  if (handler_ == nullptr && !closing_ && Expired(now, options.hello_timeout, &hello_deadline_)) {
    return absl::DeadlineExceededError(
        absl::StrCat("no hello within ", absl::FormatDuration(options.hello_timeout)));
  }
  if (closing_ && !finished_ && Expired(now, options.write_timeout, &close_deadline_)) {
    return absl::ResourceExhaustedError("the session was closed and its last answers are not read");
  }
  const bool idle = queue_.idle() && (link_ == nullptr || !link_->waiting());
  const uint64_t progress = written_ + (link_ == nullptr ? 0 : link_->progress());
  if (idle || progress != progress_before_) write_deadline_ = absl::InfiniteFuture();
  progress_before_ = progress;
  if (!idle && Expired(now, options.write_timeout, &write_deadline_)) {
    return absl::ResourceExhaustedError(absl::StrCat("the session has not read an answer for ",
                                                     absl::FormatDuration(options.write_timeout)));
  }
  return absl::OkStatus();
}

bool SessionHost::Stream::Expired(absl::Time now, absl::Duration timeout, absl::Time* deadline) {
  if (*deadline == absl::InfiniteFuture()) *deadline = now + timeout;
  return now >= *deadline;
}

}  // namespace weir
