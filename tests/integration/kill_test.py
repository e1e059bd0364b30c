# SPDX-License-Identifier: Apache-2.0
"""kill -9 of any one process ends the run with a report that names it, and leaves nothing behind."""
import os
import signal
import time

import cluster

LONG = ("train.epochs=5000",)


class KillTest(cluster.ClusterTest):

    def kill_in_the_middle(self, *words):
        run = self.start(cluster.DIGITS, *LONG)
        self.wait_for_step(run, 20)
        pid = run.find(*words)
        self.assertIsNotNone(pid, run.processes())
        os.kill(pid, signal.SIGKILL)
        return run

    def check_report(self, run, name, role, rank):
        code = run.wait(20)
        text = run.text()
        self.assertEqual(code, 128 + signal.SIGKILL, text)
        self.assertIn(name, text)
        self.assertIn("SIGKILL", text)
        self.assertIn(os.uname().nodename, text)
        self.assertIn(f"{name}.log", text)
        summary = run.summary()
        self.assertEqual(summary["status"], "failed")
        self.assertEqual(summary["failure"]["role"], role)
        self.assertEqual(summary["failure"]["rank"], rank)
        self.assertEqual(summary["failure"]["host"], os.uname().nodename)
        self.assertEqual(summary["failure"]["exit"], 128 + signal.SIGKILL)
        self.assertEqual(run.left_behind(5), {})

    def test_a_killed_worker_is_named(self):
        self.check_report(self.kill_in_the_middle("weir-worker", "--rank=1"), "worker-1", "worker", 1)

    def test_a_killed_server_is_named(self):
        self.check_report(self.kill_in_the_middle("weir-ps", "--rank=0"), "ps-0", "ps", 0)

    def test_a_killed_coordinator_is_named(self):
        self.check_report(self.kill_in_the_middle("weir-coordinator"), "coordinator", "coordinator", 0)

    def test_a_killed_agent_is_named(self):
        run = self.kill_in_the_middle("/weir agent")
        self.check_report(run, "agent", "agent", 0)

    def test_nothing_outlives_a_killed_launcher(self):
        run = self.start(cluster.DIGITS, *LONG)
        self.wait_for_step(run, 20)
        self.assertGreaterEqual(len(run.processes()), 8)
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
        self.assertEqual(run.left_behind(5), {})

    def test_ctrl_c_ends_the_run_in_order(self):
        run = self.start(cluster.DIGITS, *LONG)
        self.wait_for_step(run, 20)
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(20), 128 + signal.SIGINT, run.text())
        self.assertEqual(run.summary()["status"], "interrupted")
        for name in ("ps-0.log", "ps-1.log"):
            with open(os.path.join(run.directory, name)) as f:
                self.assertIn("leaves at step", f.read())
        self.assertEqual(run.left_behind(5), {})

    def test_a_second_ctrl_c_ends_it_at_once(self):
        run = self.start(cluster.DIGITS, *LONG)
        self.wait_for_step(run, 20)
        # A server that does nothing any more: ending in order would take 5 seconds, until it is killed.
        os.kill(run.find("weir-ps", "--rank=0"), signal.SIGSTOP)
        run.process.send_signal(signal.SIGINT)
        self.assertTrue(cluster.wait_until(lambda: "once more" in run.text(), 10), run.text())
        again = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(20), 128 + signal.SIGINT, run.text())
        self.assertLess(time.monotonic() - again, 4)
        self.assertEqual(run.left_behind(5), {})

    def test_a_worker_that_fails_gives_the_run_its_exit_code_and_last_lines(self):
        script = self.write("fails.py", "import sys\nprint('the disk is on fire')\nsys.exit(7)\n")
        run = self.start(cluster.DIGITS, f"workers.program=[/usr/bin/python3, {script}]",
                         "train.schedule.type=constant")
        self.assertEqual(run.wait(30), 7, run.text())
        self.assertIn("the disk is on fire", run.text())
        self.assertEqual(run.summary()["failure"]["exit"], 7)
        self.assertEqual(run.left_behind(5), {})

    def test_a_start_that_takes_too_long_ends_the_run_saying_who_is_missing(self):
        run = self.start(cluster.DIGITS, "workers.program=[sleep, 1000]", "workers.count=2", "train.schedule.type=constant",
                         arguments=["--start_timeout=1"])
        self.assertEqual(run.wait(30), 75, run.text())
        self.assertIn("worker-0 to join, worker-1 to join", run.text())
        self.assertEqual(run.summary()["failure"]["exit"], 75)
        self.assertEqual(run.left_behind(5), {})

    def test_a_program_that_is_not_there_is_named(self):
        run = self.start(cluster.DIGITS, "workers.program=[/no/such/trainer]", "train.schedule.type=constant")
        self.assertEqual(run.wait(30), 127, run.text())
        self.assertIn("/no/such/trainer", run.text())
        self.assertEqual(run.summary()["failure"]["role"], "worker")
        self.assertEqual(run.left_behind(5), {})

    def test_the_token_is_in_its_file_alone(self):
        run = self.start(cluster.DIGITS, *LONG)
        self.wait_for_step(run, 20)
        path = os.path.join(run.directory, "token")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path) as f:
            token = f.read().strip()
        self.assertGreaterEqual(len(token), 32)
        pids = [run.process.pid, *run.processes()]
        self.assertGreaterEqual(len(pids), 8)
        for pid in pids:
            for entry in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{entry}", "rb") as f:
                    self.assertNotIn(token.encode(), f.read(), f"{pid} {entry}")
        run.process.send_signal(signal.SIGINT)
        run.wait(20)
        self.assertNotIn(token, run.text())
        for name in os.listdir(run.directory):
            if name != "token":
                with open(os.path.join(run.directory, name), "rb") as f:
                    self.assertNotIn(token.encode(), f.read(), name)

    def test_a_directory_whose_run_goes_on_is_refused(self):
        run = self.start(cluster.DIGITS, *LONG)
        self.wait_for_step(run, 1)
        second = cluster.Run(cluster.DIGITS, run.directory)
        self.runs.append(second)
        self.assertNotEqual(second.wait(30), 0)
        self.assertIn("name another directory", second.text())
        self.assertIsNone(run.process.poll())

    def test_two_runs_at_once_do_not_meet(self):
        first, second = (self.start(cluster.DIGITS, "train.epochs=2") for _ in range(2))
        self.assertEqual((first.wait(), second.wait()), (0, 0), first.text() + second.text())
        self.assertEqual(first.summary()["weights_sha256"], second.summary()["weights_sha256"])


if __name__ == "__main__":
    cluster.main()
