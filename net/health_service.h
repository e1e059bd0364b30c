// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_HEALTH_SERVICE_H_
#define WEIR_NET_HEALTH_SERVICE_H_

#include <memory>

#include "net/queued_service.h"

namespace weir {

// grpc.health.v1.Health/Check of a server as a whole, over its completion queues; NOT_SERVING at
// first. Another service than the whole server is answered NOT_FOUND. Self-synchronised.
class HealthService final : public QueuedService {
 public:
  HealthService();
  ~HealthService() override;

  void SetServing(bool serving);

  grpc::Service* service() override;
  void Begin(const std::vector<CompletionLoop*>& loops) override;
  void End() override;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir

#endif  // WEIR_NET_HEALTH_SERVICE_H_
