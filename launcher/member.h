// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_MEMBER_H_
#define WEIR_LAUNCHER_MEMBER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/layout.h"
#include "core/roster.h"
#include "net/frame.h"

namespace weir {

// The control plane as the logic sees it: plain values in the words of
// proto/weir/v1/coordinator.proto, whose comments are the contract. launcher/coordinator_codec.h
// takes them to and from the wire.

// Values are those of weir.v1.MemberRole.
enum class MemberRole : uint8_t { kUnspecified = 0, kServer = 1, kWorker = 2 };
const char* MemberRoleName(MemberRole role);  // "server", "worker", "member of unknown role"

// Values are those of weir.v1.MemberStatus.State.
enum class MemberState : uint8_t {
  kUnspecified = 0,
  kExpected = 1,
  kJoined = 2,
  kServing = 3,
  kLeft = 4,
  kLost = 5,
  kInherited = 6
};
const char* MemberStateName(MemberState state);  // "expected", "joined" ...

// What a call says of the job it means.
struct JobKey {
  std::string job_id;  // 16 bytes; empty where the call may learn it
  std::string job_token;
};

// Who calls.
struct MemberId {
  MemberRole role = MemberRole::kUnspecified;
  uint32_t rank = 0;
  uint64_t incarnation = 0;
};

// What everybody in the job must agree on.
struct JobSettings {
  std::string name;
  uint32_t servers = 1;
  uint32_t shards = 1;  // over all servers; a multiple of `servers`
  uint32_t workers = 1;
  uint32_t gradient_shards = 1;  // G
  uint32_t mode = 1;             // weir.v1.Mode
  bool has_max_staleness = false;
  uint64_t max_staleness = 0;
  uint64_t slice_bytes = 1 << 20;
  uint64_t seed = 1;
  std::string topology;    // the resolved topology, as YAML
  std::string init_path;   // a safetensors file, or empty
  uint32_t transport = 0;  // weir.v1.Transport
};

// How pushes have ended, in slices; and the examples of those that were applied to the model's
// first slice.
struct PushCounts {
  uint64_t applied = 0;
  uint64_t stale = 0;
  uint64_t duplicate = 0;
  uint64_t overloaded = 0;
  uint64_t moved = 0;
  uint64_t invalid = 0;
  uint64_t fenced = 0;
  uint64_t examples = 0;

  void Add(const PushCounts& o);
  bool operator==(const PushCounts& o) const;
};

// Sessions of workers that servers have let in, by what carries their frames.
struct SessionCounts {
  uint64_t tcp = 0;
  uint64_t uds = 0;
  uint64_t shm = 0;

  void Add(const SessionCounts& o);
  bool operator==(const SessionCounts& o) const;
};

// Payload bytes that servers have moved, and those of them that were copied in user space on the
// way (net/session_host.h, ps/shard.h).
struct PayloadCounts {
  uint64_t received = 0;
  uint64_t received_copied = 0;
  uint64_t sent = 0;
  uint64_t sent_copied = 0;

  void Add(const PayloadCounts& o);
  bool operator==(const PayloadCounts& o) const;
};

// A figure that a member reports for people: loss, examples ...
struct NamedValue {
  std::string name;  // at most kMaxValueNameBytes
  double value = 0;
  bool operator==(const NamedValue& o) const { return name == o.name && value == o.value; }
};

constexpr size_t kMaxValues = 64;
constexpr size_t kMaxValueNameBytes = 64;

struct JoinEvent {
  JobKey job;
  uint32_t protocol_min = 0;
  uint32_t protocol_max = 0;
  MemberRole role = MemberRole::kUnspecified;
  bool has_rank = false;
  uint32_t rank = 0;
  std::string address;   // servers: host:port
  std::string uds_path;  // servers: of the Unix socket; empty: none
  std::string host_key;  // servers: see core/host_key.h
  std::string host;
  uint64_t process_id = 0;
  std::string build_id;
};

struct JoinAnswer {
  JobId job_id{};
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  uint64_t epoch = 0;
  absl::Duration lease;
  std::vector<uint32_t> shards;
  JobSettings settings;
  uint32_t protocol = 0;
  Roster roster;
};

struct HeartbeatEvent {
  bool serving = false;
  uint64_t step = 0;
  uint64_t steps = 0;
  PushCounts pushes;
  SessionCounts sessions;
  PayloadCounts payload;
  std::vector<NamedValue> values;
  std::string waits_for;
  std::string failure;
  uint64_t roster_generation = 0;
};

struct HeartbeatAnswer {
  absl::Duration lease;
  uint64_t epoch = 0;
  bool stop = false;
  std::string reason;
  std::optional<Roster> roster;  // when it is newer than the one that the member named
  bool retire = false;
};

// What is to be done about a loss that was reported.
struct LossAnswer {
  bool replace = false;  // start a successor for the same place, after `delay`
  absl::Duration delay;
  uint64_t restarts = 0;   // of the place so far, this one included
  bool inherited = false;  // no successor is needed: the others have its parts, if it had any
};

// A command of the operator that changed the number of workers.
struct ScaleEvent {
  uint64_t step = 0;  // of the job, then
  uint32_t from = 0;
  uint32_t to = 0;
  bool operator==(const ScaleEvent& o) const {
    return step == o.step && from == o.from && to == o.to;
  }
};

constexpr size_t kMaxScaleEvents = 64;  // remembered

struct ScaleAnswer {
  uint32_t from = 0;
  uint32_t to = 0;
  std::vector<uint32_t> added;    // ranks
  std::vector<uint32_t> retired;  // ranks
};

struct LeaveEvent {
  PushCounts pushes;
  SessionCounts sessions;
  PayloadCounts payload;
  std::vector<NamedValue> values;
  uint64_t step = 0;
  uint64_t steps = 0;  // 0: as the last heartbeat said
};

// One member as an operator sees it.
struct MemberStatus {
  MemberRole role = MemberRole::kUnspecified;
  uint32_t rank = 0;
  MemberState state = MemberState::kExpected;
  uint64_t incarnation = 0;
  std::string address;
  std::string uds_path;
  std::string host_key;
  std::string host;
  uint64_t process_id = 0;
  uint64_t restarts = 0;  // times that a lost process was to be replaced here
  uint64_t step = 0;
  uint64_t steps = 0;
  std::string waits_for;
  PushCounts pushes;
  SessionCounts sessions;
  PayloadCounts payload;
  std::vector<NamedValue> values;
  absl::Duration silent;  // since it was last heard
};

// The job as an operator sees it.
struct JobStatus {
  JobId job_id{};
  uint64_t epoch = 0;
  JobSettings settings;
  std::vector<MemberStatus> members;  // servers by rank, then workers by rank
  bool layout_ready = false;          // and every shard serves it
  bool finished = false;              // every worker has left in order
  std::string failure;                // not empty: the job has failed, and why
  uint64_t step = 0;  // the least of the workers that are still in, or of all once all have left
  uint64_t steps = 0;
  bool stopping = false;
  Layout layout;                   // when layout_ready
  uint32_t workers = 0;            // that take part now, or are expected to
  std::vector<ScaleEvent> scaled;  // in order; the last kMaxScaleEvents
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_MEMBER_H_
