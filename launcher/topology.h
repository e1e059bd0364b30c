// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_TOPOLOGY_H_
#define WEIR_LAUNCHER_TOPOLOGY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/optimizer.h"
#include "core/schedule.h"
#include "launcher/codec_choice.h"

namespace weir {

enum class BackendType { kLocal, kSsh, kSlurm, kKubernetes };
enum class DeviceType { kCpu, kCuda };
enum class ModeType { kBsp, kQuorum, kSsp, kAsp };
enum class TransportType { kAuto, kTcp, kUds, kShm };
enum class ModelType { kSoftmax, kMlp };
enum class ActivationType { kRelu, kTanh, kSigmoid };
enum class DataFormat { kCsv, kIdx, kLibsvm, kSynthetic };
enum class SecurityMode { kToken, kTls, kNone };

// One cluster and the job that it runs: what a topology file says, with every default filled in.
//
// A plain value. Its initial values are the defaults; topology_schema.h holds one row for each
// member, and everything that knows the keys (parser, printer, documentation, operator==) goes
// through those rows. Values of ParseTopology() and LoadTopology() are checked; a Topology filled
// by hand is not.
//
// Paths are absolute after parsing. "" and an empty list mean: not given.
struct Topology {
  struct Slurm {
    std::string partition;
    std::string account;
    std::string constraint;
    absl::Duration time_limit = absl::ZeroDuration();
  };
  struct Backend {
    BackendType type = BackendType::kLocal;
    Slurm slurm;
  };
  struct Servers {
    int64_t count = 1;   // processes
    int64_t shards = 1;  // per process
    DeviceType device = DeviceType::kCpu;
  };
  struct Workers {
    int64_t count = 1;
    std::vector<std::string> program;  // empty: weir-worker trains train.model
    std::string directory;  // working directory of `program`; not given: the topology file's
  };
  struct Consistency {
    ModeType mode = ModeType::kBsp;
    std::optional<int64_t>
        max_staleness;  // asp: versions, not given: no bound. ssp: clocks, given after parsing.
    std::optional<int64_t> quorum;  // parts
    absl::Duration grace = absl::Milliseconds(200);
  };
  struct Network {
    std::string interface = "lo";
  };
  struct Dataset {
    DataFormat format = DataFormat::kCsv;
    std::string path;  // csv, libsvm
    std::string test_path;
    std::string images;  // idx
    std::string labels;
    std::string test_images;
    std::string test_labels;
    std::optional<double>
        test_fraction;                  // of the rows, in a fixed split; not given: all rows train
    std::string label_column = "last";  // csv: "last", a number from 0, or a name of the header
    std::optional<double> scale;        // not given: 1 / the largest value of the training set
    int64_t rows = 1000;                // synthetic
    int64_t features = 16;
    int64_t classes = 4;
  };
  struct Train {
    ModelType model = ModelType::kSoftmax;
    std::vector<int64_t> hidden;  // mlp: units of each hidden layer
    ActivationType activation = ActivationType::kRelu;
    int64_t batch = 0;  // examples of one global step
    int64_t epochs = 1;
    int64_t seed = 1;
    std::optional<int64_t> gradient_shards;  // G; always given after parsing
    std::string init;                        // a safetensors file; "": initialisers from `seed`
    double clip_norm = 0;                    // by the worker, of all gradients together; 0: off
    OptimizerSpec optimizer;
    ScheduleSpec schedule;  // base_rate is optimizer.learning_rate after parsing; total_steps 0:
                            // not given, all steps of the run
    Dataset dataset;
  };
  struct Checkpoint {
    std::string dir;
    int64_t every_steps = 0;
    int64_t keep = 2;
  };
  struct Restart {
    int64_t workers = 3;
    int64_t servers = 0;
    absl::Duration window = absl::Minutes(10);
    absl::Duration backoff = absl::Seconds(1);
  };
  struct Security {
    SecurityMode mode = SecurityMode::kToken;
    std::string token_file;
    std::string ca_file;
    std::string certificate_file;
    std::string key_file;
  };

  int64_t version = 1;
  std::string name;  // not given: from the name of the topology file
  Backend backend;
  std::vector<std::string> hosts = {"localhost"};
  Servers servers;
  Workers workers;
  int64_t slice_bytes = 1 << 20;
  Consistency consistency;
  TransportType transport = TransportType::kAuto;
  CodecChoice codec;
  Network network;
  Train train;
  Checkpoint checkpoint;
  Restart restart;
  Security security;
};

// Same value of every key.
bool operator==(const Topology& a, const Topology& b);
inline bool operator!=(const Topology& a, const Topology& b) { return !(a == b); }

// G: into how many fixed parts the batch of a step is cut; the number of workers unless the
// topology says otherwise.
int64_t GradientShards(const Topology& topology);

// The share of slice pushes that is admitted at once when all workers commit in turn: about (s + 1)
// / W where the staleness bound s counts versions (asp with a bound), 1 in every other mode. In (0,
// 1]. REQUIRES: workers >= 1; max_staleness >= 0 if given.
double ExpectedAdmittedShare(ModeType mode, int64_t workers, std::optional<int64_t> max_staleness);

// What the operator may rely on about the bits of the trained weights: one sentence or two, for
// `weir validate`.
std::string PromiseOf(const Topology& topology);

}  // namespace weir

#endif  // WEIR_LAUNCHER_TOPOLOGY_H_
