// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_RAW_STREAM_SERVICE_H_
#define WEIR_TOOLS_RAW_STREAM_SERVICE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "core/payload.h"

namespace grpc {
class Channel;
}

namespace weir {

class CompletionLoop;
class QueuedService;

// Both ends of a gRPC stream of plain messages: what the load test's mode net measures. On the same
// method, loops and channels as sessions.

// Told what comes, on the loop's thread.
class RawSink {
 public:
  virtual ~RawSink() = default;
  virtual void OnMessage(const Payload& bytes) = 0;
  // Once, last: the stream has ended, whoever ended it.
  virtual void OnEnd(const absl::Status& status) = 0;
};

// The client's end. Sending never waits, from any thread; the caller bounds what is on its way.
// Destroyed on another thread than the loop's: cancels the stream and waits for OnEnd.
class RawStream {
 public:
  virtual ~RawStream() = default;
  virtual void Send(Payload bytes) = 0;
};

// `loop` and `sink` outlive the stream.
std::unique_ptr<RawStream> OpenRawStream(std::shared_ptr<grpc::Channel> channel,
                                         CompletionLoop* loop, RawSink* sink);

// A loop for clients, not started.
std::unique_ptr<CompletionLoop> MakeClientLoop();

// The server's end, for one loop: every message goes back as it came.
std::unique_ptr<QueuedService> MakeRawEcho();

// The version of gRPC that this program runs with.
std::string GrpcVersion();

}  // namespace weir

#endif  // WEIR_TOOLS_RAW_STREAM_SERVICE_H_
