// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SESSION_CLIENT_H_
#define WEIR_NET_SESSION_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "net/frame.h"
#include "net/frame_codec.h"
#include "net/shm_segment.h"

namespace grpc {
class Channel;
}

namespace weir {

class CompletionLoop;
class ShmArena;
class ShmPoller;

// Whoever uses a session. Calls come on the client's loop or, once its frames travel in shared
// memory, on the thread of the ShmPoller, never under a lock of the client. They come in order, but
// one may begin on the second thread while the one before still runs on the first.
class SessionClientHandler {
 public:
  virtual ~SessionClientHandler() = default;

  // Frames in the order of arrival. The payload borrows the transport's memory: let go of it soon.
  // The next one is read when this has returned.
  virtual void OnFrame(ServerFrame&& frame, size_t wire_bytes) = 0;

  // The stream has ended; the last call, made exactly once. The client may be destroyed from
  // within. UNAVAILABLE: no connection, or it was lost; connect again. CANCELLED: Cancel or Close
  // was called. Otherwise what the server closed the session with, or the decoder's status for a
  // frame that could not be understood. OK: the server ended the stream in order.
  virtual void OnClosed(const absl::Status& status) = 0;
};

// The client's end of one ParameterService.Session stream.
//
// The payload of a frame sent is borrowed, not copied: its owners are released when the transport
// has sent it or the stream has ended. Self-synchronised; no threads of its own: the loop, which
// several clients may share, runs it. Sending never waits.
class SessionClient {
 public:
  struct Options {
    FrameLimits limits;
    size_t max_queued_frames =
        262144;  // not yet taken by the transport; credits keep a session well below
    uint64_t max_queued_bytes = uint64_t{320} << 20;  // the same, of whole frames
    // What looks after links in shared memory, and where the payloads lie that they need not copy
    // (may be null). With it a session asks for shared memory and moves there, when the server
    // invites it and there is memory for it. Borrowed; polls until the client is closed.
    ShmPoller* shm = nullptr;
    std::shared_ptr<ShmArena> arena;
    // Asked before memory for frames is made.
    std::function<uint64_t()> available_bytes = AvailableMemoryBytes;
  };

  // Starts to open a stream on `channel` (net/channel.h); frames may be sent at once. How opening
  // ended shows in the first OnFrame or in OnClosed. `handler` must live until OnClosed has
  // returned, or Close. `loop` outlives the client and runs until it is closed.
  SessionClient(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop,
                SessionClientHandler* handler, Options options);
  SessionClient(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop,
                SessionClientHandler* handler)
      : SessionClient(std::move(channel), loop, handler, Options()) {}
  // Close().
  ~SessionClient();
  SessionClient(const SessionClient&) = delete;
  SessionClient& operator=(const SessionClient&) = delete;

  // Queues `frame`; the hello is the first. UNAVAILABLE: the stream has ended or is ending,
  // OnClosed says why. RESOURCE_EXHAUSTED: the queue is full; nothing was queued. INVALID_ARGUMENT:
  // the frame exceeds max_frame_bytes.
  //
  // `make`, where there is one, makes the frame's payload, whose bytes are nowhere until then but
  // which has their number: called at most once, when the transport is ready to take it, under no
  // lock, on the thread that calls this or on the loop's. Whatever it reads lives until it is
  // destroyed.
  absl::Status Send(ClientFrame&& frame, std::function<Payload()> make = nullptr);

  // Ends the stream at once; OnClosed(CANCELLED) follows, if nothing else ended it before. From
  // anywhere.
  void Cancel();

  // Cancel, and waits until OnClosed has returned: no call of the handler runs or comes any more.
  // REQUIRES: not called within the handler, unless within OnClosed, where it returns at once.
  void Close();

  // How the session travels; known from the first OnFrame.
  enum class Way {
    kStream,    // on its stream: shared memory was not asked for or not offered
    kNoMemory,  // on its stream, because shared memory could not be had; `why` tells
    kShm,       // in shared memory
    kBroken,    // it ended because of its shared memory: connect again without
  };
  Way way(std::string* why) const;

 private:
  class Stream;
  std::shared_ptr<Stream> stream_;
};

}  // namespace weir

#endif  // WEIR_NET_SESSION_CLIENT_H_
