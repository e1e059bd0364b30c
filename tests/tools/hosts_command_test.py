# SPDX-License-Identifier: Apache-2.0
"""weir-hosts: hosts with limited links for a command, and nothing left of them."""
import os
import re
import signal
import subprocess
import sys
import unittest

HOSTS = os.path.join(os.environ["WEIR_BIN_DIR"], "weir-hosts")


def run(*arguments):
    return subprocess.run([HOSTS, *arguments], capture_output=True, text=True, timeout=60)


def interfaces():
    return set(os.listdir("/sys/class/net"))


class HostsCommandTest(unittest.TestCase):

    def test_link_of_1_gbit_carries_no_more_than_that(self):
        done = run("--hosts=2", "--rate=1gbit")
        self.assertEqual(done.returncode, 0, done.stderr)
        one_way, both_ways = map(float, re.search(r"([\d.]+) MB/s one way, ([\d.]+) MB/s both", done.stdout).groups())
        # One Gbit/s is 125 MB/s, headers included; 128 KiB and 20 ms of queue may be ahead of the limit.
        self.assertLess(one_way, 128)
        self.assertLess(both_ways, 256)

    def test_command_is_told_the_hosts_and_runs_on_them(self):
        script = (
            "import json, os, subprocess\n"
            "for host in json.loads(os.environ['WEIR_HOSTS']):\n"
            "    shown = subprocess.run(host['prefix'] + ['ip', '-4', '-j', 'address', 'show', 'eth0'], check=True,"
            " capture_output=True)\n"
            "    assert json.loads(shown.stdout)[0]['addr_info'][0]['local'] == host['address']\n"
            "print(len(json.loads(os.environ['WEIR_HOSTS'])))\n")
        done = run("--hosts=3", "--", sys.executable, "-c", script)
        self.assertEqual((done.returncode, done.stdout), (0, "3\n"), done.stderr)

    def test_exit_code_is_the_commands_own(self):
        self.assertEqual(run("--", "sh", "-c", "exit 7").returncode, 7)
        self.assertEqual(run("--", "sh", "-c", "kill -9 $$").returncode, 128 + 9)
        missing = run("--", "/no/such/program")
        self.assertEqual(missing.returncode, 127)
        self.assertIn("cannot start /no/such/program", missing.stderr)

    def test_wrong_numbers_are_usage_errors_that_name_the_limits(self):
        for flag, says in (("--hosts=0", "from 1 to 160"), ("--hosts=161", "from 1 to 160"),
                           ("--rate=fast", "from 1mbit to 100gbit"), ("--rat=1gbit", "--rate")):
            done = run(flag)
            self.assertEqual(done.returncode, 2, flag)
            self.assertIn(says, done.stderr)

    def started(self, command):
        """weir-hosts running `command`, which has said what it is; its pipe ends when its last process does."""
        process = subprocess.Popen([HOSTS, "--hosts=2", "--rate=1gbit", "--", "sh", "-c", command], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), "here\n")
        return process

    def test_nothing_is_left_when_it_is_killed(self):
        before = interfaces()
        process = self.started("(trap '' TERM; setsid sleep 600) & echo here; sleep 600")
        self.assertEqual(interfaces(), before)
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(30), -signal.SIGKILL)
        self.assertEqual(process.stdout.read(), "")  # the end of the pipe: no process in there is left
        self.assertEqual(interfaces(), before)

    def test_signal_ends_the_command(self):
        process = self.started("trap 'echo told; exit 3' TERM; echo here; sleep 600 & wait")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 3)
        self.assertEqual(process.stdout.read(), "told\n")


if __name__ == "__main__":
    unittest.main()
