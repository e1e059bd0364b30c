// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TENSOR_H_
#define WEIR_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace weir {

// How one element of a tensor is stored. Weights on the servers are kFloat32.
enum class ElementType { kUnspecified = 0, kFloat32 = 1, kFloat16 = 2, kBfloat16 = 3, kInt8 = 4 };

// Where the memory of a view lies. Only kCpu is supported today; a view of another device is
// answered by StatusCode::kUnimplemented.
enum class Device { kCpu = 0, kCuda = 1 };

// Dimensions, outermost first, row-major; an empty shape is a scalar of one element.
using Shape = std::vector<int64_t>;

// The number of elements of `shape`: the product of its dimensions; 0 when one of them is 0; -1
// when a dimension is negative or the product exceeds 2^40.
int64_t ElementCount(const Shape& shape);

// Memory of the caller that holds one tensor, dense and row-major. A view owns nothing: the memory
// must stay valid, and unchanged for reads, until the call that was given the view has returned or
// its Future is ready.
struct TensorView {
  const void* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t count = 0;  // elements
  Device device = Device::kCpu;
  void* stream = nullptr;  // the CUDA stream that last wrote the memory; nullptr on the CPU
};

// The same, to be written. Until the call is over the memory's content is unspecified.
struct MutableTensorView {
  void* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t count = 0;  // elements
  Device device = Device::kCpu;
  void* stream = nullptr;
};

// How the servers fill a tensor at step 0. Values depend on (job seed, tensor name, element index)
// alone, never on the layout. fan_in is the product of all dimensions but the last, fan_out is the
// last one (a dense layer's weights are [inputs, outputs]); Xavier: Glorot and Bengio 2010; He: He
// et al. 2015.
struct Initializer {
  enum class Kind { kZeros = 0, kConstant, kUniform, kNormal, kXavierUniform, kHeNormal };
  Kind kind = Kind::kZeros;
  double a = 0;  // kConstant: the value; kUniform: the lower bound; kNormal: the mean
  double b = 0;  // kUniform: the upper bound, exclusive; kNormal: the standard deviation
};

// One tensor of a model as it is declared. Names are unique, 1 to 255 bytes of printable ASCII
// without spaces.
struct TensorSpec {
  std::string name;
  Shape shape;
  Initializer initializer;
};

}  // namespace weir

#endif  // WEIR_TENSOR_H_
