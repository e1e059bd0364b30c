# SPDX-License-Identifier: Apache-2.0
"""Starts real Weir processes for the integration tests: `weir run` to its end or in the middle, and what it left behind.

Every run gets a directory of its own below a temporary one; processes are found by the run's own environment entry
(WEIR_TEST_RUN), which children inherit, and never by name.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

SOURCE = os.environ.get("WEIR_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("WEIR_BIN_DIR") or os.path.join(SOURCE, "build", "release", "bin")
PYTHON_GEN = os.environ.get("WEIR_PYTHON_DIR") or os.path.join(os.path.dirname(BIN), "python")
WEIR = os.path.join(BIN, "weir")
DIGITS = os.path.join(SOURCE, "examples", "digits.yaml")
IRIS = os.path.join(SOURCE, "examples", "iris.yaml")


class Run:
    """One `weir run`: started by the constructor, ended by wait() or kill()."""

    def __init__(self, topology, directory, sets=(), arguments=(), environment=None):
        self.mark = uuid.uuid4().hex
        self.directory = directory
        self.output = os.path.join(directory + ".out")
        command = [WEIR, "run", topology, "--run_dir", directory]
        for setting in sets:
            command += ["--set", setting]
        env = dict(os.environ, WEIR_TEST_RUN=self.mark, **(environment or {}))
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(command + list(arguments), stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.STDOUT, env=env, start_new_session=True)

    def wait(self, timeout=120):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
            raise AssertionError(f"the run did not end in {timeout} s:\n{self.text()}")

    def text(self):
        with open(self.output, errors="replace") as f:
            return f.read()

    def summary(self):
        with open(os.path.join(self.directory, "summary.json")) as f:
            return json.load(f)

    def processes(self):
        """{pid: command line} of every living process that inherited this run's mark."""
        found = {}
        wanted = f"WEIR_TEST_RUN={self.mark}".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if wanted not in f.read().split(b"\0"):
                        continue
                with open(f"/proc/{pid}/stat") as f:
                    if f.read().rpartition(")")[2].split()[0] == "Z":
                        continue
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    found[int(pid)] = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
        return found

    def find(self, *words):
        """The pid of the one living process whose command line has all of `words`, or None."""
        for pid, line in sorted(self.processes().items()):
            if all(word in line for word in words):
                return pid
        return None

    def left_behind(self, within):
        """What still lives `within` seconds from now; waits no longer than needed."""
        wait_until(lambda: not self.processes(), within)
        return self.processes()


def wait_until(condition, seconds):
    """Polls `condition` of another process until it holds or the time is over; says which."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class ClusterTest(unittest.TestCase):
    """A test case with a temporary directory and runs that are always ended."""

    def setUp(self):
        self.temporary = tempfile.mkdtemp(prefix="weir-test-")
        self.runs = []

    def tearDown(self):
        for run in self.runs:
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()
            run.left_behind(10)
            for pid in run.processes():
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.temporary, ignore_errors=True)

    def start(self, topology, *sets, arguments=(), environment=None):
        run = Run(topology, os.path.join(self.temporary, f"run{len(self.runs)}"), sets, arguments, environment)
        self.runs.append(run)
        return run

    def finish(self, topology, *sets, timeout=120, arguments=()):
        """A run that must succeed; its summary."""
        run = self.start(topology, *sets, arguments=arguments)
        code = run.wait(timeout)
        self.assertEqual(code, 0, run.text() + self.logs(run))
        summary = run.summary()
        self.assertEqual(summary["status"], "ok", run.text())
        self.assertEqual(run.left_behind(5), {})
        return summary

    def logs(self, run):
        text = ""
        for name in sorted(os.listdir(run.directory)) if os.path.isdir(run.directory) else ():
            if name.endswith(".log"):
                with open(os.path.join(run.directory, name), errors="replace") as f:
                    text += f"\n--- {name}\n" + "".join(f.readlines()[-15:])
        return text

    def wait_for_step(self, run, step, seconds=60):
        """Until the run's status says that every worker has finished `step` steps: read from the lines that it prints."""
        def reached():
            self.assertIsNone(run.process.poll(), run.text() + self.logs(run))
            steps = [int(word.split("/")[0]) for line in run.text().splitlines() if line.startswith("step ")
                     for word in line.split()[1:2] if word.split("/")[0].isdigit()]
            return bool(steps) and max(steps) >= step
        self.assertTrue(wait_until(reached, seconds), run.text() + self.logs(run))

    def write(self, name, text):
        path = os.path.join(self.temporary, name)
        with open(path, "w") as f:
            f.write(text)
        return path


def main():
    unittest.main(verbosity=2, argv=[sys.argv[0]] + sys.argv[1:])
