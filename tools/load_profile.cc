// SPDX-License-Identifier: Apache-2.0
#include "tools/load_profile.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace weir {
namespace {

constexpr uint64_t kMaxUniformTensors = 65536;
constexpr uint64_t kMaxUniformElements = uint64_t{1} << 32;

// Adds layers to a profile under their usual names.
class ProfileBuilder {
 public:
  explicit ProfileBuilder(std::string name) { profile_.name = std::move(name); }

  void Tensor(const std::string& name, Shape shape) {
    profile_.tensors.push_back(TensorSpec{name, std::move(shape), Initializer{}});
  }
  void Convolution(const std::string& name, int64_t in, int64_t out, int64_t kernel) {
    Tensor(name + ".weight", {out, in, kernel, kernel});
  }
  void Norm(const std::string& name, int64_t channels) {
    Tensor(name + ".weight", {channels});
    Tensor(name + ".bias", {channels});
  }
  void Dense(const std::string& name, int64_t in, int64_t out) {
    Tensor(name + ".weight", {in, out});
    Tensor(name + ".bias", {out});
  }
  LoadProfile Take() { return std::move(profile_); }

 private:
  LoadProfile profile_;
};

// One bottleneck block: 1x1, 3x3 and 1x1 convolutions, and a 1x1 shortcut where the shape changes.
void Bottleneck(ProfileBuilder& builder, const std::string& name, int64_t in, int64_t width,
                bool shortcut) {
  const int64_t out = width * 4;
  builder.Convolution(name + ".conv1", in, width, 1);
  builder.Norm(name + ".bn1", width);
  builder.Convolution(name + ".conv2", width, width, 3);
  builder.Norm(name + ".bn2", width);
  builder.Convolution(name + ".conv3", width, out, 1);
  builder.Norm(name + ".bn3", out);
  if (!shortcut) return;
  builder.Convolution(name + ".downsample.0", in, out, 1);
  builder.Norm(name + ".downsample.1", out);
}

LoadProfile ResNet50() {
  ProfileBuilder builder("resnet50");
  builder.Convolution("conv1", 3, 64, 7);
  builder.Norm("bn1", 64);
  const int64_t blocks[] = {3, 4, 6, 3};
  int64_t in = 64;
  for (int64_t stage = 0; stage < 4; ++stage) {
    const int64_t width = int64_t{64} << stage;
    for (int64_t block = 0; block < blocks[stage]; ++block) {
      Bottleneck(builder, absl::StrCat("layer", stage + 1, ".", block), in, width, block == 0);
      in = width * 4;
    }
  }
  builder.Dense("fc", 2048, 1000);
  return builder.Take();
}

LoadProfile MultiLayerPerceptron() {
  ProfileBuilder builder("mlp");
  builder.Dense("dense0", 784, 1024);
  builder.Dense("dense1", 1024, 1024);
  builder.Dense("dense2", 1024, 10);
  return builder.Take();
}

// One block of GPT-2 (Radford et al. 2019): attention and a feed-forward part four times as wide.
void DecoderBlock(ProfileBuilder& builder, const std::string& name, int64_t width) {
  builder.Norm(name + ".ln_1", width);
  builder.Dense(name + ".attn.c_attn", width, 3 * width);
  builder.Dense(name + ".attn.c_proj", width, width);
  builder.Norm(name + ".ln_2", width);
  builder.Dense(name + ".mlp.c_fc", width, 4 * width);
  builder.Dense(name + ".mlp.c_proj", 4 * width, width);
}

// The output layer is the token embedding's transpose, so it has no tensor of its own.
LoadProfile Transformer() {
  constexpr int64_t kVocabulary = 50257, kPositions = 1024, kWidth = 768, kLayers = 12;
  ProfileBuilder builder("transformer");
  builder.Tensor("wte.weight", {kVocabulary, kWidth});
  builder.Tensor("wpe.weight", {kPositions, kWidth});
  for (int64_t layer = 0; layer < kLayers; ++layer)
    DecoderBlock(builder, absl::StrCat("h.", layer), kWidth);
  builder.Norm("ln_f", kWidth);
  return builder.Take();
}

absl::StatusOr<LoadProfile> Uniform(const std::string& name, const std::string& size) {
  const std::vector<std::string> numbers = absl::StrSplit(size, 'x');
  uint64_t count = 0;
  uint64_t elements = 0;
  if (numbers.size() != 2 || !absl::SimpleAtoi(numbers[0], &count) ||
      !absl::SimpleAtoi(numbers[1], &elements) || count == 0 || elements == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "profile '", name, "': expected uniform:COUNTxSIZE, for example uniform:100x4096"));
  }
  if (count > kMaxUniformTensors || elements > kMaxUniformElements / count) {
    return absl::InvalidArgumentError(absl::StrCat("profile '", name, "': at most ",
                                                   kMaxUniformTensors, " tensors and ",
                                                   kMaxUniformElements, " elements in all"));
  }
  ProfileBuilder builder(name);
  for (uint64_t i = 0; i < count; ++i)
    builder.Tensor(absl::StrCat("tensor", i), {static_cast<int64_t>(elements)});
  return builder.Take();
}

}  // namespace

int64_t LoadProfile::parameters() const {
  int64_t sum = 0;
  for (const TensorSpec& tensor : tensors) sum += ElementCount(tensor.shape);
  return sum;
}

size_t LoadProfile::smallest() const {
  const auto least = std::min_element(tensors.begin(), tensors.end(),
                                      [](const TensorSpec& a, const TensorSpec& b) {
                                        return ElementCount(a.shape) < ElementCount(b.shape);
                                      });
  return static_cast<size_t>(least - tensors.begin());
}

absl::StatusOr<LoadProfile> MakeLoadProfile(const std::string& name) {
  if (name == "resnet50") return ResNet50();
  if (name == "mlp") return MultiLayerPerceptron();
  if (name == "transformer") return Transformer();
  const std::string uniform = "uniform:";
  if (name.rfind(uniform, 0) == 0) return Uniform(name, name.substr(uniform.size()));
  return absl::InvalidArgumentError(
      absl::StrCat("unknown profile '", name,
                   "'; the profiles are resnet50, mlp, transformer and uniform:COUNTxSIZE"));
}

}  // namespace weir
