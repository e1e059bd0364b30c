// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_LAYOUT_PROTO_H_
#define WEIR_NET_LAYOUT_PROTO_H_

#include <vector>

#include "absl/status/statusor.h"
#include "core/layout.h"
#include "weir/v1/types.pb.h"

namespace weir {

// Tensors and layouts to and from their messages; the only place that does it. Pure functions.

v1::TensorSpec ToProto(const TensorShape& tensor);
v1::Layout ToProto(const Layout& layout);

// Replaces `*out` by the tensors; DeclareRequest.tensors and Layout.tensors.
void ToProto(const std::vector<TensorShape>& tensors,
             google::protobuf::RepeatedPtrField<v1::TensorSpec>* out);

// What a member declares, checked as ValidateTensors does. INVALID_ARGUMENT names the tensor and
// what is wrong.
absl::StatusOr<std::vector<TensorShape>> TensorsFromProto(
    const google::protobuf::RepeatedPtrField<v1::TensorSpec>& tensors);

// A layout that came from outside, checked as ValidateLayout does; its shards must be named in
// order from 0. INVALID_ARGUMENT says what is wrong.
absl::StatusOr<Layout> LayoutFromProto(const v1::Layout& layout);

}  // namespace weir

#endif  // WEIR_NET_LAYOUT_PROTO_H_
