# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a process that is not replaced ends the run with a report that names it, and leaves nothing behind."""
import json
import os
import signal
import time

import cluster
import hand_started
import wire

LONG = ("train.epochs=5000", "restart.workers=0")

# A worker that stops its server in the kernel's sense, and leaves: nobody will answer whoever wants the weights.
STOPS_ITS_SERVER = """
import os, signal
import wire
with open(os.environ["WEIR_TOKEN_FILE"]) as f:
    token = f.read().strip()
member = wire.Member(os.environ["WEIR_COORDINATOR"], token, [wire.t.TensorSpec(name="w", shape=[8])])
server, = [m for m in member.stub.GetStatus(wire.c.GetStatusRequest(job=member.me["job"])).members
           if m.role == wire.c.MEMBER_ROLE_SERVER]
os.kill(server.process_id, signal.SIGSTOP)
member.leave(step=1)
"""

# A worker that leaves, and something it leaves behind: KILLS_THE_AGENT.
LEAVES_A_KILLER = """
import os, subprocess, sys
import wire
with open(os.environ["WEIR_TOKEN_FILE"]) as f:
    token = f.read().strip()
member = wire.Member(os.environ["WEIR_COORDINATOR"], token, [wire.t.TensorSpec(name="w", shape=[4000000])])
killer = subprocess.Popen([sys.executable, os.environ["KILLER"], str(os.getppid())], start_new_session=True,
                          stdout=subprocess.PIPE)
killer.stdout.readline()
member.leave(step=1)
"""

# When the weights are being written, stops the server, so that it will not leave; kills the agent when the job is stopping.
KILLS_THE_AGENT = """
import os, signal, sys, time
import wire
with open(os.environ["WEIR_TOKEN_FILE"]) as f:
    request = wire.c.GetStatusRequest(job=wire.c.JobKey(job_token=f.read().strip()))
stub = wire.coordinator_pb2_grpc.CoordinatorStub(wire.grpc.insecure_channel(os.environ["WEIR_COORDINATOR"]))
server, = [m for m in stub.GetStatus(request).members if m.role == wire.c.MEMBER_ROLE_SERVER]
print("ready", flush=True)
while not any("model.safetensors" in name for name in os.listdir(os.environ["RUN"])):
    pass
os.kill(server.process_id, signal.SIGSTOP)
while not stub.GetStatus(request).stopping:
    time.sleep(0.01)
os.kill(int(sys.argv[1]), signal.SIGKILL)
"""


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

    def ends_with_a_stopped_server(self):
        """A run whose worker has left, while its server gives no weights to the launcher, which waits for them."""
        script = self.write("stops.py", STOPS_ITS_SERVER)
        run = self.start(cluster.DIGITS, f"workers.program=[/usr/bin/python3, {script}]", "workers.count=1",
                         "servers.count=1", "train.schedule.type=constant",
                         environment={"PYTHONPATH": os.path.dirname(os.path.abspath(__file__))})
        worker = f"/usr/bin/python3 {script}"
        self.assertTrue(cluster.wait_until(lambda: run.find(worker), 30), run.text())

        def connects():  # the launcher, to the coordinator and to the server
            fds = f"/proc/{run.process.pid}/fd"
            try:
                links = [os.readlink(os.path.join(fds, fd)) for fd in os.listdir(fds)]
            except FileNotFoundError:  # closed meanwhile
                return False
            return sum(link.startswith("socket:") for link in links) >= 2
        self.assertTrue(cluster.wait_until(lambda: not run.find(worker) and connects(), 30), run.text())
        return run

    def test_ctrl_c_is_heard_while_the_weights_are_taken(self):
        run = self.ends_with_a_stopped_server()
        run.process.send_signal(signal.SIGINT)
        # Sooner than gRPC gives the connection up, which takes 5 seconds.
        self.assertTrue(cluster.wait_until(lambda: "once more" in run.text(), 3), run.text() + self.logs(run))
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(20), 128 + signal.SIGINT, run.text() + self.logs(run))
        self.assertEqual(run.summary()["status"], "interrupted")
        self.assertEqual(run.left_behind(5), {})

    def test_a_shard_that_does_not_give_its_weights_is_named(self):
        run = self.ends_with_a_stopped_server()
        self.assertEqual(run.wait(60), 1, run.text() + self.logs(run))
        self.assertIn("the weights could not be saved: shard 0 at 127.0.0.1:", run.text())
        self.assertEqual(run.summary()["status"], "failed")
        self.assertEqual(run.left_behind(5), {})

    def test_an_agent_killed_while_the_servers_leave_is_named(self):
        script = self.write("leaves.py", LEAVES_A_KILLER)
        environment = {"PYTHONPATH": os.path.dirname(os.path.abspath(__file__)), "RUN": os.path.join(self.temporary, "run0"),
                       "KILLER": self.write("kills.py", KILLS_THE_AGENT)}
        run = self.start(cluster.DIGITS, f"workers.program=[/usr/bin/python3, {script}]", "workers.count=1",
                         "servers.count=1", "train.schedule.type=constant", environment=environment)
        self.check_report(run, "agent", "agent", 0)
        self.assertTrue(os.path.exists(os.path.join(run.directory, "model.safetensors")))

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
        self.assertEqual(second.wait(30), 2)
        self.assertIn("name another directory", second.text())
        self.assertIsNone(run.process.poll())

    def test_two_runs_at_once_do_not_meet(self):
        first, second = (self.start(cluster.DIGITS, "train.epochs=2") for _ in range(2))
        self.assertEqual((first.wait(), second.wait()), (0, 0), first.text() + second.text())
        self.assertEqual(first.summary()["weights_sha256"], second.summary()["weights_sha256"])


class HandStartedTest(cluster.ClusterTest):
    """A coordinator that was started by hand ends when it is told to, whatever it waits for."""

    TENSORS = [wire.t.TensorSpec(name="w", shape=[8])]

    def with_a_stopped_server(self):
        """A job whose server does nothing any more, and the worker that is this test."""
        job = hand_started.Cluster(self)
        member = job.member(self.TENSORS)
        server = job.processes["ps-0"]
        server.send_signal(signal.SIGSTOP)
        self.addCleanup(server.kill)
        return job, member

    def ends_by_sigterm(self, job, words, status):
        """Once it says `words`, SIGTERM ends the coordinator at once; its exit code."""
        self.assertTrue(cluster.wait_until(lambda: words in job.log("coordinator-0"), 20), job.logs())
        coordinator = job.processes["coordinator-0"]
        coordinator.send_signal(signal.SIGTERM)
        code = coordinator.wait(7)
        with open(os.path.join(job.directory, "summary.json")) as f:
            self.assertEqual(json.load(f)["status"], status)
        return code

    def test_sigterm_ends_a_coordinator_that_reads_the_weights(self):
        job, member = self.with_a_stopped_server()
        member.leave(step=1)
        self.assertEqual(self.ends_by_sigterm(job, "saves the weights", "interrupted"), 128 + signal.SIGTERM)

    def test_sigterm_ends_a_coordinator_that_waits_for_leavers(self):
        job, member = self.with_a_stopped_server()
        member.heartbeat(failure="the disk is on fire")
        self.assertEqual(self.ends_by_sigterm(job, "the disk is on fire", "failed"), 1)

    def test_a_failed_job_waits_for_no_lease_of_a_worker_that_was_told_to_stop(self):
        job = hand_started.Cluster(self, topology=cluster.DIGITS, workers=2, sets=LONG)
        job.worker(1)
        member = job.member(None, rank=0)
        member.heartbeat(failure="the disk is on fire")
        member.leave(step=1)
        failed = time.monotonic()
        self.assertEqual(job.processes["coordinator-0"].wait(30), 1, job.logs())
        self.assertLess(time.monotonic() - failed, 7, job.logs())  # a lease is 10 s
        self.assertNotEqual(job.processes["worker-1"].wait(10), 0)
        with open(os.path.join(job.directory, "summary.json")) as f:
            self.assertIn("the disk is on fire", json.load(f)["failure"]["reason"])


if __name__ == "__main__":
    cluster.main()
