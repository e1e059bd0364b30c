// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_BODY_FAST_H_
#define WEIR_TOOLS_REST_BODY_FAST_H_

#include <memory>

#include "tools/rest_body.h"

namespace weir {

// The codec of RestForm::kFastBase64: base64 as fast as it can be made. The body is written once,
// in place; it is read by simdjson's on-demand parser, which makes no document, and the base64 is
// decoded from where it was received.
std::unique_ptr<RestBodyCodec> MakeFastRestBodyCodec(RestMemory* memory);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_BODY_FAST_H_
