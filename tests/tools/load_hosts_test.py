# SPDX-License-Identifier: Apache-2.0
"""weir-loadtest --hosts: its processes on hosts of their own, whose links are limited, and nothing left of them."""
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

LOAD_TEST = os.path.join(os.environ["WEIR_BIN_DIR"], "weir-loadtest")
FEW = ("--profile=uniform:4x65536", "--warmup_steps=1", "--pulls=1", "--each_pulls=0", "--loaded_pulls=0", "--model_pulls=0")


def commands_in(directory):
    """The commands of all processes whose environment names `directory`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment, open(f"/proc/{pid}/cmdline", "rb") as command:
                if directory.encode() in environment.read():
                    found.append(command.read().decode())
        except OSError:
            continue  # it has just ended
    return found


def wait_until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain until " + what)
        time.sleep(0.02)


class LoadHostsTest(unittest.TestCase):

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name
        self.environment = dict(os.environ, TMPDIR=self.directory)

    def run_load(self, *flags):
        path = os.path.join(self.directory, "figures.json")
        done = subprocess.run([LOAD_TEST, *FEW, f"--json={path}", *flags], capture_output=True, text=True, timeout=100,
                              env=self.environment, check=False)
        if done.returncode != 0:
            return done, None
        with open(path, encoding="utf-8") as file:
            return done, json.load(file)

    def test_every_answer_is_right_with_each_process_on_a_host_of_its_own(self):
        done, figures = self.run_load("--hosts=5", "--servers=2", "--workers=3", "--steps=3", "--rate=1gbit")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(figures["rows"][0]["wrong"], 0)
        self.assertGreater(figures["rows"][0]["checked"], 0)
        self.assertEqual(os.listdir(self.directory), ["figures.json"])

    def test_processes_share_hosts_where_there_are_fewer(self):
        done, _ = self.run_load("--hosts=2", "--servers=2", "--workers=2", "--steps=3")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_throughput_keeps_to_the_rate_of_the_link(self):
        done, figures = self.run_load("--hosts=2", "--steps=20", "--rate=100mbit", "--roofline")
        self.assertEqual(done.returncode, 0, done.stderr)
        # 12.5 MB/s each way, and a little more that was sent before the limit was reached.
        self.assertLess(figures["rows"][0]["throughput_mb_s"], 30)
        self.assertLess(figures["rows"][0]["raw_tcp_mb_s"], 30)

    def test_what_hosts_cannot_do_is_refused_with_a_sentence(self):
        for flags, says in ((("--hosts=161",), "from 1 to 160"), (("--rate=1gbit",), "--hosts"), (("--hosts=2", "--rate=fast"), "1mbit"),
                            (("--hosts=2", "--transport=shm"), "tcp or auto"), (("--hosts=2", "--transport=tcp,uds"), "tcp or auto"),
                            (("--hosts=2", "--connect=127.0.0.1:1"), "started here")):
            done, _ = self.run_load(*flags)
            self.assertEqual(done.returncode, 2, flags)
            self.assertIn(says, done.stderr)

    def started(self):
        """A load test that goes on for long, all of whose processes run."""
        process = subprocess.Popen([LOAD_TEST, *FEW, "--hosts=2", "--steps=100000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=self.environment)
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.kill)
        for word in ("weir-ps", "--as_worker"):
            wait_until(lambda: any(word in command for command in commands_in(self.directory)), "server and worker run")
        return process

    def test_no_process_is_left_when_it_is_killed(self):
        process = self.started()
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(60), -signal.SIGKILL)
        wait_until(lambda: not commands_in(self.directory), "all processes have ended")

    def test_signal_ends_it_in_order(self):
        process = self.started()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 128 + signal.SIGINT)
        wait_until(lambda: not commands_in(self.directory), "all processes have ended")
        self.assertEqual(os.listdir(self.directory), [])


if __name__ == "__main__":
    unittest.main()
