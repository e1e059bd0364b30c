# SPDX-License-Identifier: Apache-2.0
"""A client of Weir's wire in another language: code generated from proto/, default channel options, nothing of Weir's own."""
import os
import queue
import sys

import cluster

sys.path.insert(0, cluster.PYTHON_GEN)
import grpc  # noqa: E402
import numpy as np  # noqa: E402
from weir.v1 import coordinator_pb2 as c, parameter_service_pb2 as p, types_pb2 as t  # noqa: E402,F401
from weir.v1 import coordinator_pb2_grpc, parameter_service_pb2_grpc  # noqa: E402

TIMEOUT = 30  # seconds that any single answer may take


class Session:
    """One stream to one shard."""

    def __init__(self, address, epoch):
        self.channel = grpc.insecure_channel(address)
        self.epoch = epoch
        self.requests = 0
        self.frames = queue.SimpleQueue()
        self.released = 0
        stub = parameter_service_pb2_grpc.ParameterServiceStub(self.channel)
        self.call = stub.Session(iter(self.frames.get, None), timeout=10 * TIMEOUT)

    def send(self, epoch=None, **kind):
        self.requests += 1
        self.frames.put(p.ClientFrame(request_id=self.requests, epoch=self.epoch if epoch is None else epoch, **kind))
        return self.requests

    def read(self, want=None):
        """The next answer that is not bare credit: (kind, message). Checks the request id when `want` is given."""
        for frame in self.call:
            self.released = frame.push_bytes_released
            kind = frame.WhichOneof("kind")
            if kind == "credit":
                continue
            if want is not None and frame.request_id != want:
                raise AssertionError(f"an answer to {frame.request_id}, not to {want}: {frame}")
            return kind, getattr(frame, kind)
        raise AssertionError("the stream ended without an answer")

    def ask(self, epoch=None, **kind):
        return self.read(self.send(epoch, **kind))

    def end(self):
        """How the server closed the stream: (code name, sentence)."""
        try:
            for _ in self.call:
                pass
        except grpc.RpcError as error:
            return error.code().name, error.details()
        return "OK", ""

    def close(self):
        self.frames.put(None)
        self.call.cancel()
        self.channel.close()


class Member:
    """A worker that has joined and declared: its sessions by shard, and the layout."""

    def __init__(self, coordinator, token, tensors, rank=None, transport="tcp"):
        self.channel = grpc.insecure_channel(coordinator)
        self.stub = coordinator_pb2_grpc.CoordinatorStub(self.channel)
        self.token = token
        self.joined = self.stub.Join(c.JoinRequest(
            job=c.JobKey(job_token=token), protocol_min=1, protocol_max=1, role=c.MEMBER_ROLE_WORKER,
            has_rank=rank is not None, rank=rank or 0, host="test", process_id=os.getpid()), timeout=TIMEOUT)
        self.me = dict(job=c.JobKey(job_id=self.joined.job_id, job_token=token), role=c.MEMBER_ROLE_WORKER,
                       rank=self.joined.rank, incarnation=self.joined.incarnation)
        if tensors is not None:  # else the other workers declare
            self.stub.Declare(c.DeclareRequest(**self.me, tensors=tensors), timeout=TIMEOUT)
        self.layout = self.stub.GetLayout(c.GetLayoutRequest(**self.me, wait_ms=30000), timeout=2 * TIMEOUT).layout
        self.addresses = {s.shard: s.address if transport == "tcp" else f"unix:{s.uds_path}" for s in self.layout.shards}

    def hello(self, shard, **changes):
        fields = dict(protocol_min=1, protocol_max=1, job_id=self.joined.job_id, job_token=self.token, role=p.ROLE_WORKER,
                      worker_id=self.joined.rank, incarnation=self.joined.incarnation, session_nonce=1, shard=shard)
        fields.update(changes)
        return p.Hello(**fields)

    def open(self, shard, **changes):
        """A session that has said hello, and the answer."""
        session = Session(self.addresses[shard], self.layout.epoch)
        kind, reply = session.ask(hello=self.hello(shard, **changes))
        assert kind == "hello_reply", (kind, reply)
        return session, reply

    def heartbeat(self, **fields):
        return self.stub.Heartbeat(c.HeartbeatRequest(**self.me, **fields), timeout=TIMEOUT)

    def leave(self, **fields):
        self.stub.Leave(c.LeaveRequest(**self.me, **fields), timeout=TIMEOUT)

    def close(self):
        self.channel.close()


def floats(data):
    return np.frombuffer(data, "<f4")
