// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_WIRE_SCAN_H_
#define WEIR_NET_WIRE_SCAN_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace weir {

enum class WireFrame { kClient, kServer };

struct WireScanLimits {
  size_t max_fields = 0;        // of a message that is no batch
  size_t max_batch_fields = 0;  // of the frames of a batch, together
};

// Looks over an encoded frame without parsing it: whether it is well formed at its top level, and
// how many fields it has wherever the parser would keep them: there, in groups, in the submessages
// right below (whatever is length-delimited is taken for one as far as it looks like one), in those
// of a push_pull and a bind_reply, and in the frames of a batch. Pure; allocates nothing.
//
// INVALID_ARGUMENT, with the byte where: cut short, a bad varint, a length beyond the end, a wire
// type or field number that does not exist; a batch within a batch; more fields than the limits.
absl::Status ScanWire(absl::string_view message, WireFrame frame, const WireScanLimits& limits);

}  // namespace weir

#endif  // WEIR_NET_WIRE_SCAN_H_
