# SPDX-License-Identifier: Apache-2.0
"""A Python client with default channel options trains the digits beside a C++ worker, and the weights have the same bits."""
import hashlib
import os
import subprocess

import cluster
import hand_started
from wire import floats, np, p, t

# 3,823 rows in batches of 1,900: two steps. 4 KiB slices cut the first layer into several.
SETS = ("train.epochs=1", "train.schedule.warmup_steps=1", "train.batch=1900", "train.gradient_shards=2", "slice_bytes=4096", "servers.count=2",
        "workers.count=2", "consistency.mode=bsp")
STEPS = 2


class PythonWorkerTest(cluster.ClusterTest):

    def gradient(self, member, weights, step, part):
        """What the C++ worker would push for this part: computed by the same code, in a process of its own."""
        before, after = (os.path.join(self.temporary, name) for name in ("weights.f32", "gradient.f32"))
        np.concatenate([w.reshape(-1) for w in weights]).tofile(before)
        command = [os.path.join(cluster.BIN, "tests", "part_gradient"), cluster.DIGITS, str(step), str(part), before, after]
        done = subprocess.run(command + [word for s in SETS for word in ("--set", s)], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        flat, parts = np.fromfile(after, "<f4"), []
        for weight in weights:
            parts.append(flat[:weight.size])
            flat = flat[weight.size:]
        return parts, int(done.stdout)

    def pull(self, member, sessions, step):
        """Whole tensors by name: each shard answers with the slices that it holds."""
        weights = [np.full(s.shape, np.nan, np.float32) for s in member.layout.tensors]
        for shard, session in sessions.items():
            for tensor in {s.tensor_id for s in member.layout.slices if s.shard == shard}:
                want = session.send(pull=p.Pull(layer_name=member.layout.tensors[tensor - 1].name, version=step,
                                                worker_id=member.joined.rank, condition=p.Pull.CONDITION_STEP))
                remaining = 1
                while remaining:
                    kind, reply = session.read(want)
                    self.assertEqual(kind, "pull_reply", reply)
                    self.assertEqual((reply.version, reply.stale), (step, False))
                    data = floats(reply.tensor_data)
                    self.assertEqual(len(data), reply.count)
                    weights[tensor - 1].reshape(-1)[reply.offset:reply.offset + reply.count] = data
                    remaining = reply.remaining
        self.assertFalse(any(np.isnan(w).any() for w in weights))
        return weights

    def push_frame(self, member, piece, arrays, at_step, sequence, examples, **changes):
        data = arrays[piece.tensor_id - 1][piece.offset:piece.offset + piece.count].tobytes()
        fields = dict(tensor_id=piece.tensor_id, worker_id=member.joined.rank, sequence=sequence, base_version=at_step, step=at_step,
                      first_part=1, parts=1, offset=piece.offset, count=piece.count, examples=examples, batch=at_step,
                      gradient=data)
        fields.update(changes)
        return p.Push(**fields)

    def test_two_steps_beside_a_cpp_worker_give_the_bits_of_the_cpp_run(self):
        self.check_two_steps("tcp")

    def test_over_unix_sockets_too(self):
        self.check_two_steps("uds")

    def check_two_steps(self, transport):
        expected = self.finish(cluster.DIGITS, *SETS)
        self.assertEqual(expected["steps"], STEPS)

        started = hand_started.Cluster(self, topology=cluster.DIGITS, servers=2, workers=2, sets=SETS)
        started.worker(rank=0)
        member = started.member(None, rank=1, transport=transport)
        several = [s for s in member.layout.slices if s.tensor_id == 1]
        self.assertGreater(len(several), 3, "the first tensor is to have several slices")
        sessions = {shard: member.open(shard)[0] for shard in member.addresses}

        for step in range(STEPS):
            weights = self.pull(member, sessions, step)
            gradient, examples = self.gradient(member, weights, step, 1)
            sequence = step + 1
            if step == 0:
                self.check_refusals(member, sessions, several[0], gradient, examples)
            frames = [(piece, self.push_frame(member, piece, gradient, step, sequence, examples))
                      for piece in member.layout.slices]
            # Half of the gradient is sent; then the connections are lost, and all of it is sent again.
            for piece, frame in frames[::2]:
                sessions[piece.shard].send(push=frame)
            for session in sessions.values():
                session.close()
            sessions = {shard: member.open(shard, session_nonce=step + 2)[0] for shard in member.addresses}
            for piece, frame in frames:
                sessions[piece.shard].send(push=frame)
            for piece, _ in frames:
                kind, reply = sessions[piece.shard].read()
                self.assertEqual(kind, "push_reply", reply)
                self.assertIn(reply.outcome, (t.OUTCOME_APPLIED, t.OUTCOME_DUPLICATE), reply)
            # Everything has ended: asked again, each slice tells how.
            self.pull(member, sessions, step + 1)
            for piece, frame in frames:
                kind, reply = sessions[piece.shard].ask(push=frame)
                self.assertEqual((reply.outcome, reply.first, reply.version),
                                 (t.OUTCOME_DUPLICATE, t.OUTCOME_APPLIED, step + 1), reply)
            # The same part under a new sequence, as a replacement would send it: it is not counted twice either.
            piece = several[0]
            kind, reply = sessions[piece.shard].ask(
                push=self.push_frame(member, piece, gradient, step, 1500 + step, examples))
            self.assertEqual(reply.outcome, t.OUTCOME_DUPLICATE, reply)
            member.heartbeat(step=step + 1, steps=STEPS)

        weights = self.pull(member, sessions, STEPS)
        digest = hashlib.sha256()
        for name, weight in sorted((s.name, w) for s, w in zip(member.layout.tensors, weights)):
            digest.update(weight.astype("<f4").tobytes())
        self.assertEqual(digest.hexdigest(), expected["weights_sha256"])

        # Stale, from both verbs: an old version is expected; a gradient names weights older than its step.
        piece = several[0]
        kind, reply = sessions[piece.shard].ask(pull=p.Pull(
            tensor_id=piece.tensor_id, offset=piece.offset, count=piece.count, version=1, condition=p.Pull.CONDITION_EXPECT))
        self.assertEqual((kind, reply.stale, reply.version, len(reply.tensor_data)), ("pull_reply", True, STEPS, 0))
        kind, reply = sessions[piece.shard].ask(push=self.push_frame(
            member, piece, gradient, STEPS, 2000, examples, base_version=STEPS - 1, want_values=True))
        self.assertEqual((reply.outcome, reply.version, reply.count), (t.OUTCOME_STALE, STEPS, piece.count), reply)
        self.assertEqual(floats(reply.tensor_data).tobytes(), weights[piece.tensor_id - 1].reshape(-1)
                         [piece.offset:piece.offset + piece.count].tobytes())

        member.leave(step=STEPS)
        started.wait_for_worker(0)
        for session in sessions.values():
            session.close()
        member.close()
        started.stop()

    def check_refusals(self, member, sessions, piece, gradient, examples):
        for number, (changes, words) in enumerate((
                (dict(gradient=b"1234"), "bytes"),
                (dict(offset=piece.offset + 1), "slice"),
                (dict(first_part=1, parts=2), "block"),
                (dict(step=7, base_version=7), "ahead"),
                (dict(tensor_id=999), "999"))):
            frame = self.push_frame(member, piece, gradient, 0, 1000 + number, examples, **changes)
            kind, reply = sessions[piece.shard].ask(push=frame)
            self.assertEqual((kind, reply.outcome), ("push_reply", t.OUTCOME_INVALID), reply)
            self.assertIn(words, reply.reason)


if __name__ == "__main__":
    cluster.main()
