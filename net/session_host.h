// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SESSION_HOST_H_
#define WEIR_NET_SESSION_HOST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "net/frame.h"
#include "net/frame_codec.h"
#include "net/queued_service.h"

namespace weir {

class ShmHost;

// Names a session of a SessionHost; from 1, never used twice.
using SessionId = uint64_t;

// Whoever serves a shard. Calls come on the loops of the ServerHost, never under a lock of the
// host, so that every method of the host may be called from within. Of one session all calls come
// on one loop: OnOpen, then OnFrame one at a time in the order of arrival (the hello first), OnSent
// between them, and OnClosed last, once, with nothing after it. Sessions are independent. The
// session's next frame is read when OnFrame has returned, and a loop serves its other sessions
// meanwhile not at all: a method may compute with what it was given, but must not wait.
class SessionHandler {
 public:
  virtual ~SessionHandler() = default;

  // `peer` is the client's address, for people.
  virtual void OnOpen(SessionId id, const std::string& peer) = 0;
  // `wire_bytes` is the size of the encoded frame. The payload borrows gRPC's memory: let go of it
  // soon.
  virtual void OnFrame(SessionId id, ClientFrame&& frame, size_t wire_bytes) = 0;
  // As OnFrame, of a session that has moved to shared memory: it cost next to nothing to receive,
  // and those behind it may be there already, so that its arithmetic is worth another thread.
  virtual void OnSharedFrame(SessionId id, ClientFrame&& frame, size_t wire_bytes) {
    OnFrame(id, std::move(frame), wire_bytes);
  }
  // A frame given to Send with `payload_bytes` of payload has left the session's queue for the
  // transport (its payload stays borrowed until the bytes are written), or, in shared memory, the
  // client has let go of its payload. Not called for frames that were dropped because the session
  // ended.
  virtual void OnSent(SessionId id, uint64_t payload_bytes) = 0;
  // The stream has ended, whoever ended it. Frames given to Send since are dropped.
  virtual void OnClosed(SessionId id) = 0;
};

// The server's end of ParameterService.Session: streams of frames to the handlers of the shards
// that this process hosts.
//
// The hello names the shard and so the handler; a session of a shard that is not here (yet) is
// closed with UNAVAILABLE and a sentence, one whose first frame is not a hello with
// FAILED_PRECONDITION, one whose frame cannot be decoded with the decoder's status. What a hello
// says beyond the shard (job, token, protocol) is the handler's to judge. Owns the sessions; a
// stream's reader never waits for its writer. No threads of its own (the ServerHost's loops run it)
// and no clock: time comes with Tick. Self-synchronised.
//
// Life: AddShard for all, then queued() to a ServerHost; ServerHost::Shutdown first, then the
// host, then the handlers may go.
class SessionHost {
 public:
  struct Options {
    FrameLimits limits;
    size_t max_sessions = 16384;        // one more is closed with RESOURCE_EXHAUSTED
    size_t max_queued_frames = 262144;  // of one session, not yet taken by the transport
    uint64_t max_queued_bytes = uint64_t{320}
                                << 20;  // the same; credits keep a session well below both
    absl::Duration hello_timeout = absl::Seconds(10);  // then DEADLINE_EXCEEDED
    absl::Duration write_timeout =
        absl::Seconds(30);  // without any frame taken while some wait: RESOURCE_EXHAUSTED
    // Where sessions over a Unix socket may move to shared memory; borrowed, and its poller runs,
    // until the server has been shut down. Null: nowhere.
    ShmHost* shm = nullptr;
  };

  struct Statistics {
    uint64_t opened = 0;  // sessions, since the start
    uint64_t closed = 0;
    uint64_t queued_frames = 0;  // now, of all sessions
    uint64_t queued_bytes = 0;
    // Sessions of workers that were answered with a HelloReply, since the start, by their stream's
    // connection.
    uint64_t workers_over_tcp = 0;
    uint64_t workers_over_uds = 0;
    uint64_t workers_over_shm = 0;  // that have moved on from their socket to shared memory
    // Payload bytes of frames that went out since the start, and those of them that were copied in
    // user space on the way: very small ones; in shared memory also what does not lie in it yet.
    uint64_t payload_sent_bytes = 0;
    uint64_t payload_sent_copied_bytes = 0;
  };

  explicit SessionHost(Options options);
  SessionHost() : SessionHost(Options()) {}
  // REQUIRES: the server that serves service() has been shut down.
  ~SessionHost();
  SessionHost(const SessionHost&) = delete;
  SessionHost& operator=(const SessionHost&) = delete;

  // `handler` serves `shard` and outlives the host. Several shards may share one handler.
  // May come while the server runs: a server learns its shards when it has joined, and joins when
  // it has a port. Sessions of a shard that is not there yet are closed with UNAVAILABLE.
  void AddShard(uint32_t shard, SessionHandler* handler);

  // The gRPC service, for ServerHost::Options::queued; owned by the host.
  QueuedService* queued();

  // Queues `frame` behind the session's others. Dropped when the session has ended or is being
  // closed. A session whose queue would exceed its bounds, or whose frame exceeds max_frame_bytes,
  // is closed with RESOURCE_EXHAUSTED or INTERNAL.
  void Send(SessionId id, ServerFrame&& frame);

  // Ends a session: what was queued before is still sent, for at most write_timeout, then the
  // client is told `status`. No more frames of it reach the handler but the one it may be handling;
  // OnClosed follows. The first Close counts.
  void Close(SessionId id, const absl::Status& status);
  void CloseAll(const absl::Status& status);

  // Enforces the timeouts. Called by the owner about once a second, with a time that does not go
  // back. Timeouts are counted from the first Tick that saw the session in its state.
  void Tick(absl::Time now);

  Statistics statistics() const;

 private:
  class Core;
  class Stream;
  std::unique_ptr<Core> core_;
};

}  // namespace weir

#endif  // WEIR_NET_SESSION_HOST_H_
