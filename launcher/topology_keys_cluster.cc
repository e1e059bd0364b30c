// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "launcher/job_limits.h"
#include "launcher/topology_row.h"

namespace weir {
namespace {

std::vector<TopologyKey> ClusterKeys() {
  return {
      TopologyRow("version", KeyType::kInteger, WEIR_FIELD(version))
          .Between(1, 1)
          .Required()
          .Example("1")
          .Means("The version of this format."),
      TopologyRow("name", KeyType::kName, WEIR_FIELD(name))
          .Default("the file's name")
          .Example("digits")
          .Means("The job's name, for people."),
      TopologyRow("backend.type", KeyType::kChoice, WEIR_FIELD(backend.type))
          .Example("local")
          .OneOf({{"local"}, {"ssh", "local"}, {"slurm", "local"}, {"kubernetes", "local"}})
          .Means("What starts the processes: local starts them on this machine."),
      TopologyRow("backend.slurm.partition", KeyType::kText, WEIR_FIELD(backend.slurm.partition))
          .OnlyWith("backend.type", {"slurm"})
          .Default("none")
          .Example("gpu")
          .Means("The partition to ask for."),
      TopologyRow("backend.slurm.account", KeyType::kText, WEIR_FIELD(backend.slurm.account))
          .OnlyWith("backend.type", {"slurm"})
          .Default("none")
          .Example("physics")
          .Means("The account to charge."),
      TopologyRow("backend.slurm.constraint", KeyType::kText, WEIR_FIELD(backend.slurm.constraint))
          .OnlyWith("backend.type", {"slurm"})
          .Default("none")
          .Example("a100")
          .Means("Features that the nodes must have."),
      TopologyRow("backend.slurm.time_limit", KeyType::kDuration,
                  WEIR_FIELD(backend.slurm.time_limit))
          .OnlyWith("backend.type", {"slurm"})
          .Between(0, 30 * 86400)
          .Example("4h")
          .Default("the partition's")
          .Means("How long the job may run."),
      TopologyRow("hosts", KeyType::kTexts, WEIR_FIELD(hosts))
          .AtMostItems(4096)
          .Example("[localhost]")
          .Means("The machines. Only localhost until other backends are built."),
      TopologyRow("servers.count", KeyType::kInteger, WEIR_FIELD(servers.count))
          .Between(1, kMaxMembers)
          .Example("2")
          .Means("How many server processes hold the model."),
      TopologyRow("servers.shards", KeyType::kInteger, WEIR_FIELD(servers.shards))
          .Between(1, 64)
          .Unit("per process")
          .Example("1")
          .Means("How many shards a server process hosts, each with a loop of its own."),
      TopologyRow("servers.device", KeyType::kChoice, WEIR_FIELD(servers.device))
          .OneOf({{"cpu"}, {"cuda", "cpu"}})
          .Example("cpu")
          .Means("Where the servers compute."),
      TopologyRow("workers.count", KeyType::kInteger, WEIR_FIELD(workers.count))
          .Between(1, kMaxMembers)
          .Example("3")
          .Means("How many worker processes compute gradients."),
      TopologyRow("workers.program", KeyType::kTexts, WEIR_FIELD(workers.program))
          .AtMostItems(256)
          .Default("weir-worker")
          .Example("[python3, train.py]")
          .Means("A program of your own and its arguments, started once per worker."),
      TopologyRow("workers.directory", KeyType::kPath, WEIR_FIELD(workers.directory))
          .OnlyWith("workers.program", {})
          .Default("the topology file's")
          .Example("trainer")
          .Means("The directory in which workers.program starts."),
      TopologyRow("slice_bytes", KeyType::kBytes, WEIR_FIELD(slice_bytes))
          .Between(1024, 3 << 20)
          .Example("1MiB")
          .Means("The largest slice of a tensor: the unit of placement, version and transfer; a "
                 "multiple of 4."),
  };
}

std::vector<TopologyKey> ConsistencyKeys() {
  return {
      TopologyRow("consistency.mode", KeyType::kChoice, WEIR_FIELD(consistency.mode))
          .Example("bsp")
          .OneOf({{"bsp"}, {"quorum", "bsp, ssp or asp"}, {"ssp"}, {"asp"}})
          .Means("When a push is admitted: bsp goes in lockstep, ssp lets no worker run too far "
                 "ahead of the slowest, asp never waits."),
      TopologyRow("consistency.max_staleness", KeyType::kInteger,
                  WEIR_FIELD(consistency.max_staleness))
          .OnlyWith("consistency.mode", {"ssp", "asp"})
          .Between(0, 1000000)
          .Unit("versions (asp) or clocks (ssp)")
          .Default("no bound (asp), 3 (ssp)")
          .Example("16")
          .Means("asp: how far a push may lag behind; an older one is answered stale and computed "
                 "again. ssp: how many steps a worker may be ahead of the slowest; one that is "
                 "further waits."),
      TopologyRow("consistency.quorum", KeyType::kInteger, WEIR_FIELD(consistency.quorum))
          .OnlyWith("consistency.mode", {"quorum"})
          .Between(1, 4096)
          .Unit("parts")
          .Required()
          .Example("3")
          .Means("How many parts of a step are enough."),
      TopologyRow("consistency.grace", KeyType::kDuration, WEIR_FIELD(consistency.grace))
          .OnlyWith("consistency.mode", {"quorum"})
          .Between(0, 3600)
          .Example("200ms")
          .Means("How long a step with enough parts waits for the others."),
      TopologyRow("transport", KeyType::kChoice, WEIR_FIELD(transport))
          .Example("tcp")
          .OneOf({{"auto"}, {"tcp"}, {"uds"}, {"shm"}})
          .Means("What carries the frames between workers and servers. auto picks for each pair: "
                 "shared memory where both are on one host, or a Unix socket where there is no "
                 "memory for it, else TCP; uds and shm want one host."),
      TopologyRow("codec", KeyType::kCodecs, WEIR_FIELD(codec))
          .Example("{push: int8, pull: bf16, error_feedback: true, tensors: {\"fc.*\": f32}}")
          .Means("How gradients (push) and weights (pull) travel; one name is for both. "
                 "error_feedback, of int8 pushes, adds to a gradient what the worker's last one "
                 "lost. tensors maps names, or patterns with *, to what those tensors get instead; "
                 "the first that fits wins."),
      TopologyRow("network.interface", KeyType::kText, WEIR_FIELD(network.interface))
          .Example("lo")
          .NotYet("all processes meet on lo")
          .Means("The network interface on which processes listen."),
  };
}

}  // namespace

std::vector<TopologyKey> ClusterTopologyKeys() {
  std::vector<TopologyKey> keys;
  for (auto part : {ClusterKeys, ConsistencyKeys}) {
    for (TopologyKey& key : part()) keys.push_back(std::move(key));
  }
  return keys;
}

// Keys of which some belong to parts that are still to be built. They are known, so that they are
// refused by name.
std::vector<TopologyKey> LaterTopologyKeys() {
  const char* const no_checkpoints = "no checkpoint is written";
  const char* const no_server_restarts = "a lost server ends the run";
  const char* const own_token =
      "each run makes a token of its own and stays on loopback, without TLS";
  return {
      TopologyRow("checkpoint.dir", KeyType::kPath, WEIR_FIELD(checkpoint.dir))
          .Default("none")
          .Example("checkpoints")
          .NotYet(no_checkpoints)
          .Means("Where checkpoints are written."),
      TopologyRow("checkpoint.every_steps", KeyType::kInteger, WEIR_FIELD(checkpoint.every_steps))
          .Between(0, 1e9)
          .Unit("steps")
          .Example("100")
          .NotYet(no_checkpoints)
          .Means("How often a checkpoint is written. 0 is never."),
      TopologyRow("checkpoint.keep", KeyType::kInteger, WEIR_FIELD(checkpoint.keep))
          .Between(1, 1000)
          .Example("2")
          .NotYet(no_checkpoints)
          .Means("How many of the newest checkpoints are kept."),
      TopologyRow("restart.workers", KeyType::kInteger, WEIR_FIELD(restart.workers))
          .Between(0, 1000)
          .Example("10")
          .Means(
              "How often a worker that was killed, or fell silent, is started again, within "
              "restart.window; one more loss ends the run. 0: the first does. In bsp the weights "
              "are the same bits as without the loss."),
      TopologyRow("restart.servers", KeyType::kInteger, WEIR_FIELD(restart.servers))
          .Between(0, 1000)
          .Example("3")
          .NotYet(no_server_restarts)
          .Means("How often a lost server is replaced."),
      TopologyRow("restart.window", KeyType::kDuration, WEIR_FIELD(restart.window))
          .Between(1, 30 * 86400)
          .Example("1h")
          .Means("Within which time losses of one process are counted together."),
      TopologyRow("restart.backoff", KeyType::kDuration, WEIR_FIELD(restart.backoff))
          .Between(0, 30)
          .Example("5s")
          .Means("How long the second replacement within the window waits; each further one waits "
                 "twice as long, at most 30 s. The first starts at once."),
      TopologyRow("security.mode", KeyType::kChoice, WEIR_FIELD(security.mode))
          .OneOf({{"token"}, {"tls", "token"}, {"none", "token"}})
          .Example("token")
          .Means("How members prove themselves: token admits whoever shows the run's token."),
      TopologyRow("security.token_file", KeyType::kPath, WEIR_FIELD(security.token_file))
          .Default("a token made for the run")
          .Example("job.token")
          .NotYet(own_token)
          .Means("A file with the job's token."),
      TopologyRow("security.ca_file", KeyType::kPath, WEIR_FIELD(security.ca_file))
          .Default("none")
          .Example("ca.pem")
          .NotYet(own_token)
          .Means("The certificate authority that members trust."),
      TopologyRow("security.certificate_file", KeyType::kPath,
                  WEIR_FIELD(security.certificate_file))
          .Default("none")
          .Example("node.pem")
          .NotYet(own_token)
          .Means("The certificate of this member."),
      TopologyRow("security.key_file", KeyType::kPath, WEIR_FIELD(security.key_file))
          .Default("none")
          .Example("node.key")
          .NotYet(own_token)
          .Means("The private key of the certificate."),
  };
}

}  // namespace weir
