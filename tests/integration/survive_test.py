# SPDX-License-Identifier: Apache-2.0
"""A worker that is killed, or stopped for longer than its lease, is replaced, and the run ends as it would have without."""
import os
import signal

import cluster

# Long enough to be killed in the middle of it several times, and the same work in every run of this file.
TRAINING = ("train.epochs=240",)


class SurviveTest(cluster.ClusterTest):

    def kill_worker(self, run, rank, number=signal.SIGKILL):
        pid = run.find("weir-worker", f"--rank={rank}")
        self.assertIsNotNone(pid, run.text() + self.logs(run))
        os.kill(pid, number)
        return pid

    def runs_again(self, run, rank, pid):
        """Until another process has that worker's place, and trains."""
        def others():
            now = run.find("weir-worker", f"--rank={rank}")
            return now is not None and now != pid
        self.assertTrue(cluster.wait_until(others, 20), run.text() + self.logs(run))

    def end(self, run, timeout=120):
        self.assertEqual(run.wait(timeout), 0, run.text() + self.logs(run))
        self.assertEqual(run.left_behind(5), {})
        return run.summary()

    def test_bsp_ends_with_the_same_bits_whichever_worker_is_killed(self):
        calm = self.finish(cluster.DIGITS, *TRAINING)
        run = self.start(cluster.DIGITS, *TRAINING)
        for step, rank in ((50, 1), (1500, 0), (3000, 2), (4500, 1)):
            self.wait_for_step(run, step)
            self.runs_again(run, rank, self.kill_worker(run, rank))
        killed = self.end(run)
        self.assertEqual(killed["weights_sha256"], calm["weights_sha256"])
        self.assertEqual(killed["test_accuracy"], calm["test_accuracy"])
        self.assertEqual(killed["steps"], calm["steps"])
        self.assertEqual(killed["restarts"], {"workers": 4, "servers": 0})
        self.assertEqual(calm["restarts"], {"workers": 0, "servers": 0})
        self.assertIn("SIGKILL", run.text())
        self.assertIn("it is started again", run.text())

    def test_a_worker_stopped_beyond_its_lease_is_replaced_and_changes_nothing_when_it_goes_on(self):
        calm = self.finish(cluster.DIGITS, *TRAINING)
        run = self.start(cluster.DIGITS, *TRAINING)
        self.wait_for_step(run, 40)
        stopped = self.kill_worker(run, 2, signal.SIGSTOP)
        self.runs_again(run, 2, stopped)
        self.assertIn("was not heard for a lease: it is killed", run.text())
        self.assertEqual(self.end(run)["weights_sha256"], calm["weights_sha256"])

    def test_beyond_the_limit_the_run_ends_and_says_how_often(self):
        run = self.start(cluster.DIGITS, "train.epochs=5000", "restart.workers=1", "restart.backoff=0s")
        self.wait_for_step(run, 20)
        self.runs_again(run, 1, self.kill_worker(run, 1))
        seen = [line for line in run.text().splitlines() if line.startswith("worker-1 runs again")]
        self.assertTrue(cluster.wait_until(lambda: "worker-1 runs again" in run.text(), 20), seen)
        self.kill_worker(run, 1)
        self.assertEqual(run.wait(20), 128 + signal.SIGKILL, run.text())
        failure = run.summary()["failure"]
        self.assertEqual((failure["role"], failure["rank"]), ("worker", 1))
        self.assertEqual(run.summary()["restarts"], {"workers": 1, "servers": 0})
        self.assertIn("1 time within 10m, as often as restart.workers allows", failure["reason"])
        self.assertEqual(run.left_behind(5), {})

    def test_asp_counts_every_example_of_every_step_at_most_once_when_workers_are_killed(self):
        calm = self.finish(cluster.DIGITS, *TRAINING, "consistency.mode=asp")
        run = self.start(cluster.DIGITS, *TRAINING, "consistency.mode=asp")
        # Both at once and early: nobody waits for anybody here, so later one of them may have done all of its steps.
        self.wait_for_step(run, 1)
        victims = {rank: self.kill_worker(run, rank) for rank in (2, 0)}
        for rank, pid in victims.items():
            self.runs_again(run, rank, pid)
        killed = self.end(run)
        self.assertEqual(killed["steps"], calm["steps"])
        self.assertEqual(killed["restarts"]["workers"], 2)
        # A successor does not push again what was under way when its predecessor died: at most one step of 40 examples each.
        self.assertLessEqual(killed["examples"]["counted"], calm["examples"]["counted"])
        self.assertGreaterEqual(killed["examples"]["counted"], calm["examples"]["counted"] - 2 * 40)
        self.assertGreater(killed["test_accuracy"], 0.9)

    def test_a_worker_that_reports_its_own_failure_is_not_started_again(self):
        run = self.start(cluster.DIGITS, "train.optimizer.type=sgd", "train.optimizer.learning_rate=1000",
                         "train.schedule.type=constant", "train.schedule.warmup_steps=0")
        self.assertNotEqual(run.wait(60), 0, run.text())
        self.assertIn("non-finite", run.summary()["failure"]["reason"])
        self.assertEqual(run.summary()["restarts"], {"workers": 0, "servers": 0})


if __name__ == "__main__":
    cluster.main()
