// SPDX-License-Identifier: Apache-2.0
//
// part_gradient TOPOLOGY STEP PART WEIGHTS OUT [--set key=value ...]
//
// Writes to OUT what the built-in worker would push for one part of one step: the gradient that its
// model computes from WEIGHTS. Both files hold all tensors in declared order, f32, little-endian.
// Prints the number of examples. For tests of clients in other languages, whose own arithmetic has
// other bits.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "core/pages.h"
#include "launcher/job_model.h"
#include "launcher/topology_parse.h"
#include "models/matrix.h"
#include "worker/gradient_set.h"

namespace weir {
namespace {

int Fail(const std::string& message) {
  std::cerr << "part_gradient: " << message << "\n";
  return 1;
}

std::streamsize Bytes(const MutableTensorView& view) {
  return static_cast<std::streamsize>(view.count) * static_cast<std::streamsize>(sizeof(float));
}

int Run(const std::string& path, const std::vector<std::string>& settings, uint64_t step,
        uint32_t part, const char* weights_path, const char* out_path) {
  const ParsedTopology parsed = LoadTopology(path, settings);
  if (!parsed.errors.empty()) return Fail(parsed.errors[0].ToString());
  Result<std::unique_ptr<Model>> model = MakeModel(ModelOptionsOf(parsed.topology));
  if (!model.ok()) return Fail(model.status().ToString());

  const std::vector<TensorSpec> tensors = (*model)->Tensors();
  const size_t bytes = GradientSet::Bytes(tensors);
  const GradientSet weights(tensors, TensorMemory(MapPages(bytes).value(), bytes));
  const GradientSet gradients(tensors, TensorMemory(MapPages(bytes).value(), bytes));
  std::ifstream in(weights_path, std::ios::binary);
  for (const MutableTensorView& view : weights.views())
    in.read(static_cast<char*>(view.data), Bytes(view));
  if (!in) return Fail(std::string(weights_path) + " is too short");
  const PartId id{step, part, static_cast<uint32_t>(GradientShards(parsed.topology))};
  const Result<PartResult> result =
      (*model)->Gradient(id, weights.const_views(), gradients.views());
  if (!result.ok()) return Fail(result.status().ToString());
  std::ofstream out(out_path, std::ios::binary);
  for (const MutableTensorView& view : gradients.views())
    out.write(static_cast<const char*>(view.data), Bytes(view));
  if (!out.flush()) return Fail(std::string("cannot write ") + out_path);
  std::cout << result.value().examples << "\n";
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  if (argc < 6) return weir::Fail("TOPOLOGY STEP PART WEIGHTS OUT [--set key=value ...]");
  weir::FixEigenArithmetic();
  std::vector<std::string> settings;
  for (int i = 6; i + 1 < argc; i += 2) settings.push_back(argv[i + 1]);
  return weir::Run(argv[1], settings, std::strtoull(argv[2], nullptr, 10),
                   static_cast<uint32_t>(std::strtoul(argv[3], nullptr, 10)), argv[4], argv[5]);
}
