// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_WIRE_SCAN_H_
#define WEIR_NET_WIRE_SCAN_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace weir {

// Looks over an encoded frame without parsing it: whether it is well formed at its top level, and
// how many fields it has there, in groups, in the submessages right below (whatever is
// length-delimited is taken for one as far as it looks like one) and in the push of a push_pull.
// Pure; allocates nothing.
//
// INVALID_ARGUMENT, with the byte where: cut short, a bad varint, a length beyond the end, a wire
// type or field number that does not exist, or more than `max_fields` fields.
absl::Status ScanWire(absl::string_view message, size_t max_fields);

}  // namespace weir

#endif  // WEIR_NET_WIRE_SCAN_H_
