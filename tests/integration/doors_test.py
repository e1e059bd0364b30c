# SPDX-License-Identifier: Apache-2.0
"""The doors that need more than one program: a trainer in another language under `weir run`, and the load test."""
import json
import os
import signal
import socket
import subprocess
import threading
import unittest.mock

import cluster


class DoorsTest(cluster.ClusterTest):

    def test_the_numpy_trainer_trains_the_digits_as_the_workers_of_a_run(self):
        run = self.start(os.path.join(cluster.SOURCE, "examples", "numpy.yaml"),
                         environment={"PYTHONPATH": cluster.PYTHON_GEN})
        self.assertEqual(run.wait(120), 0, run.text() + self.logs(run))
        summary = run.summary()
        self.assertGreaterEqual(summary["test_accuracy"], 0.95)
        self.assertEqual(summary["status"], "ok")
        self.assertEqual(run.left_behind(5), {})

    def test_the_numpy_trainer_has_at_most_a_hundred_lines(self):
        with open(os.path.join(cluster.SOURCE, "examples", "numpy_trainer.py")) as f:
            self.assertLessEqual(len(f.readlines()), 100)

    def sim(self, *arguments):
        return subprocess.run([os.path.join(cluster.BIN, "weir-sim"), *arguments], capture_output=True, text=True, timeout=120)

    def test_a_seed_gives_the_same_trace_in_every_process(self):
        for seed in (1, 2, 3):
            first, again = self.sim(f"--seed={seed}"), self.sim(f"--seed={seed}")
            self.assertEqual(first.returncode, 0, first.stdout + first.stderr)
            self.assertRegex(first.stdout, r"\ntrace [0-9a-f]{16}\n")
            self.assertEqual(first.stdout, again.stdout)

    def test_the_simulator_refuses_what_it_does_not_know(self):
        for arguments, words in ((["--seedz=3"], "--seeds"), (["--seeds=0"], "no seeds"), (["3"], "no flag")):
            done = self.sim(*arguments)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(words, done.stderr)

    def load(self, *arguments, code=0):
        done = subprocess.run([os.path.join(cluster.BIN, "weir-loadtest"), *arguments], capture_output=True, text=True,
                              timeout=120, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_the_load_test_checks_every_answer_and_writes_its_figures(self):
        path = os.path.join(self.temporary, "load.json")
        output = self.load("--profile=mlp", "--servers=2", "--workers=2", "--steps=5", "--pulls=200", "--transport=tcp",
                           "--codec=f32", f"--json={path}")
        with open(path) as f:
            row, = json.load(f)["rows"]
        for key in ("step_ms_p50", "step_ms_p99", "throughput_mb_s", "wire_mb_s", "pull_us_p50", "pull_us_p99",
                    "loaded_pull_us_p99", "checked"):
            self.assertGreater(row[key], 0, key)
            if key != "checked":
                self.assertIn(key, output)
        self.assertEqual((row["wrong"], row["servers"], row["workers"], row["steps"]), (0, 2, 2, 10))

    def test_a_load_test_that_is_interrupted_leaves_nothing_behind(self):
        scratch = os.path.join(self.temporary, "scratch")
        os.mkdir(scratch)
        load = subprocess.Popen([os.path.join(cluster.BIN, "weir-loadtest"), "--profile=mlp", "--steps=100000"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                env=dict(os.environ, TMPDIR=scratch))
        try:
            def running():
                self.assertIsNone(load.poll())
                return any("worker-0.log" in files for _, _, files in os.walk(scratch))
            self.assertTrue(cluster.wait_until(running, 30))
            load.send_signal(signal.SIGINT)
            output, _ = load.communicate(timeout=30)
        finally:
            load.kill()
        self.assertEqual(load.returncode, 130, output)
        self.assertEqual(output, "weir-loadtest: interrupted: nothing was measured\n")
        self.assertEqual(os.listdir(scratch), [])

    def test_the_load_test_refuses_what_it_does_not_know(self):
        self.assertIn("resnet50", self.load("--profile=resnet51", code=2))
        self.assertIn("wants one of auto, tcp, uds, shm, got 'quic'", self.load("--transport=quic", code=2))
        self.assertIn("wants one of f32, f16, bf16, int8, got 'int9'", self.load("--codec=int9", code=2))
        self.assertIn("--steps", self.load("--stpes=3", code=2))
        self.assertIn("--servers=-1: from 1 to 64", self.load("--servers=-1", code=2))
        self.assertNotIn("as_worker", self.load("--help"))

    def test_the_load_test_refuses_a_file_it_cannot_write_before_it_measures(self):
        # With a temporary directory that is missing a measurement would fail, with another code.
        missing = os.path.join(self.temporary, "missing")
        with unittest.mock.patch.dict(os.environ, TMPDIR=missing):
            self.assertIn("cannot be written", self.load(f"--json={missing}/load.json", code=2))
            self.assertIn("cannot be written", self.load(f"--json={self.temporary}", code=2))
            self.assertIn("not a plain file", self.load("--json=/dev/null", code=2))
            path = os.path.join(self.temporary, "load.json")
            output = self.load(f"--json={path}", code=1)
        self.assertIn("no directory for temporary files", output)
        self.assertEqual(len(output.splitlines()), 1, output)
        self.assertFalse(os.path.exists(path))

    def test_no_flag_serves_other_hosts_without_a_token(self):
        for program in ("weir-ps", "weir-coordinator"):
            done = subprocess.run([os.path.join(cluster.BIN, program), "--insecure", "--host=0.0.0.0"], capture_output=True,
                                  text=True, timeout=60, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn("--insecure", done.stderr)

    def test_an_address_without_a_host_is_refused_at_once(self):
        for program in ("weir-ps", "weir-worker"):
            for address in ("7200", ":7200", "localhost", "localhost:port"):
                done = subprocess.run([os.path.join(cluster.BIN, program), f"--coordinator={address}"], capture_output=True,
                                      text=True, timeout=50, stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertIn(f"--coordinator wants HOST:PORT, not '{address}'", done.stderr)

    def says(self, words, *command):
        """Whether the program says so; it is ended then."""
        process = subprocess.Popen([os.path.join(cluster.BIN, command[0]), *command[1:]], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        limit = threading.Timer(30, process.kill)
        limit.start()
        try:
            return any(words in line for line in process.stderr)
        finally:
            limit.cancel()
            process.kill()
            process.wait()
            process.stderr.close()

    def test_a_wish_to_spin_that_is_none_is_refused_at_once(self):
        for program in ("weir-ps", "weir-worker"):
            for arguments, spin, name in ((["--spin_us=1000001"], None, "--spin_us"), (["--spin_us=soon"], "50", "--spin_us"), ([], "-1", "WEIR_SPIN_US")):
                environment = {**os.environ, **({"WEIR_SPIN_US": spin} if spin else {})}
                done = subprocess.run([os.path.join(cluster.BIN, program), "--coordinator=127.0.0.1:1", *arguments], env=environment, capture_output=True,
                                      text=True, timeout=30)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertTrue(done.stderr.startswith(f"{program}: {name} is "), done.stderr)

    def test_a_process_without_a_coordinator_says_soon_that_it_tries(self):
        with socket.socket() as nobody:  # bound, and does not listen
            nobody.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % nobody.getsockname()[1]
            for program in ("weir-ps", "weir-worker"):
                self.assertTrue(self.says(f"cannot reach the coordinator at {address} yet; trying for 60 s", program,
                                          f"--coordinator={address}"))

    def test_a_coordinator_says_whom_it_waits_for(self):
        self.assertTrue(self.says("waits for ps-0 to join, ps-1 to join, worker-0 to join", "weir-coordinator",
                                  "--servers=2", "--workers=1", "--port=0"))


if __name__ == "__main__":
    cluster.main()
