# SPDX-License-Identifier: Apache-2.0
"""Training bounded by clocks: it learns, every step counts once whoever is killed, and a worker that stands still holds the
others back no longer than its lease, and never by more than the bound."""
import os
import re
import signal
import time

import cluster
import wire

BOUND = 2
SSP = ("consistency.mode=ssp", f"consistency.max_staleness={BOUND}")
LONG = SSP + ("train.epochs=240",)
LEASE = 10  # seconds


class SspTest(cluster.ClusterTest):

    def worker(self, run, rank):
        pid = run.find("weir-worker", f"--rank={rank}")
        self.assertIsNotNone(pid, run.text() + self.logs(run))
        return pid

    def status(self, run):
        """What the coordinator says of the job: asked as the run's own processes would."""
        with open(f"/proc/{self.worker(run, 0)}/environ", "rb") as f:
            env = dict(entry.split(b"=", 1) for entry in f.read().split(b"\0") if b"=" in entry)
        with open(env[b"WEIR_TOKEN_FILE"].decode()) as f:
            request = wire.c.GetStatusRequest(job=wire.c.JobKey(job_token=f.read().strip()))
        with wire.grpc.insecure_channel(env[b"WEIR_COORDINATOR"].decode()) as channel:
            return wire.coordinator_pb2_grpc.CoordinatorStub(channel).GetStatus(request, timeout=wire.TIMEOUT)

    def steps(self, status):
        return {m.rank: m.step for m in status.members if m.role == wire.c.MEMBER_ROLE_WORKER}

    def awaited(self, status):
        """The worker that a server's readers wait for, and its clock; or None."""
        for member in status.members:
            found = re.fullmatch(r"worker (\d+), which is at clock (\d+)", member.waits_for)
            if member.role == wire.c.MEMBER_ROLE_SERVER and found:
                return tuple(map(int, found.groups()))
        return None

    def test_it_learns_and_says_its_mode(self):
        summary = self.finish(cluster.DIGITS, *SSP)
        self.assertEqual(summary["mode"], "ssp")
        self.assertGreater(summary["test_accuracy"], 0.9)
        self.assertEqual(summary["pushes"]["stale"], 0)
        self.assertEqual(summary["pushes"]["invalid"], 0)

    def test_a_bound_of_no_clock_is_lockstep(self):
        summary = self.finish(cluster.DIGITS, "consistency.mode=ssp", "consistency.max_staleness=0")
        self.assertGreater(summary["test_accuracy"], 0.9)
        self.assertEqual(summary["pushes"]["stale"], 0)

    def test_every_step_counts_once_when_workers_are_killed(self):
        calm = self.finish(cluster.DIGITS, *LONG)
        run = self.start(cluster.DIGITS, *LONG)
        for step, rank in ((100, 2), (2000, 0), (4000, 1)):
            self.wait_for_step(run, step)
            pid = self.worker(run, rank)
            os.kill(pid, signal.SIGKILL)
            self.assertTrue(cluster.wait_until(
                lambda: run.find("weir-worker", f"--rank={rank}") not in (None, pid), 20), run.text())
        self.assertEqual(run.wait(120), 0, run.text() + self.logs(run))
        killed = run.summary()
        self.assertEqual(killed["restarts"]["workers"], 3)
        self.assertEqual(killed["steps"], calm["steps"])
        self.assertEqual(killed["examples"]["counted"], calm["examples"]["counted"], "each step of each worker, once")
        self.assertEqual(killed["pushes"]["applied"], calm["pushes"]["applied"])
        self.assertGreater(killed["test_accuracy"], 0.9)

    def test_a_worker_that_stands_still_holds_the_others_back_until_its_lease_is_over(self):
        run = self.start(cluster.DIGITS, *LONG)
        self.wait_for_step(run, 100)
        os.kill(self.worker(run, 2), signal.SIGSTOP)
        stopped = time.monotonic()
        self.assertTrue(cluster.wait_until(lambda: self.awaited(self.status(run)) is not None, LEASE), run.text())
        time.sleep(2)  # of heartbeats: time in which the others would go on, were they not held back
        held = self.status(run)
        rank, clock = self.awaited(held)
        self.assertEqual(rank, 2)
        self.assertLess(time.monotonic() - stopped, LEASE, "the machine is too slow for this test")
        for other in (0, 1):
            self.assertLessEqual(self.steps(held)[other], clock + BOUND)
            self.assertGreaterEqual(self.steps(held)[other], clock, "they wait at the bound")
        self.assertTrue(cluster.wait_until(
            lambda: min(self.steps(self.status(run))[other] for other in (0, 1)) > clock + BOUND, 2 * LEASE), run.text())
        self.assertGreaterEqual(time.monotonic() - stopped, LEASE - 4, "not before its lease is over")
        self.assertEqual(run.wait(120), 0, run.text() + self.logs(run))
        self.assertEqual(run.summary()["restarts"]["workers"], 1)
        self.assertGreater(run.summary()["test_accuracy"], 0.9)


if __name__ == "__main__":
    cluster.main()
