# SPDX-License-Identifier: Apache-2.0
"""The weights of a bsp run are the same bits for any number of servers, shards, slices and workers, over any transport, and
over repeats."""
import itertools
import os
import subprocess

import cluster

SHORT = ("train.epochs=1", "train.hidden=[24]", "train.batch=240", "train.schedule.warmup_steps=5")
SGD = ("train.optimizer.type=sgd", "train.optimizer.learning_rate=0.1", "train.optimizer.weight_decay=0")
ADAMW = ("train.optimizer.type=adamw", "train.optimizer.learning_rate=0.01", "train.optimizer.weight_decay=0.01",
         "train.optimizer.clip_value=0.5", "train.clip_norm=1.0")


class SameBitsTest(cluster.ClusterTest):

    def weights(self, *sets):
        summary = self.finish(cluster.DIGITS, *SHORT, *sets)
        self.assertGreater(summary["steps"], 10)
        return summary["weights_sha256"]

    def check_layouts(self, optimizer):
        fixed = (*optimizer, "train.gradient_shards=3", "workers.count=3")
        first = self.weights(*fixed, "servers.count=1", "servers.shards=1")
        self.assertEqual(first, self.weights(*fixed, "servers.count=1", "servers.shards=1"), "a repeat")
        transports = itertools.cycle(("uds", "tcp", "shm"))
        for servers, shards, slice_bytes in itertools.product((1, 2, 3, 5), (1, 3), (4096, None)):
            transport = next(transports)
            sets = [*fixed, f"servers.count={servers}", f"servers.shards={shards}", f"transport={transport}"]
            if slice_bytes:
                sets.append(f"slice_bytes={slice_bytes}")
            with self.subTest(servers=servers, shards=shards, slice_bytes=slice_bytes, transport=transport):
                self.assertEqual(first, self.weights(*sets))

    def test_any_layout_gives_the_same_bits_with_sgd(self):
        self.check_layouts(SGD)

    def test_any_layout_gives_the_same_bits_with_adamw_clipping_and_warm_up(self):
        self.check_layouts(ADAMW)

    def test_any_transport_gives_the_same_bits_and_the_summary_tells_which_it_was(self):
        fixed = (*SGD, "train.gradient_shards=3", "workers.count=3", "servers.count=2")
        hashes = set()
        for transport, used in (("tcp", "tcp"), ("uds", "uds"), ("shm", "shm"), ("auto", "shm")):
            summary = self.finish(cluster.DIGITS, *SHORT, *fixed, f"transport={transport}")
            hashes.add(summary["weights_sha256"])
            self.assertEqual(summary["transports"], {"tcp": 0, "uds": 0, "shm": 0, used: 6}, transport)
        self.assertEqual(len(hashes), 1, hashes)

    def test_any_number_of_workers_gives_the_same_bits_with_the_parts_fixed(self):
        for optimizer in (SGD, ADAMW):
            hashes = {workers: self.weights(*optimizer, "train.gradient_shards=6", f"workers.count={workers}")
                      for workers in (1, 2, 3, 4)}
            self.assertEqual(len(set(hashes.values())), 1, hashes)

    def test_other_parts_seeds_and_optimizers_give_other_bits(self):
        base = (*SGD, "workers.count=2")
        hashes = [self.weights(*base, "train.gradient_shards=2"), self.weights(*base, "train.gradient_shards=5"),
                  self.weights(*base, "train.gradient_shards=2", "train.seed=99"),
                  self.weights(*ADAMW, "workers.count=2", "train.gradient_shards=2")]
        self.assertEqual(len(set(hashes)), 4, hashes)

    def test_one_worker_and_one_part_give_the_bits_of_a_plain_loop(self):
        program = os.path.join(cluster.BIN, "tests", "plain_train")
        for optimizer in (SGD, ADAMW):
            sets = (*SHORT, *optimizer, "train.gradient_shards=1", "workers.count=1", "servers.count=1")
            command = [program, cluster.DIGITS] + [word for s in sets for word in ("--set", s)]
            plain = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
            self.assertEqual(len(plain), 64, plain)
            self.assertEqual(plain, self.weights(*sets[len(SHORT):]))


if __name__ == "__main__":
    cluster.main()
