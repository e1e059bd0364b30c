# SPDX-License-Identifier: Apache-2.0
"""A cluster started process by process, as an operator would on machines of their own."""
import json
import os
import signal
import subprocess

import cluster
import wire

BARE = """version: 1
name: by-hand
workers:
  program: [started by hand]
"""


class Cluster:
    """A coordinator and its servers; workers are started by worker(), or are the test itself, by member().

    `prefix(role, rank)` is put before each command, `address` tells where that process listens (default loopback). Each process
    says that it is ready, and where it listens, on a pipe of its own.
    """

    def __init__(self, test, topology=None, servers=1, workers=1, sets=(), host="127.0.0.1", server_host=None,
                 prefix=lambda role, rank: [], directory="by-hand"):
        self.test = test
        self.prefix = prefix
        self.directory = os.path.join(test.temporary, directory)
        self.token = "a-token-of-the-test"
        self.token_file = test.write("token", self.token + "\n")
        self.processes = {}
        test.addCleanup(self.stop)
        settings = [*sets, f"servers.count={servers}", f"workers.count={workers}"]
        settings = {s.split("=")[0]: s for s in settings}.values()
        self.coordinator = self.start("coordinator", 0, [
            f"--topology={topology or test.write('by-hand.yaml', BARE)}", f"--host={host}", f"--run_dir={self.directory}",
            *[word for s in settings for word in ("--set", s)]], ready=True)
        for rank in range(servers):
            self.start("ps", rank, [f"--coordinator={self.coordinator}", f"--rank={rank}", f"--host={server_host or host}"],
                       ready=True)

    def start(self, role, rank, arguments, ready=False):
        """Starts weir-ROLE; with `ready` waits until it says where it listens."""
        name = f"{role}-{rank}"
        read, write = os.pipe()
        os.set_inheritable(write, True)
        log = open(os.path.join(self.test.temporary, name + ".log"), "wb")
        env = dict(os.environ, WEIR_READY_FD=str(write), WEIR_TOKEN_FILE=self.token_file)
        self.processes[name] = subprocess.Popen(
            [*self.prefix(role, rank), os.path.join(cluster.BIN, f"weir-{role}"), *arguments], stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, env=env, pass_fds=[write])
        log.close()
        os.close(write)
        with os.fdopen(read) as pipe:
            line = pipe.readline().strip() if ready else ""
        if ready and not line:
            self.processes[name].wait(10)
            raise AssertionError(f"{name} did not start:\n{self.log(name)}")
        return line

    def log(self, name):
        with open(os.path.join(self.test.temporary, name + ".log"), errors="replace") as f:
            return f.read()

    def logs(self):
        return "".join(f"\n--- {name}\n{self.log(name)}" for name in self.processes)

    def worker(self, rank):
        self.start("worker", rank, [f"--coordinator={self.coordinator}", f"--rank={rank}"])

    def wait_for_worker(self, rank, seconds=60):
        code = self.processes[f"worker-{rank}"].wait(seconds)
        self.test.assertEqual(code, 0, self.logs())

    def member(self, tensors, rank=None, transport="tcp"):
        return wire.Member(self.coordinator, self.token, tensors, rank, transport)

    def alive(self):
        """The coordinator and every server still run."""
        return all(process.poll() is None for name, process in self.processes.items() if not name.startswith("worker"))

    def second_server(self):
        """What a server says that wants a place which is taken."""
        with self.test.assertRaises(AssertionError) as caught:
            self.start("ps", 9, [f"--coordinator={self.coordinator}", "--rank=0"], ready=True)
            self.processes["ps-9"].wait(20)
            self.test.assertNotEqual(self.processes["ps-9"].returncode, 0)
            raise AssertionError(self.log("ps-9"))
        self.processes.pop("ps-9", None)
        return str(caught.exception)

    def finish(self):
        """After every worker has left: the coordinator saves, stops the servers, and all end well. The summary."""
        for name, process in self.processes.items():
            self.test.assertEqual(process.wait(30), 0, name + self.logs())
        with open(os.path.join(self.directory, "summary.json")) as f:
            return json.load(f)

    def stop(self):
        """Ends what is left, in whatever state it is."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
