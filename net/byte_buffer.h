// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_BYTE_BUFFER_H_
#define WEIR_NET_BYTE_BUFFER_H_

#include <grpcpp/support/byte_buffer.h>

#include "core/payload.h"

namespace weir {

// An adapter header: includes gRPC. Payloads to and from gRPC's buffers, without a copy of anything
// large.

// Chunks become slices that hold their owner until gRPC lets go of them; chunks of a few hundred
// bytes are copied.
grpc::ByteBuffer ToByteBuffer(const Payload& payload);

// The bytes of the payload in `wire`, a frame of EncodeFrame, that ToByteBuffer copies.
size_t CopiedPayloadBytes(const Payload& wire);

// The slices of `buffer` as chunks, which keep them alive together.
Payload FromByteBuffer(const grpc::ByteBuffer& buffer);

}  // namespace weir

#endif  // WEIR_NET_BYTE_BUFFER_H_
