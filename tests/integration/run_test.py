# SPDX-License-Identifier: Apache-2.0
"""`weir run` on real data: the examples, the asynchronous mode, other formats, given weights, and what is refused."""
import gzip
import hashlib
import json
import os
import pty
import socket
import struct
import subprocess

import cluster


def run_weir(*arguments, timeout=30, **environment):
    return subprocess.run([cluster.WEIR, *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, **environment))


def read_safetensors(path):
    """{name: (shape, bytes)} of a file, checked as its format is documented."""
    with open(path, "rb") as f:
        data = f.read()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    body = data[8 + size:]
    return {name: (entry["shape"], body[entry["data_offsets"][0]:entry["data_offsets"][1]])
            for name, entry in header.items() if name != "__metadata__"}


class RunTest(cluster.ClusterTest):

    def test_the_digits_are_learned(self):
        summary = self.finish(cluster.DIGITS)
        self.assertGreaterEqual(summary["test_accuracy"], 0.955)
        self.assertEqual(summary["mode"], "bsp")
        self.assertLess(summary["wall_seconds"], 60)
        self.assertEqual(summary["rewinds"], 0)
        self.assertEqual(set(summary["pushes"]),
                         {"applied", "stale", "duplicate", "overloaded", "moved", "invalid", "fenced"})
        self.assertGreater(summary["pushes"]["applied"], 0)
        self.assertEqual([summary["pushes"][k] for k in ("stale", "invalid", "fenced")], [0, 0, 0])
        self.assertGreater(summary["examples"]["counted"], 0)
        directory = self.runs[0].directory
        for name in ("ps-0.log", "ps-1.log", "worker-0.log", "worker-1.log", "worker-2.log", "coordinator.log"):
            self.assertTrue(os.path.exists(os.path.join(directory, name)), os.listdir(directory))
        tensors = read_safetensors(os.path.join(directory, "model.safetensors"))
        digest = hashlib.sha256(b"".join(tensors[name][1] for name in sorted(tensors))).hexdigest()
        self.assertEqual(digest, summary["weights_sha256"])

    def test_iris_is_learned(self):
        self.assertGreaterEqual(self.finish(cluster.IRIS)["test_accuracy"], 0.95)

    def test_strict_asynchronous_training_refuses_and_accounts_for_every_slice(self):
        summary = self.finish(cluster.DIGITS, "consistency.mode=asp", "consistency.max_staleness=0", "workers.count=3")
        self.assertGreater(summary["pushes"]["stale"], 0)
        self.assertGreaterEqual(summary["test_accuracy"], 0.955)
        self.assertEqual(sum(summary["pushes"].values()), summary["slices_pushed"], summary)
        self.assertGreater(summary["examples"]["recomputed"], 0)

    def test_free_asynchronous_training_refuses_nothing(self):
        summary = self.finish(cluster.DIGITS, "consistency.mode=asp")
        self.assertEqual(summary["pushes"]["stale"], 0)
        self.assertGreaterEqual(summary["test_accuracy"], 0.95)

    def test_an_idx_data_set_is_trained_on_by_path_alone(self):
        paths = self.idx_digits()
        summary = self.finish(cluster.DIGITS, "train.epochs=6", "train.dataset.format=idx",
                              *(f"train.dataset.{key}={path}" for key, path in paths.items()))
        self.assertGreaterEqual(summary["test_accuracy"], 0.9)

    def idx_digits(self):
        """The digits as IDX files, the training images gzipped."""
        paths = {}
        for prefix, source in (("", "digits_train.csv"), ("test_", "digits_test.csv")):
            with open(os.path.join(cluster.SOURCE, "examples", "data", source)) as f:
                rows = [list(map(int, line.split(","))) for line in f]
            images = struct.pack(">IIII", 0x803, len(rows), 8, 8) + bytes(v for row in rows for v in row[:-1])
            labels = struct.pack(">II", 0x801, len(rows)) + bytes(row[-1] for row in rows)
            for kind, data in (("images", images), ("labels", labels)):
                path = os.path.join(self.temporary, f"{prefix}{kind}.idx" + (".gz" if prefix == "" else ""))
                with (gzip.open if path.endswith(".gz") else open)(path, "wb") as f:
                    f.write(data)
                paths[prefix + kind] = path
        return paths

    def test_given_weights_are_where_training_starts(self):
        self.finish(cluster.DIGITS, "train.epochs=1")
        start = os.path.join(self.runs[0].directory, "model.safetensors")
        summary = self.finish(cluster.DIGITS, "train.epochs=1", f"train.init={start}", "train.optimizer.learning_rate=1e-30",
                              "train.optimizer.weight_decay=0")
        self.assertEqual(summary["weights_sha256"], self.runs[0].summary()["weights_sha256"])

    def test_given_weights_that_do_not_match_are_listed_all_of_them(self):
        self.finish(cluster.DIGITS, "train.epochs=1")
        start = os.path.join(self.runs[0].directory, "model.safetensors")
        run = self.start(cluster.DIGITS, "train.hidden=[33]", f"train.init={start}")
        self.assertNotEqual(run.wait(60), 0)
        text = run.text()
        for name in ("dense0/weights", "dense0/bias", "dense1/weights"):
            self.assertIn(name, text)
        self.assertEqual(run.left_behind(5), {})


class TerminalTest(cluster.ClusterTest):

    def on_a_terminal(self, *sets, code=0, **environment):
        """What `weir run` writes to a terminal."""
        ours, its = pty.openpty()
        directory = os.path.join(self.temporary, f"terminal{len(os.listdir(self.temporary))}")
        command = [cluster.WEIR, "run", cluster.IRIS, "--run_dir", directory]
        env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        process = subprocess.Popen(command + [word for s in sets for word in ("--set", s)], stdin=subprocess.DEVNULL, stdout=its,
                                   stderr=its, env=dict(env, TERM="xterm", **environment))
        os.close(its)
        written = b""
        try:
            while chunk := os.read(ours, 65536):
                written += chunk
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        self.assertEqual(process.wait(20), code, written)
        return written.decode()

    def test_one_line_is_written_over_and_ends_in_a_table(self):
        written = self.on_a_terminal()
        live, table = written.rsplit("\x1b[K", 1)
        self.assertGreaterEqual(live.count("\rstep "), 1, written)
        self.assertNotIn("\nstep ", written)
        self.assertIn("test accuracy", table)
        self.assertNotIn("\r", table.replace("\r\n", ""))

    def test_what_went_wrong_is_red_unless_colours_are_not_wanted(self):
        bad = ("workers.program=[/no/such/trainer]",)
        self.assertIn("\x1b[31m", self.on_a_terminal(*bad, code=127))
        self.assertIn("\x1b[31m", self.on_a_terminal(*bad, code=127, NO_COLOR=""))
        self.assertNotIn("\x1b[3", self.on_a_terminal(*bad, code=127, NO_COLOR="1"))


class RefusalTest(cluster.ClusterTest):
    """A clear error, nothing started, nothing left."""

    def refused(self, code, words, *arguments):
        done = run_weir(*arguments)
        output = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, output)
        for word in words:
            self.assertIn(word, output)
        return output

    def test_an_unknown_flag_is_a_usage_error_with_the_nearest_name(self):
        self.refused(2, ["--run_dri", "--run_dir"], "run", cluster.DIGITS, "--run_dri", "x")
        self.refused(2, ["vaildate", "validate"], "vaildate", cluster.DIGITS)

    def test_a_value_no_flag_can_have_is_a_usage_error(self):
        self.refused(2, ["--start_timeout", "0"], "run", cluster.DIGITS, "--start_timeout=0")
        for role in ("ps", "worker"):
            self.refused(2, ["--rank", "-7"], role, "--coordinator=127.0.0.1:1", "--rank=-7")

    def test_a_token_file_that_is_not_there_is_a_usage_error_of_every_process(self):
        for arguments in (["coordinator", "--servers=1"], ["ps", "--coordinator=127.0.0.1:1"], ["ps", "--workers=1"],
                          ["worker", "--coordinator=127.0.0.1:1"]):
            self.refused(2, ["/no/such/token"], *arguments, "--token_file=/no/such/token")

    def test_a_directory_that_holds_a_run_is_a_usage_error(self):
        self.write("summary.json", "{}")
        for arguments in (["run", cluster.DIGITS], ["coordinator", "--servers=1"]):
            self.refused(2, ["holds a run already"], *arguments, f"--run_dir={self.temporary}")

    def test_help_and_version_succeed(self):
        for arguments in (("--help",), ("run", "--help"), ("validate", "--help"), ("--version",)):
            done = run_weir(*arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertLess(done.stdout.count("\n"), 45)
            self.assertTrue(done.stdout)

    def test_a_bad_topology_is_refused_with_every_error_and_its_place(self):
        path = self.write("bad.yaml", "version: 1\nname: bad\nservers: {cuont: 2}\nworkers: {count: 0}\nworkers: {count: 2}\n")
        self.refused(65, [f"{path}:3:", "cuont", "count", f"{path}:4:", f"{path}:5:", "workers"], "run", path)
        self.refused(65, [f"{path}:3:"], "validate", path)
        self.refused(65, ["--set", "servers.count"], "run", cluster.DIGITS, "--set", "servers.count=-1")
        self.refused(65, ["6400", "4096"], "validate", cluster.DIGITS, "--set", "servers.count=100", "--set", "servers.shards=64")

    def test_a_missing_topology_is_refused(self):
        self.refused(65, ["/no/such.yaml"], "run", "/no/such.yaml")

    def test_validate_warns_of_the_share_that_will_be_admitted(self):
        output = self.refused(0, ["33"], "validate", cluster.DIGITS, "--set", "consistency.mode=asp",
                              "--set", "consistency.max_staleness=0", "--set", "workers.count=3")
        self.assertIn("warn", output.lower())

    def test_a_dry_run_prints_the_commands_and_starts_nothing(self):
        directory = os.path.join(self.temporary, "dry")
        self.refused(0, ["weir-ps", "weir-worker", "weir-coordinator"], "run", cluster.DIGITS, "--dry_run", "--run_dir", directory)
        self.assertFalse(os.path.exists(directory))

    def not_started(self, run, *words):
        """The run ends with 65 and a summary, before any process was started."""
        self.assertEqual(run.wait(60), 65, run.text())
        for word in words:
            self.assertIn(word, run.text())
        self.assertEqual(run.summary()["status"], "failed")
        self.assertEqual(os.listdir(run.directory), ["summary.json"])
        self.assertEqual(run.left_behind(5), {})

    def bad_data(self, text, *words):
        path = self.write("data.csv", text)
        run = self.start(cluster.DIGITS, f"train.dataset.path={path}")
        self.not_started(run, *words)

    def test_malformed_data_is_named_with_its_line(self):
        self.bad_data("1,2,0\n3,x,1\n", "data.csv:2")

    def test_ragged_data_is_named_with_its_line(self):
        self.bad_data("1,2,0\n3,1\n", "data.csv:2")

    def test_an_empty_set_is_refused(self):
        self.bad_data("", "data.csv")

    def test_a_batch_larger_than_the_set_is_refused(self):
        run = self.start(cluster.DIGITS, "train.batch=5000")
        self.not_started(run, "batch", "5000", "3823")

    def test_missing_data_is_refused(self):
        run = self.start(cluster.DIGITS, "train.dataset.path=/no/such.csv")
        self.not_started(run, "/no/such.csv")

    def test_a_wrong_idx_magic_is_refused(self):
        path = self.write("images.idx", "this is no idx file at all")
        run = self.start(cluster.DIGITS, "train.dataset.format=idx", f"train.dataset.images={path}", f"train.dataset.labels={path}")
        self.not_started(run, "images.idx", "0x00000803")

    def idx(self, images=b"\0" * 8, labels=b"\0\1", count=2):
        """Paths of an IDX data set of `count` 2 x 2 images."""
        paths = [os.path.join(self.temporary, name) for name in ("images.idx", "labels.idx")]
        with open(paths[0], "wb") as f:
            f.write(struct.pack(">IIII", 0x803, count, 2, 2) + images)
        with open(paths[1], "wb") as f:
            f.write(struct.pack(">II", 0x801, count) + labels)
        return ["train.dataset.format=idx", f"train.dataset.images={paths[0]}", f"train.dataset.labels={paths[1]}"]

    def test_a_truncated_file_is_refused(self):
        self.not_started(self.start(cluster.DIGITS, *self.idx(images=b"\0" * 7)), "images.idx", "truncated")
        self.not_started(self.start(cluster.DIGITS, *self.idx(labels=b"\0")), "labels.idx", "truncated")

    def test_an_empty_idx_set_is_refused(self):
        self.not_started(self.start(cluster.DIGITS, *self.idx(b"", b"", 0)), "images.idx", "no images")

    def test_a_label_out_of_range_is_named_with_its_line(self):
        test = self.write("test.csv", ",".join("0" * 64) + ",3\n" + ",".join("0" * 64) + ",10\n")
        self.not_started(self.start(cluster.DIGITS, f"train.dataset.test_path={test}"), "test.csv:2", "10")

    def refuses_to_listen(self, program, *arguments):
        done = subprocess.run([os.path.join(cluster.BIN, program), *arguments], capture_output=True, text=True, timeout=20,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        return done.stderr

    def test_a_port_already_taken_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            for arguments in (["weir-coordinator", "--topology", cluster.DIGITS], ["weir-ps", "--workers=1"]):
                output = self.refuses_to_listen(*arguments, f"--port={port}")
                self.assertIn(f"127.0.0.1:{port}", output)
                self.assertIn("the port is taken", output)

    def test_a_listener_off_loopback_without_a_token_does_not_start(self):
        for arguments in (["weir-coordinator", "--topology", cluster.DIGITS], ["weir-ps", "--workers=1"]):
            self.assertIn("token", self.refuses_to_listen(*arguments, "--host=0.0.0.0", "--port=0"))


if __name__ == "__main__":
    cluster.main()
