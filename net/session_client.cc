// SPDX-License-Identifier: Apache-2.0
#include "net/session_client.h"

#include <utility>

#include "net/session_client_stream.h"

namespace weir {

SessionClient::SessionClient(std::shared_ptr<grpc::Channel> channel, CompletionLoop* loop,
                             SessionClientHandler* handler, Options options)
    : stream_(std::make_shared<Stream>(std::move(channel), loop, handler, options)) {
  stream_->Begin();
}

SessionClient::~SessionClient() { Close(); }

absl::Status SessionClient::Send(ClientFrame&& frame, std::function<Payload()> make) {
  return stream_->Send(std::move(frame), std::move(make));
}

void SessionClient::Cancel() { stream_->Cancel(); }
SessionClient::Way SessionClient::way(std::string* why) const { return stream_->way(why); }

void SessionClient::Close() {
  stream_->Cancel();
  stream_->AwaitDone();
}

}  // namespace weir
