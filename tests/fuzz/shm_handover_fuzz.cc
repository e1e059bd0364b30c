// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "net/shm_handover.h"
#include "net/shm_ring.h"
#include "tests/fuzz/expect.h"

namespace weir {
namespace {

void Check(absl::string_view bytes, size_t descriptors) {
  const absl::StatusOr<HandoverMessage> message = ParseHandover(bytes, descriptors);
  if (!message.ok()) {
    WEIR_EXPECT(message.status().code() == absl::StatusCode::kInvalidArgument,
                message.status().ToString());
    return;
  }
  const bool has_descriptor =
      message->kind == HandoverKind::kOffer || message->kind == HandoverKind::kSegment;
  WEIR_EXPECT(descriptors == (has_descriptor ? 1u : 0u), "descriptors");
  // Nothing that was accepted is lost.
  const HandoverBytes again = EncodeHandover(*message);
  WEIR_EXPECT(bytes == absl::string_view(again.data(), again.size()), "written again");
  if (message->kind != HandoverKind::kOffer) return;
  constexpr uint64_t kMaxFrameBytes = uint64_t{4} << 20;
  if (!CheckGeometry(message->geometry, kMaxFrameBytes).ok()) return;
  // The parts of an accepted geometry lie within its segment, one behind the other.
  char* const segment = reinterpret_cast<char*>(uintptr_t{1} << 40);
  uint64_t end = ShmGeometry::kControlBytes;
  for (const ShmSide side : {ShmSide::kClient, ShmSide::kServer}) {
    const ShmDirection direction = DirectionOf(segment, message->geometry, side);
    WEIR_EXPECT(direction.ring == segment + end, "the ring");
    end += direction.ring_bytes;
    WEIR_EXPECT((direction.ring_bytes & (direction.ring_bytes - 1)) == 0, "a power of two");
  }
  for (const ShmSide side : {ShmSide::kClient, ShmSide::kServer}) {
    const ShmDirection direction = DirectionOf(segment, message->geometry, side);
    WEIR_EXPECT(direction.bounce == segment + end, "the bounce area");
    WEIR_EXPECT(direction.bounce_bytes >= kMaxFrameBytes, "room for a frame");
    end += direction.bounce_bytes;
  }
  WEIR_EXPECT(end == message->geometry.segment_bytes(), "the whole segment");
}

}  // namespace
}  // namespace weir

// The input is a message of the handover's socket, behind the number of descriptors that came.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  weir::Check(absl::string_view(reinterpret_cast<const char*>(data) + 1, size - 1), data[0] % 3);
  return 0;
}
