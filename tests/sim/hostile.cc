// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/hostile.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir::sim {
namespace {

constexpr uint64_t kStranger = 1000;  // a worker id that the job does not have

Payload Bytes(size_t bytes) {
  auto owner = std::make_shared<std::string>(bytes, '\x3f');
  Payload payload;
  payload.Append(owner->data(), owner->size(), owner);
  return payload;
}

}  // namespace

void Hostile::Connected(uint64_t) {
  const uint64_t variant = world_->random.Below(2 * kHellos);
  unwelcome_ = variant < kWrongHellos;
  Send(Hello(variant));
  for (uint64_t frames = world_->random.Between(1, 6); frames > 0; --frames)
    Send(Frame(world_->random.Below(kFrames)));
}

void Hostile::Disconnected(uint64_t, const absl::Status&) { over_ = true; }

void Hostile::Receive(uint64_t link, uint64_t, ServerFrame frame) {
  network_->Read(link);
  if (!std::holds_alternative<CreditFrame>(frame.kind)) --unanswered_;
  world_->judge.Expect(Promise::kHostile, !unwelcome_,
                       [] { return "a stranger with a wrong hello is answered, not closed"; });
}

void Hostile::CheckQuiet() {
  world_->judge.Expect(Promise::kHostile, over_ || (unanswered_ == 0 && !unwelcome_), [&] {
    return absl::StrCat(unanswered_, " frames of a stranger were not answered");
  });
}

void Hostile::Send(ClientFrame frame) {
  ++unanswered_;
  network_->SendToServer(link_, std::move(frame));
}

// Above kHellos: a right one.
ClientFrame Hostile::Hello(uint64_t variant) {
  const ShardOptions& options = world_->scenario.shard;
  HelloFrame hello;
  hello.job_id = std::string(options.job_id.begin(), options.job_id.end());
  hello.job_token = options.job_token;
  hello.role = SessionRole::kWorker;
  hello.worker_id = kStranger + world_->random.Below(10);
  hello.incarnation = 1;
  hello.session_nonce = 1 + world_->random.Below(1000);
  hello.shard = shard_->shard();
  hello.build_id = "hostile";
  ClientFrame frame;
  frame.request_id = next_request_++;
  frame.epoch = shard_->epoch();
  switch (variant) {
    case 0:
      return Frame(0);
    case 1:
      hello.job_id[0] ^= 1;
      break;
    case 2:
      hello.job_id = "short";
      break;
    case 3:
      hello.job_token += "wrong";
      break;
    case 4:
      hello.protocol_min = hello.protocol_max = kProtocol + 1;
      break;
    case 5:
      hello.shard += 1;
      break;
    case 6:
      hello.role = static_cast<SessionRole>(3);
      break;
    case 7:
      hello.worker_id = 0, hello.incarnation = 0;
      break;  // a predecessor of worker 0
    case 8:
      hello.role = SessionRole::kReader;
      break;
    default:
      break;
  }
  frame.kind = std::move(hello);
  return frame;
}

// A push that would be right, were its sender a worker of the job with something to say.
PushFrame Hostile::GoodPush() {
  PushFrame push;
  push.worker_id = kStranger;
  push.sequence = 1;
  push.atomicity = Atomicity::kSlice;
  push.parts = 1;
  push.examples = 1;
  for (size_t slice = 0; slice < world_->reference.slices(); ++slice) {
    const SliceSpec& spec = world_->reference.spec(slice);
    if (spec.shard != shard_->shard()) continue;
    push.tensor_id = spec.tensor_id;
    push.offset = spec.offset;
    push.count = spec.count;
  }
  push.gradient = Bytes(push.count * sizeof(float));
  return push;
}

ClientFrame Hostile::Frame(uint64_t variant) {
  ClientFrame frame;
  frame.request_id = next_request_++;
  frame.epoch = shard_->epoch();
  PushFrame push = GoodPush();
  PullFrame pull;
  pull.tensor_id = push.tensor_id;
  switch (variant) {
    case 0:
      break;  // no kind
    case 1:
      frame.kind = UnknownFrame{63};
      return frame;
    case 2:
      frame.kind = HelloFrame();
      return frame;  // a second one
    case 3:
      frame.request_id = 0;
      frame.kind = BindFrame();
      return frame;
    case 4:
      frame.kind = BindFrame{{"no such tensor"}};
      return frame;
    case 5:
      pull.tensor_id = 0;
      pull.layer_name = "no such tensor";
      frame.kind = pull;
      return frame;
    case 6:
      pull.offset = std::numeric_limits<uint64_t>::max();
      pull.count = 2;
      frame.kind = pull;
      return frame;
    case 7:
      pull.condition = static_cast<PullCondition>(9);
      frame.kind = pull;
      return frame;
    case 8:
      push.gradient = Bytes(push.gradient.size() + 4);
      break;
    case 9:
      push.step = push.base_version = uint64_t{1} << 60;
      break;
    case 10:
      frame.epoch += 1 + world_->random.Below(3);
      break;
    case 11:
      push.offset += 1;
      break;
    case 12:
      push.learning_rate = -1;
      break;
    default:
      push.codec = static_cast<Codec>(7);
      break;
  }
  if (variant != 0) frame.kind = std::move(push);
  return frame;
}

}  // namespace weir::sim
