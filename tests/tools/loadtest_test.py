# SPDX-License-Identifier: Apache-2.0
"""weir-loadtest with real processes: every mode and load, small; what it refuses, and what it leaves behind."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = os.environ.get("WEIR_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("WEIR_BIN_DIR") or os.path.join(SOURCE, "build", "release", "bin")
SMALL = ("--profile=uniform:9x3000", "--steps=4", "--warmup_steps=1", "--pulls=20", "--each_pulls=18", "--loaded_pulls=5",
         "--model_pulls=2")
ELEMENTS = 9 * 3000


class LoadtestTest(unittest.TestCase):

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.environment = dict(os.environ, TMPDIR=self.directory.name)

    def call(self, *arguments, timeout=100):
        return subprocess.run([os.path.join(BIN, "weir-loadtest"), *arguments], capture_output=True, text=True, timeout=timeout,
                              env=self.environment)

    def load(self, *arguments):
        """The rows of a small load that must succeed, and have left nothing behind."""
        path = os.path.join(self.directory.name, "out.json")
        done = self.call(*SMALL, f"--json={path}", *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(path) as f:
            rows = json.load(f)["rows"]
        os.remove(path)
        for row in rows:
            self.assertEqual(row["wrong"], 0)
        self.assertEqual(os.listdir(self.directory.name), [])
        return rows

    def test_a_full_load_measures_every_phase_and_checks_every_value(self):
        (row,) = self.load("--servers=2", "--workers=2", "--slo=wrong=0,pull_us_p99<1e9")
        for name in ("step_ms_p50", "throughput_mb_s", "pull_us_p99", "each_pull_us_p99", "loaded_pull_us_p99",
                     "changed_pull_ms_p50", "unchanged_pull_ms_p50", "server_cpu_s_per_gb", "server_peak_rss_mb"):
            self.assertGreater(row[name], 0, name)
        # Five steps, two before changed pulls, two changed pulls, at least, by each of two workers.
        self.assertGreaterEqual(row["checked"], 2 * 9 * ELEMENTS)
        self.assertEqual(sum(count for _, _, count in row["histograms"]["pulls_ns"]), 2 * 20)
        self.assertEqual(sum(count for _, _, count in row["histograms"]["steps_ns"]), 2 * 4)

    def test_every_transport_and_codec_carries_what_the_formula_says(self):
        rows = self.load("--transport=tcp,uds,shm", "--codec=f32,int8")
        self.assertEqual([(row["transport"], row["codec"]) for row in rows],
                         [(t, c) for t in ("tcp", "uds", "shm") for c in ("f32", "int8")])
        for row in rows:
            self.assertEqual((row["transport_used"], row["fell_back"]), (row["transport"], False))
            self.assertEqual(row["server_totals"][f"{row['transport']}_sessions"], 1)
            # What the load's own steps moved, at least: each pushed, and its values sent.
            for moved in ("received_bytes", "sent_bytes"):
                self.assertGreater(row["server_totals"][moved], 5 * ELEMENTS * (4 if row["codec"] == "f32" else 1))
        self.assertLess([row["servers_copies_per_byte"] for row in rows if row["transport"] == "tcp"][0], 0.001)
        rows = self.load("--codec=f16,bf16", "--outstanding=2")
        self.assertAlmostEqual(rows[0]["wire_mb_s"] / rows[0]["throughput_mb_s"], 0.5, 3)

    def test_modes_without_a_shard_or_a_network_check_their_answers_too(self):
        for mode in ("net", "echo", "apply"):
            (row,) = self.load(f"--mode={mode}", "--workers=2")
            self.assertGreaterEqual(row["checked"], 2 * 4 * ELEMENTS, mode)
            self.assertGreater(row["throughput_mb_s"], 0, mode)
            self.assertIsNone(row["pull_us_p50"], mode)

    def test_an_open_loop_counts_from_the_intended_start(self):
        (row,) = self.load("--rate_hz=100", "--pull_rate_hz=1000", "--compute_ms=25")
        # Each step takes 25 ms and one is due every 10 ms: the fourth ends 70 ms late or more.
        self.assertGreater(row["step_ms_p99"], 60)

    def test_a_mark_of_memory_tells_how_much_one_server_grew_after_it(self):
        (row,) = self.load("--memory_mark_steps=2", "--servers=2")
        self.assertGreater(row["early_server_peak_rss_mb"], 5)
        self.assertGreater(row["server_peak_growth"], 0.9)
        self.assertEqual(sum(count for _, _, count in row["histograms"]["steps_ns"]), 4)

    def test_a_transport_that_was_not_to_be_had_is_told_and_not_taken_for_it(self):
        path = os.path.join(self.directory.name, "out.json")
        # No room for a segment of shared memory: its size is that of a file.
        done = subprocess.run(["prlimit", "--fsize=100000", os.path.join(BIN, "weir-loadtest"), *SMALL, "--transport=shm", f"--json={path}"],
                              capture_output=True, text=True, timeout=100, env=self.environment)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("uds (fell back)", done.stdout)
        with open(path) as f:
            (row,) = json.load(f)["rows"]
        self.assertEqual((row["transport"], row["transport_used"], row["fell_back"]), ("shm", "uds", True))

    def test_a_bound_of_none_makes_pushes_stale_and_brings_fresh_values(self):
        rows = self.load("--conflicts=20", "--workers=3", "--max_staleness=0,100")
        self.assertEqual([row["max_staleness"] for row in rows], [0, 100])
        for row in rows:
            self.assertGreater(row["applied_per_s"], 0)
        self.assertEqual(rows[1]["stale_share"], 0)
        self.assertEqual(rows[1]["resync_mb"], 0)

    def test_repetitions_have_a_spread_and_a_roofline_has_shares(self):
        done = self.call(*SMALL, "--mode=echo", "--runs=2", "--roofline")
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ("..", "roofline", "raw_tcp_mb_s", "raw_rtt_same_core_us", "adam_triad_mb_s", "raw_tcp_share"):
            self.assertIn(word, done.stdout)

    def test_workers_attach_to_a_running_job_and_refuse_one_without_a_formula(self):
        for settings, code in ((["consistency.mode=asp", "train.optimizer.type=sgd", "train.optimizer.learning_rate=0.25"], 0),
                               (["consistency.mode=asp", "train.optimizer.type=adam"], 1),
                               (["consistency.mode=asp", "consistency.max_staleness=3", "train.optimizer.type=sgd",
                                 "train.optimizer.learning_rate=0.25"], 1),
                               (["consistency.mode=bsp", "train.optimizer.type=sgd", "train.optimizer.learning_rate=0.25"], 1)):
            read, write = os.pipe()
            os.set_inheritable(write, True)
            server = subprocess.Popen(
                [os.path.join(BIN, "weir-ps"), "--workers=1", *[word for s in settings for word in ("--set", s)]],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[write],
                env=dict(self.environment, WEIR_READY_FD=str(write)))
            self.addCleanup(server.wait)
            self.addCleanup(server.kill)
            os.close(write)
            with os.fdopen(read) as pipe:
                address = pipe.readline().strip()
            done = self.call(*SMALL, f"--connect={address}")
            self.assertNotIn("transport_used", done.stdout)  # other members' sessions would count too
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertIn("wrong  " if code == 0 else "a load needs a job", done.stdout + done.stderr)

    def test_a_topology_says_how_many_run_and_other_hosts_are_not_here_yet(self):
        path = os.path.join(self.directory.name, "mine.yaml")
        with open(path, "w") as f:
            f.write("version: 1\nname: mine\nservers: {count: 2}\nworkers: {count: 3, program: [mine]}\n")
        done = self.call(*SMALL, f"--topology={path}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 x 3", done.stdout)
        self.assertIn("auto f32", done.stdout)  # the file's, not the flag's
        done = self.call(*SMALL, f"--topology={path}", "--set", "consistency.max_staleness=3")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--conflicts drives them", done.stderr)
        done = self.call(*SMALL, f"--topology={path}", "--set", "hosts=[elsewhere]")
        self.assertEqual(done.returncode, 2)
        self.assertIn("not built yet", done.stderr)

    def test_an_example_is_loaded_whatever_it_trains_with(self):
        done = self.call(*SMALL, f"--topology={SOURCE}/examples/digits.yaml", "--set", "codec=bf16", "--set", "transport=uds")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("uds bf16", done.stdout)

    def test_a_model_that_one_sync_cannot_bring_is_loaded_too(self):
        done = self.call("--profile=transformer", "--transport=shm", "--steps=1", "--warmup_steps=0", "--pulls=1", "--each_pulls=0",
                         "--loaded_pulls=0", "--model_pulls=0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("transformer", done.stdout)

    def test_an_objective_that_does_not_hold_is_exit_1_and_one_that_cannot_be_read_exit_2(self):
        done = self.call(*SMALL, "--mode=apply", "--slo=throughput_mb_s>1e12")
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not hold", done.stderr)
        self.assertIn("missed", done.stdout)
        for slo in ("throughput<5", "wrong", "wrong<x"):
            self.assertEqual(self.call(*SMALL, f"--slo={slo}").returncode, 2, slo)

    def test_what_cannot_be_run_is_refused_before_anything_starts(self):
        for arguments in (["--profile=resnet51"], ["--transport=carrier"], ["--codec=f8"], ["--mode=half"], ["--pin=both"],
                          ["--mode=net", "--codec=int8"], ["--mode=echo", "--transport=uds"], ["--workers=65"], ["--runs=0"],
                          ["--outstanding=0"], ["--token_file=x"], ["--connect=a:1", "--topology=x"], ["--conflicts=-1"],
                          ["--spin_us=-1"], ["--mode=net", "--spin_us=9"],
                          ["--memory_mark_steps=4"], ["--memory_mark_steps=2", "--rate_hz=5"],
                          ["--memory_mark_steps=2", "--connect=a:1"],
                          ["--conflicts=1", "--max_staleness=few"], ["--json=/nowhere/at/all"]):
            done = self.call(*SMALL, *arguments)
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stdout}{done.stderr}")
            self.assertTrue(done.stderr.startswith("weir-loadtest: "), done.stderr)
        self.assertEqual(os.listdir(self.directory.name), [])

    def test_an_interrupted_load_leaves_nothing_behind(self):
        load = subprocess.Popen([os.path.join(BIN, "weir-loadtest"), *SMALL, "--steps=100000", "--compute_ms=1000"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)
        while load.poll() is None and not os.listdir(self.directory.name):
            time.sleep(0.01)
        load.send_signal(signal.SIGINT)
        _, errors = load.communicate(timeout=30)
        self.assertEqual(load.returncode, 128 + signal.SIGINT, errors)
        self.assertIn("interrupted", errors)
        self.assertEqual(os.listdir(self.directory.name), [])


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=[sys.argv[0]] + sys.argv[1:])
