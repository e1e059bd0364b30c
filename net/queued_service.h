// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_QUEUED_SERVICE_H_
#define WEIR_NET_QUEUED_SERVICE_H_

#include <vector>

namespace grpc {
class Service;
}

namespace weir {

class CompletionLoop;

// A service of a ServerHost whose calls come over the host's completion queues.
class QueuedService {
 public:
  virtual ~QueuedService() = default;

  virtual grpc::Service* service() = 0;
  // The server runs: accepts calls on `loops`, whose queues are ServerCompletionQueues. At most
  // once.
  virtual void Begin(const std::vector<CompletionLoop*>& loops) = 0;
  // The server has been shut down, its calls are cancelled and its loops still run: returns when
  // the service has no operation under way any more and will start none.
  virtual void End() = 0;
};

}  // namespace weir

#endif  // WEIR_NET_QUEUED_SERVICE_H_
