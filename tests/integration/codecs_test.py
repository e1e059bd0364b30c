# SPDX-License-Identifier: Apache-2.0
"""Training in every codec ends as well as in f32, and the codecs without memory give the same bits over shards and servers."""
import cluster

CODECS = {
    "f16": "codec=f16",
    "bf16": "codec=bf16",
    "int8": "codec=int8",
    "int8 with error feedback": "codec={push: int8, pull: int8, error_feedback: true}",
}
SHORT = ("train.epochs=1", "train.hidden=[24]", "train.batch=240", "train.schedule.warmup_steps=5",
         "train.gradient_shards=3", "workers.count=3")


class CodecsTest(cluster.ClusterTest):

    def accuracy(self, *sets):
        summary = self.finish(cluster.DIGITS, *sets)
        return summary["test_accuracy"]

    def weights(self, *sets):
        summary = self.finish(cluster.DIGITS, *SHORT, *sets)
        self.assertGreater(summary["steps"], 4)
        return summary["weights_sha256"]

    def test_training_in_each_codec_ends_within_a_hundredth_of_f32(self):
        plain = self.accuracy("codec=f32")
        self.assertGreater(plain, 0.95)
        for name, codec in CODECS.items():
            with self.subTest(codec=name):
                self.assertAlmostEqual(self.accuracy(codec), plain, delta=0.01)

    def test_codecs_without_memory_give_the_same_bits_over_shards_and_servers(self):
        plain = self.weights("codec=f32", "servers.count=1")
        for codec in ("codec=f16", "codec=bf16", "codec=int8", "codec={push: int8, pull: bf16}"):
            first = self.weights(codec, "servers.count=1")
            self.assertNotEqual(first, plain, f"{codec} changes nothing")
            for servers, shards in ((1, 2), (3, 2)):
                with self.subTest(codec=codec, servers=servers, shards=shards):
                    self.assertEqual(first, self.weights(codec, f"servers.count={servers}", f"servers.shards={shards}"))

    def test_a_pull_codec_alone_gives_the_same_bits_for_any_number_of_workers(self):
        fixed = (*SHORT[:-2], "train.gradient_shards=6", "codec={pull: bf16}")
        hashes = {workers: self.finish(cluster.DIGITS, *fixed, f"workers.count={workers}")["weights_sha256"]
                  for workers in (1, 2, 3)}
        self.assertEqual(len(set(hashes.values())), 1, hashes)

    def test_a_pattern_that_fits_no_tensor_is_said(self):
        run = self.start(cluster.DIGITS, *SHORT, 'codec={push: bf16, tensors: {"nope.*": f32}}')
        self.assertEqual(run.wait(), 0, run.text() + self.logs(run))
        with open(f"{run.directory}/coordinator.log", errors="replace") as log:
            self.assertIn("codec.tensors: no tensor of the model fits 'nope.*'", log.read())


if __name__ == "__main__":
    cluster.main()
