// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_FRAME_H_
#define WEIR_NET_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/codec.h"
#include "core/layout.h"
#include "core/payload.h"

namespace weir {

// The frames of a session as the logic sees them: plain values, one struct a kind, in the words of
// proto/weir/v1/parameter_service.proto, whose comments are the contract. net/frame_codec.h takes
// them to and from the wire.

constexpr uint32_t kProtocol = 1;  // the one this build speaks

constexpr size_t kMaxBatchFrames = 4096;

// Bits of HelloFrame::features and HelloReplyFrame::features.
constexpr uint64_t kFeatureBatches = uint64_t{1} << 0;
constexpr uint64_t kFeatureShm = uint64_t{1} << 1;

using JobId = std::array<uint8_t, 16>;

// Values are those of weir.v1.Outcome.
enum class Outcome : uint8_t {
  kUnspecified = 0,
  kApplied = 1,
  kStale = 2,
  kInvalid = 3,
  kOverloaded = 4,
  kMoved = 5,
  kDuplicate = 6,
  kFenced = 7,
  kPending = 8,
};
const char* OutcomeName(Outcome outcome);  // "applied", "stale" ...

enum class SessionRole : uint8_t { kUnspecified = 0, kWorker = 1, kReader = 2 };
enum class PullCondition : uint8_t { kAny = 0, kHave = 1, kExpect = 2, kStep = 3 };
enum class Atomicity : uint8_t { kUnspecified = 0, kAll = 1, kSlice = 2 };

// A value that the wire carried and this build does not know keeps its number, so that it can be
// refused by name: the enums above may hold numbers beyond their enumerators.

struct HelloFrame {
  uint32_t protocol_min = kProtocol;
  uint32_t protocol_max = kProtocol;
  uint64_t features = 0;
  std::string job_id;  // 16 bytes when right
  std::string job_token;
  SessionRole role = SessionRole::kUnspecified;
  uint64_t worker_id = 0;
  uint64_t incarnation = 0;
  uint64_t session_nonce = 0;
  uint32_t lane = 0;
  uint32_t shard = 0;
  std::string build_id;
};

struct BindFrame {
  std::vector<std::string> layer_names;
};

struct PullFrame {
  std::string layer_name;
  uint32_t tensor_id = 0;
  uint64_t worker_id = 0;
  uint64_t version = 0;
  PullCondition condition = PullCondition::kAny;
  uint64_t offset = 0;
  uint64_t count = 0;
  Codec codec = Codec::kUnspecified;
};

// Push and PushPull: the latter always wants values.
struct PushFrame {
  bool is_push_pull = false;
  std::string layer_name;
  uint32_t tensor_id = 0;
  uint64_t worker_id = 0;
  uint64_t sequence = 0;
  uint64_t lowest_pending = 0;
  uint64_t base_version = 0;
  Atomicity atomicity = Atomicity::kUnspecified;
  uint64_t offset = 0;
  uint64_t count = 0;
  uint64_t step = 0;
  uint32_t first_part = 0;
  uint32_t parts = 0;
  uint64_t batch = 0;
  uint64_t examples = 0;
  Codec codec = Codec::kUnspecified;
  bool want_values = false;
  double learning_rate = 0;
  Codec values_codec = Codec::kUnspecified;
  Payload gradient;
};

struct SyncFrame {
  std::vector<uint32_t> tensor_ids;
  bool at_step = false;
  uint64_t step = 0;
  bool encoded = false;
};

struct LeaveFrame {};
struct PutStateFrame {
  uint64_t sequence = 0;
  Payload state;
};
struct GetStateFrame {};
// A kind that this build does not know; `field` is its number. 0: the frame held no kind.
struct UnknownFrame {
  uint32_t field = 0;
};

struct ClientFrame {
  uint64_t request_id = 0;
  uint32_t deadline_ms = 0;
  uint64_t epoch = 0;
  uint64_t trace_id = 0;
  std::variant<UnknownFrame, HelloFrame, BindFrame, PullFrame, PushFrame, SyncFrame, LeaveFrame,
               PutStateFrame, GetStateFrame>
      kind;
};

struct HelloReplyFrame {
  uint32_t protocol = 0;
  uint64_t features = 0;
  uint32_t shard = 0;
  uint32_t mode = 0;  // weir.v1.Mode
  uint32_t gradient_shards = 0;
  uint64_t max_requests = 0;
  uint64_t max_push_bytes = 0;
  uint64_t max_reply_bytes = 0;
  uint64_t max_frame_bytes = 0;
  uint32_t max_wait_ms = 0;
  uint32_t write_timeout_ms = 0;
  uint64_t last_sequence = 0;
  uint64_t last_batch = 0;
  bool has_max_staleness = false;
  uint64_t max_staleness = 0;
  std::string build_id;
  std::string shm_socket;
  std::string shm_key;
  uint64_t next_batch = 0;
  uint64_t clock = 0;
};

struct BindReplyFrame {
  struct Binding {
    std::string layer_name;
    uint32_t tensor_id = 0;
    std::vector<int64_t> shape;
  };
  std::vector<Binding> bindings;
  std::vector<SliceSpec> slices;
};

struct PullReplyFrame {
  std::string layer_name;
  uint32_t tensor_id = 0;
  uint64_t version = 0;
  bool stale = false;
  bool not_modified = false;
  uint64_t offset = 0;
  uint64_t count = 0;
  uint32_t remaining = 0;
  Codec codec = Codec::kUnspecified;
  Payload tensor_data;
};

struct PushReplyFrame {
  uint64_t sequence = 0;
  uint32_t tensor_id = 0;
  uint64_t offset = 0;
  Outcome outcome = Outcome::kUnspecified;
  Outcome first = Outcome::kUnspecified;
  uint64_t version = 0;
  uint64_t count = 0;
  uint32_t retry_after_ms = 0;
  std::string reason;
  uint64_t clocks_ahead = 0;
  Codec codec = Codec::kUnspecified;
  Payload tensor_data;
};

struct LeaveReplyFrame {};
struct StateReplyFrame {
  uint64_t sequence = 0;
  Payload state;
};
struct CreditFrame {};
struct ErrorReplyFrame {
  Outcome outcome = Outcome::kUnspecified;
  std::string reason;
};

struct ServerFrame {
  // Not on the wire: a pull's only answer, which may overtake what waits before it when small.
  bool hurry = false;
  uint64_t request_id = 0;
  uint64_t epoch = 0;
  uint64_t trace_id = 0;
  uint64_t push_bytes_released = 0;
  std::variant<UnknownFrame, HelloReplyFrame, BindReplyFrame, PullReplyFrame, PushReplyFrame,
               LeaveReplyFrame, StateReplyFrame, CreditFrame, ErrorReplyFrame>
      kind;
};

}  // namespace weir

#endif  // WEIR_NET_FRAME_H_
