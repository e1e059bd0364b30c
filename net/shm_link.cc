// SPDX-License-Identifier: Apache-2.0
#include "net/shm_link.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

// Of one link, before the poller looks after the others, and after sockets.
constexpr size_t kFramesAtOnce = 64;
constexpr int kMessagesAtOnce = 64;

ShmOutbound::Limits OutboundLimits(const ShmLink::Options& options) {
  ShmOutbound::Limits limits;
  limits.max_frame_bytes = options.max_frame_bytes;
  limits.max_queued_frames = options.max_queued_frames;
  limits.max_queued_bytes = options.max_queued_bytes;
  return limits;
}

ShmInbound::Limits InboundLimits(const ShmLink::Options& options) {
  ShmInbound::Limits limits;
  limits.max_frame_bytes = options.max_frame_bytes;
  limits.max_segment_bytes = options.max_peer_bytes;
  return limits;
}

}  // namespace

absl::StatusOr<std::shared_ptr<ShmLink>> ShmLink::Offer(const std::string& path, const ShmKey& key,
                                                        Options options) {
  const ShmGeometry geometry = options.geometry;
  absl::Status status = CheckGeometry(geometry, options.max_frame_bytes);
  if (!status.ok()) return status;
  absl::StatusOr<std::shared_ptr<ShmSegment>> rings =
      ShmSegment::Create(geometry.segment_bytes(), SegmentAccess::kBoth, options.available_bytes());
  if (!rings.ok()) return rings.status();
  absl::StatusOr<ShmFd> socket = ConnectHandover(path);
  if (!socket.ok()) return socket.status();
  HandoverMessage offer;
  offer.kind = HandoverKind::kOffer;
  offer.key = key;
  offer.geometry = geometry;
  status = SendHandover(socket->get(), offer, (*rings)->fd());
  if (!status.ok()) return status;
  auto doorbell =
      std::make_shared<ShmDoorbell>(*std::move(socket), *std::move(rings), ShmSide::kServer);
  return std::shared_ptr<ShmLink>(
      new ShmLink(ShmSide::kClient, std::move(doorbell), geometry, std::move(options)));
}

absl::StatusOr<std::shared_ptr<ShmLink>> ShmLink::Accept(ShmListener::Offer offer,
                                                         Options options) {
  const ShmGeometry geometry = offer.message.geometry;
  absl::Status status = CheckGeometry(geometry, options.max_frame_bytes);
  if (!status.ok()) return status;
  ShmSegment::Expected expected;
  expected.access = SegmentAccess::kBoth;
  expected.bytes = geometry.segment_bytes();
  expected.max_bytes = geometry.segment_bytes();
  absl::StatusOr<std::shared_ptr<ShmSegment>> rings =
      ShmSegment::Adopt(std::move(offer.segment), expected);
  if (!rings.ok()) return rings.status();
  HandoverMessage accept;
  accept.kind = HandoverKind::kAccept;
  status = SendHandover(offer.socket.get(), accept, /*descriptor=*/-1);
  if (!status.ok()) return status;
  auto doorbell =
      std::make_shared<ShmDoorbell>(std::move(offer.socket), *std::move(rings), ShmSide::kClient);
  return std::shared_ptr<ShmLink>(
      new ShmLink(ShmSide::kServer, std::move(doorbell), geometry, std::move(options)));
}

ShmLink::ShmLink(ShmSide side, std::shared_ptr<const ShmDoorbell> doorbell,
                 const ShmGeometry& geometry, Options options)
    : options_(std::move(options)),
      doorbell_(std::move(doorbell)),
      flags_(FlagsOf(doorbell_->rings()->data(), side)),
      outbound_(DirectionOf(doorbell_->rings()->data(), geometry, side), flags_.starved,
                options_.arena, OutboundLimits(options_)),
      inbound_(DirectionOf(doorbell_->rings()->data(), geometry, Other(side)), doorbell_,
               InboundLimits(options_)),
      up_(side == ShmSide::kServer) {}

ShmLink::~ShmLink() { doorbell_->HangUp(); }

absl::Status ShmLink::SendFrame(Payload wire, uint64_t payload_bytes, bool hurry,
                                ShmLinkHandler* handler) {
  ShmOutbound::Outcome outcome;
  absl::Status status = outbound_.Send(std::move(wire), payload_bytes, hurry, &outcome);
  if (status.ok()) status = Carry(&outcome, handler);
  if (!status.ok()) Close(status);
  return status;
}

void ShmLink::Close(const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_.ok()) ended_ = status.ok() ? absl::CancelledError("the link was closed") : status;
  }
  doorbell_->HangUp();  // which wakes both pollers
}

absl::StatusOr<bool> ShmLink::Poll(ShmLinkHandler* handler) {
  bool worked = false;
  if (outbound_.HasWork()) {
    worked = true;
    ShmOutbound::Outcome outcome;
    absl::Status status = outbound_.Advance(&outcome);
    if (status.ok()) status = Carry(&outcome, handler);
    if (!status.ok()) return status;
  }
  if (!up_ && inbound_.HasNext()) {  // the peer has said that it is, before it sent a frame
    const absl::Status status = ReadSocket(handler);
    if (!status.ok()) return status;
  }
  const absl::StatusOr<bool> handed_on = HandOn(handler);
  if (!handed_on.ok()) return handed_on.status();
  return worked || *handed_on;
}

absl::Status ShmLink::ReadAhead() {
  if (!inbound_.HasNext() || ahead_.full()) return absl::OkStatus();
  if (!up_) return absl::InvalidArgumentError("shared memory: a frame came before the link was up");
  absl::Status status = absl::OkStatus();
  while (status.ok() && !ahead_.full()) {
    absl::StatusOr<absl::optional<ShmInbound::Frame>> frame = inbound_.Next();
    status = frame.status();
    if (!frame.ok() || !*frame) break;
    ahead_.Push(**std::move(frame));
  }
  inbound_.Publish();
  return status;
}

// Looks at the ring between any two frames: one in a hurry may have come while the last was dealt
// with.
absl::StatusOr<bool> ShmLink::HandOn(ShmLinkHandler* handler) {
  size_t count = 0;
  for (; count < kFramesAtOnce; ++count) {
    if (ahead_broke_.ok()) ahead_broke_ = ReadAhead();
    absl::optional<ShmInbound::Frame> frame = ahead_.Take();
    if (!frame && !ahead_broke_.ok()) return ahead_broke_;
    if (!frame) break;
    handler->OnWire(std::move(frame->wire), frame->payload_bytes);
  }
  return count > 0;
}

// No more than the ring can hold: the peer may still be writing.
void ShmLink::ReadLastFrames(ShmLinkHandler* handler) {
  while (absl::optional<ShmInbound::Frame> frame = ahead_.Take()) {
    if (frame->lent) return;
    handler->OnWire(std::move(frame->wire), frame->payload_bytes);
  }
  if (!ahead_broke_.ok()) return;
  for (size_t i = 0; i < ShmGeometry::kMaxRingBytes / sizeof(RecordHead) && up_; ++i) {
    absl::StatusOr<absl::optional<ShmInbound::Frame>> frame = inbound_.Next();
    if (!frame.ok() || !*frame || (*frame)->lent) return;
    handler->OnWire(std::move((*frame)->wire), (*frame)->payload_bytes);
  }
}

absl::Status ShmLink::ReadSocket(ShmLinkHandler* handler) {
  for (int i = 0; i < kMessagesAtOnce; ++i) {
    absl::StatusOr<ReceivedHandover> received = ReceiveHandover(socket());
    if (absl::IsNotFound(received.status())) return absl::OkStatus();
    if (!received.ok()) return received.status();
    const absl::Status status = Handle(*std::move(received), handler);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ShmLink::Handle(ReceivedHandover received, ShmLinkHandler* handler) {
  const HandoverMessage& message = received.message;
  switch (message.kind) {
    case HandoverKind::kBell:
      return absl::OkStatus();
    case HandoverKind::kAccept:
      if (up_) break;
      up_ = true;
      handler->OnUp();
      return absl::OkStatus();
    case HandoverKind::kTaken:
    case HandoverKind::kRefused:
      return outbound_.Answered(message.segment, message.kind == HandoverKind::kTaken);
    case HandoverKind::kSegment: {
      const absl::Status status =
          inbound_.AddSegment(message.segment, message.bytes, std::move(received.descriptor));
      if (absl::IsInvalidArgument(status)) return status;
      HandoverMessage answer;
      answer.kind = status.ok() ? HandoverKind::kTaken : HandoverKind::kRefused;
      answer.segment = message.segment;
      return SendHandover(socket(), answer, /*descriptor=*/-1);
    }
    case HandoverKind::kOffer:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("shared memory: a message of kind ",
                                                 static_cast<uint32_t>(message.kind),
                                                 " where it has no place"));
}

absl::Status ShmLink::Carry(ShmOutbound::Outcome* outcome, ShmLinkHandler* handler) {
  if (outcome->wrote) doorbell_->Ring();
  outcome->dropped.clear();
  for (const uint64_t payload_bytes : outcome->sent) handler->OnSent(payload_bytes);
  for (const uint32_t segment : outcome->to_hand_over) {
    const absl::Status status = HandOver(segment);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ShmLink::HandOver(uint32_t segment) {
  HandoverMessage message;
  message.kind = HandoverKind::kSegment;
  message.segment = segment;
  message.bytes = options_.arena->segment(segment)->size();
  return SendHandover(socket(), message, options_.arena->segment(segment)->fd());
}

bool ShmLink::PrepareSleep() {
  flags_.sleeping->store(1);
  return ahead_.empty() && !inbound_.HasNext() && !outbound_.HasWork();
}

void ShmLink::Wake() { flags_.sleeping->store(0, std::memory_order_relaxed); }

absl::Status ShmLink::Finish(const absl::Status& status, ShmLinkHandler* handler) {
  absl::Status last = status;
  {
    absl::MutexLock lock(&mu_);
    if (!ended_.ok()) last = ended_;
  }
  if (absl::IsUnavailable(last)) ReadLastFrames(handler);
  ahead_ = ShmReadAhead();
  doorbell_->HangUp();
  ShmOutbound::Outcome outcome;
  outbound_.Close(&outcome);
  return last;
}

}  // namespace weir
