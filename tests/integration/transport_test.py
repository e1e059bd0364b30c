# SPDX-License-Identifier: Apache-2.0
"""The Unix sockets of servers: who may use them, who does, and that nothing of them stays."""
import contextlib
import os
import signal
import socket
import stat
import unittest.mock

import cluster
import hand_started
import wire

LONG = ("train.epochs=5000",)
TENSORS = [wire.t.TensorSpec(name="w", shape=[8])]
RINGS_BYTES = 4096 + 2 * ((256 << 10) + (4 << 20))
SERVERS_TAIL = 3 * 128
# Another view of the files of this host.
OTHER_HOST = ["unshare", "-m" if os.getuid() == 0 else "-Urm"]


class TransportTest(cluster.ClusterTest):

    def setUp(self):
        super().setUp()
        self.place = os.path.join(self.temporary, "xdg")
        os.mkdir(self.place, 0o700)
        patch = unittest.mock.patch.dict(os.environ, XDG_RUNTIME_DIR=self.place)
        patch.start()
        self.addCleanup(patch.stop)

    def sockets(self, *names):
        """The paths of the sockets of these names, or of all, below the place for them."""
        return sorted(os.path.join(self.place, directory, name) for directory in os.listdir(self.place)
                      for name in os.listdir(os.path.join(self.place, directory)) if name in names or not names)

    def mode(self, path):
        return stat.S_IMODE(os.lstat(path).st_mode)

    def assert_nobody_listens(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            with self.assertRaises(ConnectionRefusedError):
                s.connect(path)

    def test_a_run_has_private_sockets_for_each_server_and_leaves_none(self):
        run = self.start(cluster.DIGITS, *LONG, "servers.count=2")
        self.wait_for_step(run, 1)
        self.assertEqual([os.path.basename(path) for path in self.sockets()], ["grpc", "shm"] * 2)
        for path in self.sockets():
            self.assertTrue(stat.S_ISSOCK(os.lstat(path).st_mode))
            self.assertEqual(self.mode(path), 0o600)
            self.assertEqual(self.mode(os.path.dirname(path)), 0o700)
        run.process.send_signal(signal.SIGINT)
        run.wait(20)
        self.assertEqual(os.listdir(self.place), [])

    def test_a_job_that_wants_tcp_has_no_sockets(self):
        run = self.start(cluster.DIGITS, *LONG, "transport=tcp")
        self.wait_for_step(run, 1)
        self.assertEqual(os.listdir(self.place), [])
        run.process.send_signal(signal.SIGINT)
        run.wait(20)

    def test_nothing_stays_of_a_run_whose_server_is_killed(self):
        run = self.start(cluster.DIGITS, *LONG, "servers.count=2")
        self.wait_for_step(run, 1)
        os.kill(run.find("weir-ps", "--rank=0"), signal.SIGKILL)
        self.assertEqual(run.wait(20), 128 + signal.SIGKILL, run.text())
        self.assertEqual(run.left_behind(5), {})
        self.assertEqual(os.listdir(self.place), [])

    def test_nothing_stays_of_a_run_whose_agent_is_killed(self):
        run = self.start(cluster.DIGITS, *LONG)
        self.wait_for_step(run, 1)
        os.kill(run.find("/weir agent"), signal.SIGKILL)
        self.assertEqual(run.wait(20), 128 + signal.SIGKILL, run.text())
        self.assertEqual(run.left_behind(5), {})
        self.assertEqual(os.listdir(self.place), [])

    def test_the_sockets_of_a_killed_server_are_never_used_again_and_the_next_server_removes_them(self):
        job = hand_started.Cluster(self)
        stale = self.sockets()
        self.assertEqual(len(stale), 2)
        job.processes["ps-0"].kill()
        job.processes["ps-0"].wait()
        self.assertEqual(self.sockets(), stale)
        for path in stale:
            self.assert_nobody_listens(path)
        job.stop()
        hand_started.Cluster(self, directory="next")
        self.assertEqual(len(self.sockets()), 2)
        self.assertFalse(set(self.sockets()) & set(stale))

    def test_workers_of_another_host_use_tcp_and_are_refused_where_the_job_wants_uds(self):
        sets = ("train.epochs=1", "transport=auto")
        job = hand_started.Cluster(self, topology=cluster.DIGITS, workers=2, sets=sets,
                                   prefix=lambda role, rank: OTHER_HOST if (role, rank) == ("worker", 1) else [])
        for rank in range(2):
            job.worker(rank)
        for rank in range(2):
            job.wait_for_worker(rank)
        self.assertEqual(job.finish()["transports"], {"tcp": 1, "uds": 0, "shm": 1})

        job = hand_started.Cluster(self, topology=cluster.DIGITS, workers=1, sets=("train.epochs=1", "transport=uds"),
                                   directory="uds", prefix=lambda role, rank: OTHER_HOST if role == "worker" else [])
        job.worker(0)
        self.assertEqual(job.processes["worker-0"].wait(60), 1, job.logs())
        self.assertIn("the transport is uds, which is for one host", job.log("worker-0"))
        self.assertRegex(job.log("worker-0"), "another (user|mount) namespace")

    def test_a_socket_that_is_not_private_any_more_is_not_used_but_tcp(self):
        job = hand_started.Cluster(self, topology=cluster.DIGITS, sets=("train.epochs=1",))
        path, = self.sockets("grpc")
        os.chmod(os.path.dirname(path), 0o711)
        job.worker(0)
        job.wait_for_worker(0)
        self.assertIn("is not this user's alone", job.log("worker-0"))
        self.assertEqual(job.finish()["transports"], {"tcp": 1, "uds": 0, "shm": 0})

    def segments(self, process):
        """The segments of shared memory that a process has mapped, by inode."""
        with open(f"/proc/{process.pid}/maps") as f:
            return {line.split()[4] for line in f if "/memfd:weir" in line}

    def sharing(self):
        """A job that trains over shared memory, its server and its two workers; each has handed a segment to its peers."""
        job = hand_started.Cluster(self, topology=cluster.DIGITS, workers=2, sets=(*LONG, "transport=shm"))
        for rank in range(2):
            job.worker(rank)
        server, *workers = (job.processes[name] for name in ("ps-0", "worker-0", "worker-1"))
        self.assertTrue(cluster.wait_until(lambda: len(self.segments(server)) == 5, 30), job.logs())  # its own, two each
        self.assertTrue(cluster.wait_until(lambda: all(len(self.segments(w)) == 3 for w in workers), 30), job.logs())
        return job, server, workers

    def test_a_server_keeps_no_memory_of_a_worker_that_is_killed(self):
        job, server, (killed, other) = self.sharing()
        lent = self.segments(killed) - self.segments(other)
        self.assertEqual(len(lent & self.segments(server)), 2)
        killed.kill()
        killed.wait()
        self.assertTrue(cluster.wait_until(lambda: not lent & self.segments(server), 5), job.logs())
        self.assertTrue(job.alive(), job.logs())

    def test_a_worker_keeps_no_memory_of_a_server_that_is_killed(self):
        job, server, workers = self.sharing()
        server.kill()
        server.wait()
        for worker in workers:  # but its own
            self.assertTrue(cluster.wait_until(lambda: len(self.segments(worker)) == 1, 5), job.logs())

    def spoil(self, process, until):
        """Lies to a process about what its server has written to the rings of their link, until `until`; see net/shm_ring.h."""
        with open(f"/proc/{process.pid}/maps") as f:
            ranges = [[int(part, 16) for part in line.split()[0].split("-")] for line in f if "/memfd:weir" in line]
        (begin, _), = [r for r in ranges if r[1] - r[0] == RINGS_BYTES]
        with open(f"/proc/{process.pid}/mem", "r+b", buffering=0) as memory:
            def lie():
                with contextlib.suppress(OSError):  # the rings are not there any more
                    for _ in range(1000):  # each frame of the server's puts it right
                        memory.seek(begin + SERVERS_TAIL)
                        memory.write(b"\xff" * 8)
                return until()
            return cluster.wait_until(lie, 30)

    def test_a_worker_whose_shared_memory_breaks_goes_on_by_its_socket_and_no_bit_differs(self):
        sets = ("train.epochs=60", "transport=shm")
        sums = []
        for broken in (False, True):
            job = hand_started.Cluster(self, topology=cluster.DIGITS, workers=2, sets=sets, directory=f"broken-{broken}")
            for rank in range(2):
                job.worker(rank)
            said = lambda: job.log("worker-0").count("shared memory with shard 0 failed")
            if broken:
                worker = job.processes["worker-0"]
                self.assertTrue(cluster.wait_until(lambda: len(self.segments(worker)) == 3, 30), job.logs())
                self.assertTrue(self.spoil(worker, said), job.logs())
            for rank in range(2):
                job.wait_for_worker(rank)
            summary = job.finish()
            sums.append(summary["weights_sha256"])
            self.assertEqual(said(), int(broken), job.logs())
            self.assertEqual(job.log("worker-0").count("its Unix socket serves"), int(broken), job.logs())
            self.assertEqual(summary["transports"], {"tcp": 0, "uds": int(broken), "shm": 2})
        self.assertEqual(sums[0], sums[1])

    def test_a_place_that_is_too_long_for_a_socket_falls_back_to_tmp(self):
        with unittest.mock.patch.dict(os.environ, XDG_RUNTIME_DIR=os.path.join(self.place, "x" * 100)):
            os.mkdir(os.environ["XDG_RUNTIME_DIR"], 0o700)
            job = hand_started.Cluster(self)
            member = job.member(TENSORS, transport="uds")
            self.assertTrue(member.layout.shards[0].uds_path.startswith("/tmp/weir-sock-"), member.layout.shards)
            member.open(0)[0].close()
            member.leave(step=0)
            member.close()
            job.stop()
            self.assertFalse(os.path.exists(os.path.dirname(member.layout.shards[0].uds_path)))

    def test_a_place_where_others_can_replace_the_socket_is_not_used(self):
        os.chmod(self.place, 0o777)
        job = hand_started.Cluster(self)
        self.assertEqual(os.listdir(self.place), [])
        member = job.member(TENSORS, transport="uds")
        self.assertTrue(member.layout.shards[0].uds_path.startswith("/tmp/weir-sock-"), member.layout.shards)
        member.leave(step=0)
        member.close()


if __name__ == "__main__":
    cluster.main()
