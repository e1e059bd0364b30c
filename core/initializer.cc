// SPDX-License-Identifier: Apache-2.0
#include "core/initializer.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/philox.h"
#include "core/portable_math.h"

namespace weir {
namespace {

using Kind = InitializerSpec::Kind;

// The random words of a tensor's elements 4 * block ... 4 * block + 3.
class TensorRandom {
 public:
  TensorRandom(const TensorShape& tensor, uint64_t seed)
      : key_{Low(seed), High(seed)}, name_(XXH64(tensor.name.data(), tensor.name.size(), 0)) {}

  std::array<uint32_t, 4> Words(uint64_t block) const {
    return Philox4x32({Low(block), High(block), Low(name_), High(name_)}, key_);
  }

 private:
  static uint32_t Low(uint64_t x) { return static_cast<uint32_t>(x); }
  static uint32_t High(uint64_t x) { return static_cast<uint32_t>(x >> 32); }

  const std::array<uint32_t, 2> key_;
  const uint64_t name_;
};

// Uniform in [low, high): low + (high - low) * word / 2^32, rounded to float and kept below high.
class UniformBlock {
 public:
  UniformBlock(double low, double high)
      : low_(low),
        width_(high - low),
        first_(static_cast<float>(low)),
        last_(std::max(first_, std::nextafter(static_cast<float>(high), first_))) {}

  std::array<float, 4> operator()(const std::array<uint32_t, 4>& words) const {
    std::array<float, 4> out;
    for (int i = 0; i < 4; ++i) {
      const double x = low_ + width_ * (words[i] * 0x1p-32);
      out[i] = std::min(static_cast<float>(x), last_);
    }
    return out;
  }

 private:
  const double low_;
  const double width_;
  const float first_;
  const float last_;
};

// Normal, two elements from two words: G. Box, M. Muller, "A Note on the Generation of Random
// Normal Deviates", 1958.
class NormalBlock {
 public:
  NormalBlock(double mean, double stddev) : mean_(mean), stddev_(stddev) {}

  std::array<float, 4> operator()(const std::array<uint32_t, 4>& words) const {
    std::array<float, 4> out;
    for (int i = 0; i < 4; i += 2) {
      const double u = (words[i] + 0.5) * 0x1p-32;  // in (0, 1)
      const double radius = stddev_ * std::sqrt(-2 * PortableLog(u));
      const CosSin angle = PortableCosSin(words[i + 1] * 0x1p-32);
      out[i] = static_cast<float>(mean_ + radius * angle.cos);
      out[i + 1] = static_cast<float>(mean_ + radius * angle.sin);
    }
    return out;
  }

 private:
  const double mean_;
  const double stddev_;
};

// Elements [offset, offset + count), of each block of four what lies in the range.
template <class Block>
void Fill(const TensorRandom& random, const Block& block, uint64_t offset, size_t count,
          float* out) {
  const uint64_t end = offset + count;
  for (uint64_t i = offset; i < end;) {
    const std::array<float, 4> values = block(random.Words(i / 4));
    const uint64_t stop = std::min(end, i / 4 * 4 + 4);
    for (; i < stop; ++i) out[i - offset] = values[i % 4];
  }
}

bool IsFloat(double x) { return std::abs(x) <= std::numeric_limits<float>::max(); }

}  // namespace

Fans FansOf(const std::vector<int64_t>& shape) {
  Fans fans;
  if (shape.empty()) return fans;
  fans.out = static_cast<double>(shape.back());
  for (size_t i = 0; i + 1 < shape.size(); ++i) fans.in *= static_cast<double>(shape[i]);
  if (shape.size() == 1) fans.in = fans.out;
  return fans;
}

absl::Status ValidateInitializer(const InitializerSpec& spec) {
  const bool uses_a =
      spec.kind == Kind::kConstant || spec.kind == Kind::kUniform || spec.kind == Kind::kNormal;
  const bool uses_b = spec.kind == Kind::kUniform || spec.kind == Kind::kNormal;
  if (spec.kind < Kind::kZeros || spec.kind > Kind::kHeNormal) {
    return absl::InvalidArgumentError(
        absl::StrCat("initializer kind ", static_cast<int>(spec.kind), " does not exist"));
  }
  if (uses_a && !IsFloat(spec.a)) {
    return absl::InvalidArgumentError(
        absl::StrCat("initializer a is ", spec.a, "; it must be a finite float"));
  }
  if (uses_b && !IsFloat(spec.b)) {
    return absl::InvalidArgumentError(
        absl::StrCat("initializer b is ", spec.b, "; it must be a finite float"));
  }
  if (spec.kind == Kind::kUniform && spec.a > spec.b) {
    return absl::InvalidArgumentError(
        absl::StrCat("uniform initializer: a is ", spec.a, ", above b, which is ", spec.b));
  }
  if (spec.kind == Kind::kNormal && spec.b < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("normal initializer: b, the standard deviation, is ", spec.b));
  }
  return absl::OkStatus();
}

void Initialize(const TensorShape& tensor, uint64_t seed, uint64_t offset, size_t count,
                float* out) {
  const InitializerSpec& spec = tensor.initializer;
  const TensorRandom random(tensor, seed);
  const Fans fans = FansOf(tensor.shape);
  switch (spec.kind) {
    case Kind::kZeros:
      std::fill_n(out, count, 0.0f);
      return;
    case Kind::kConstant:
      std::fill_n(out, count, static_cast<float>(spec.a));
      return;
    case Kind::kUniform:
      return Fill(random, UniformBlock(spec.a, spec.b), offset, count, out);
    case Kind::kNormal:
      return Fill(random, NormalBlock(spec.a, spec.b), offset, count, out);
    case Kind::kXavierUniform: {
      const double limit = std::sqrt(6 / (fans.in + fans.out));
      return Fill(random, UniformBlock(-limit, limit), offset, count, out);
    }
    case Kind::kHeNormal:
      return Fill(random, NormalBlock(0, std::sqrt(2 / fans.in)), offset, count, out);
  }
}

}  // namespace weir
