#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the digits (64-128-10 MLP) as a worker of a Weir cluster in bsp: grpcio, protobuf and NumPy, nothing of Weir's own.

  PYTHONPATH=build/release/python WEIR_COORDINATOR=host:port /usr/bin/python3 examples/numpy_trainer.py [epochs [batch]]
"""
import os, queue, sys, threading, grpc, numpy as np
from weir.v1 import coordinator_pb2 as c, parameter_service_pb2 as p, types_pb2 as t
from weir.v1 import coordinator_pb2_grpc, parameter_service_pb2_grpc
NO_PROXY = [("grpc.enable_http_proxy", 0)]  # servers are near: never by way of $http_proxy
class Session:  # the stream to one shard; credit frames carry no answer
    def __init__(self, address, epoch, **hello):
        self.epoch, self.requests, self.frames = epoch, 0, queue.SimpleQueue()
        self.answers = parameter_service_pb2_grpc.ParameterServiceStub(grpc.insecure_channel(address, NO_PROXY)).Session(
            iter(self.frames.get, None))
        self.send(hello=p.Hello(protocol_min=1, protocol_max=1, role=p.ROLE_WORKER, **hello))
        self.read()
    def send(self, **kind):
        self.requests += 1
        self.frames.put(p.ClientFrame(request_id=self.requests, epoch=self.epoch, **kind))
    def read(self):
        frame = next(f for f in self.answers if f.WhichOneof("kind") != "credit")
        assert frame.WhichOneof("kind") != "error", frame.error.reason
        return getattr(frame, frame.WhichOneof("kind"))

def load(name):
    table = np.loadtxt(os.path.join(os.path.dirname(__file__), "data", name), np.float32, delimiter=",")
    return table[:, :-1] / 16, table[:, -1].astype(int)

def gradient(w, x, y):  # of the cross-entropy SUMMED over the rows, in the order of the tensors; and the loss
    hidden = np.maximum(x @ w[0] + w[1], 0)
    scores = hidden @ w[2] + w[3]
    scores = np.exp(scores - scores.max(1, keepdims=True))
    scores /= scores.sum(1, keepdims=True)
    loss = -np.log(scores[range(len(y)), y]).sum()
    scores[range(len(y)), y] -= 1
    back = scores @ w[2].T * (hidden > 0)
    return [x.T @ back, back.sum(0), hidden.T @ scores, scores.sum(0)], loss

def main(epochs=20, batch=96):
    token = open(os.environ.get("WEIR_TOKEN_FILE", os.devnull)).read().strip()
    coordinator = coordinator_pb2_grpc.CoordinatorStub(grpc.insecure_channel(os.environ["WEIR_COORDINATOR"], NO_PROXY))
    joined = coordinator.Join(c.JoinRequest(
        job=c.JobKey(job_token=token), protocol_min=1, protocol_max=1, role=c.MEMBER_ROLE_WORKER, process_id=os.getpid(),
        has_rank="WEIR_RANK" in os.environ, rank=int(os.environ.get("WEIR_RANK", 0)), host=os.uname().nodename))
    me = dict(job=c.JobKey(job_id=joined.job_id, job_token=token), role=c.MEMBER_ROLE_WORKER,
              rank=joined.rank, incarnation=joined.incarnation)
    settings, progress = joined.settings, {"step": 0, "steps": 0, "values": []}
    assert settings.mode == t.MODE_BSP, "this trainer pushes parts of steps: consistency.mode must be bsp"
    done = threading.Event()
    def heartbeat():  # renews the lease
        while not done.wait(joined.lease_ms / 5000):
            reply = coordinator.Heartbeat(c.HeartbeatRequest(**me, **progress))
            if reply.stop and not done.is_set():
                os._exit(print("told to stop:", reply.reason, flush=True) or 1)
    threading.Thread(target=heartbeat, daemon=True).start()
    he = t.Initializer(kind=t.Initializer.KIND_HE_NORMAL)
    coordinator.Declare(c.DeclareRequest(**me, tensors=[
        t.TensorSpec(name="hidden/weights", shape=[64, 128], initializer=he), t.TensorSpec(name="hidden/bias", shape=[128]),
        t.TensorSpec(name="output/weights", shape=[128, 10], initializer=he), t.TensorSpec(name="output/bias", shape=[10])]))
    layout = coordinator.GetLayout(c.GetLayoutRequest(**me, wait_ms=60000)).layout
    sessions = {s.shard: Session(s.address, layout.epoch, job_id=joined.job_id, job_token=token, shard=s.shard,
                                 worker_id=joined.rank, incarnation=joined.incarnation) for s in layout.shards}
    weights = [np.empty(tuple(s.shape), np.float32) for s in layout.tensors]
    def pull(step):  # the weights that `step` reads; waits until everybody's step before it is in
        for s in layout.slices:
            sessions[s.shard].send(pull=p.Pull(
                tensor_id=s.tensor_id, offset=s.offset, count=s.count, version=step, condition=p.Pull.CONDITION_STEP))
        for s in layout.slices:
            reply = sessions[s.shard].read()
            weights[reply.tensor_id - 1].flat[reply.offset:reply.offset + reply.count] = np.frombuffer(reply.tensor_data, "<f4")
    x, y = load("digits_train.csv")
    parts, per_epoch = settings.gradient_shards, len(x) // batch
    mine = range(joined.rank * parts // settings.workers, (joined.rank + 1) * parts // settings.workers)
    progress["steps"] = epochs * per_epoch
    for step in range(progress["steps"]):
        pull(step)
        order = np.random.RandomState((settings.seed + step // per_epoch) % 2**32).permutation(len(x))
        rows, loss = np.array_split(order[step % per_epoch * batch:][:batch], parts), 0.0
        for part in mine:
            grads, part_loss = gradient(weights, x[rows[part]], y[rows[part]])
            loss += part_loss / sum(len(rows[i]) for i in mine)
            for s in layout.slices:
                data = grads[s.tensor_id - 1].astype("<f4").reshape(-1)[s.offset:s.offset + s.count].tobytes()
                sessions[s.shard].send(push=p.Push(
                    tensor_id=s.tensor_id, worker_id=joined.rank, sequence=step * parts + part + 1, base_version=step,
                    lowest_pending=step * parts + 1, offset=s.offset, count=s.count, step=step, first_part=part, parts=1,
                    batch=step, examples=len(rows[part]), gradient=data))
        for s in [s for _ in mine for s in layout.slices]:  # each is answered when the step is committed
            reply = sessions[s.shard].read()
            assert reply.outcome == t.OUTCOME_APPLIED, f"step {step}: {t.Outcome.Name(reply.outcome)} {reply.reason}"
        progress.update(step=step + 1, values=[c.NamedValue(name="loss", value=loss)])
    pull(progress["step"])
    x, y = load("digits_test.csv")
    accuracy = ((np.maximum(x @ weights[0] + weights[1], 0) @ weights[2] + weights[3]).argmax(1) == y).mean()
    done.set()
    progress["values"].append(c.NamedValue(name="test_accuracy", value=accuracy))
    coordinator.Leave(c.LeaveRequest(**me, step=progress["step"], values=progress["values"]))

main(*map(int, sys.argv[1:]))
