// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_STATUS_H_
#define WEIR_NET_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace weir {

// An adapter header: includes gRPC. The codes are the same numbers on both sides; messages are
// kept, cut to 2 KiB so that the trailer fits every peer's header limit.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace weir

#endif  // WEIR_NET_STATUS_H_
