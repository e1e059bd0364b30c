# SPDX-License-Identifier: Apache-2.0
"""Bad input on the wire: what a client of another language sends wrongly is refused with a sentence, and the others go on."""
import threading

import cluster
import hand_started
from wire import Session, c, floats, grpc, np, p, t

TENSORS = [t.TensorSpec(name="a", shape=[8, 8]), t.TensorSpec(name="b", shape=[10]), t.TensorSpec(name="c", shape=[4096])]


class WireErrorsTest(cluster.ClusterTest):
    """One server, mode asp with max_staleness 2; the test is its only worker."""

    def setUp(self):
        super().setUp()
        self.cluster = hand_started.Cluster(self, servers=1, workers=1, sets=[
            "consistency.mode=asp", "consistency.max_staleness=2", "train.optimizer.type=sgd",
            "train.optimizer.learning_rate=1"])
        self.member = self.cluster.member(TENSORS)
        self.good, _ = self.member.open(0)
        self.sequence = 0

    def tearDown(self):
        try:
            # Whatever the test did: the good session still works and the weights are where they were.
            kind, reply = self.good.ask(pull=p.Pull(tensor_id=2))
            self.assertEqual(kind, "pull_reply")
            self.assertEqual(reply.count, 10)
            self.assertTrue(self.cluster.alive())
        finally:
            self.good.close()
            self.member.leave()
            self.member.close()
            self.cluster.stop()
            super().tearDown()

    def push(self, session=None, **changes):
        self.sequence += 1
        fields = dict(tensor_id=2, worker_id=0, sequence=self.sequence, base_version=0, atomicity=p.ATOMICITY_SLICE, count=10,
                      examples=1, gradient=np.ones(10, "<f4").tobytes())
        fields.update(changes)
        kind, reply = (session or self.good).ask(push=p.Push(**fields))
        self.assertEqual(kind, "push_reply", reply)
        return reply

    def refused(self, *words, **changes):
        reply = self.push(**changes)
        self.assertEqual(reply.outcome, t.OUTCOME_INVALID, reply)
        for word in words:
            self.assertIn(word, reply.reason)
        kind, pulled = self.good.ask(pull=p.Pull(tensor_id=2))
        self.assertEqual(list(floats(pulled.tensor_data)), [0] * 10)

    def closed(self, code, *words, shard=0, **hello):
        session = Session(self.member.addresses[0], self.member.layout.epoch)
        session.send(hello=self.member.hello(shard, **hello))
        name, sentence = session.end()
        self.assertEqual(name, code, sentence)
        for word in words:
            self.assertIn(word, sentence)
        session.close()

    def test_a_frame_before_hello_closes_the_session(self):
        session = Session(self.member.addresses[0], self.member.layout.epoch)
        session.send(pull=p.Pull(tensor_id=1))
        code, sentence = session.end()
        self.assertEqual(code, "FAILED_PRECONDITION")
        self.assertIn("hello", sentence)
        session.close()

    def test_another_jobs_hello_is_refused_naming_both(self):
        self.closed("FAILED_PRECONDITION", "job", (b"\x11" * 16).hex(), self.member.joined.job_id.hex(), job_id=b"\x11" * 16)

    def test_a_wrong_token_is_refused(self):
        self.closed("UNAUTHENTICATED", "token", job_token="guess")

    def test_another_protocol_is_refused_naming_both(self):
        self.closed("UNIMPLEMENTED", "protocol", "7", "9", "1", protocol_min=7, protocol_max=9)

    def test_a_shard_that_is_not_here_is_refused(self):
        self.closed("UNAVAILABLE", "shard 5", shard=5)

    def test_an_older_incarnation_is_refused(self):
        session, _ = self.member.open(0, worker_id=77, incarnation=9)
        self.closed("FAILED_PRECONDITION", "incarnation", worker_id=77, incarnation=8)
        session.close()

    def test_a_frame_of_another_epoch_is_answered_moved(self):
        kind, reply = self.good.ask(epoch=99, pull=p.Pull(tensor_id=1))
        self.assertEqual((kind, reply.outcome), ("error", t.OUTCOME_MOVED))

    def test_an_unknown_kind_is_unsupported_not_ignored(self):
        frame = p.ClientFrame(request_id=900, epoch=self.member.layout.epoch)
        frame.MergeFromString(b"\xd2\x03\x00")  # field 58, empty
        self.good.frames.put(frame)
        kind, reply = self.good.read(900)
        self.assertEqual((kind, reply.outcome), ("error", t.OUTCOME_INVALID))
        self.assertIn("unsupported", reply.reason)

    def test_bytes_that_are_no_frame_close_the_session(self):
        channel = grpc.insecure_channel(self.member.addresses[0])
        stream = channel.stream_stream("/weir.v1.ParameterService/Session")
        ready = threading.Event()
        call = stream(iter([b"\xff\xff\xff\xff\xff\xff"]), timeout=20)
        with self.assertRaises(grpc.RpcError) as caught:
            list(call)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT, caught.exception.details())
        ready.set()
        channel.close()

    def test_unknown_tensors_are_named(self):
        kind, reply = self.good.ask(pull=p.Pull(layer_name="no/such"))
        self.assertEqual((kind, reply.outcome), ("error", t.OUTCOME_INVALID))
        self.assertIn("no/such", reply.reason)
        kind, reply = self.good.ask(pull=p.Pull(tensor_id=9))
        self.assertEqual((kind, reply.outcome), ("error", t.OUTCOME_INVALID))
        self.refused("9", tensor_id=9)

    def test_wrong_shapes_and_lengths_are_refused(self):
        self.refused("slice", count=9, gradient=np.ones(9, "<f4").tobytes())
        self.refused("slice", offset=1)
        self.refused("bytes", gradient=np.ones(9, "<f4").tobytes())
        self.refused("bytes", gradient=b"")
        self.refused("slice", count=2**63, offset=2**63)

    def test_unknown_enum_values_are_refused(self):
        self.refused("unsupported", codec=77)
        self.refused("unsupported", atomicity=9)

    def test_an_atomic_push_outside_bsp_is_not_yet(self):
        self.refused("not yet", atomicity=p.ATOMICITY_ALL)

    def test_nan_and_infinity_are_refused(self):
        for poison in (np.nan, np.inf, -np.inf):
            gradient = np.ones(10, "<f4")
            gradient[7] = poison
            self.refused("NaN", gradient=gradient.tobytes())

    def test_a_base_from_the_future_is_refused(self):
        self.refused("version", base_version=5)

    def test_a_frame_over_the_limit_ends_that_session_only(self):
        session, _ = self.member.open(0, session_nonce=5, lane=3)
        session.send(push=p.Push(tensor_id=2, sequence=10**6, gradient=bytes(5 << 20)))
        self.assertEqual(session.end()[0], "RESOURCE_EXHAUSTED")
        session.close()

    def test_a_session_that_never_reads_its_answers_is_closed(self):
        session, hello = self.member.open(0, session_nonce=6, lane=4)
        # More answers of 16 KiB than the credit and whatever the connection itself takes in.
        for _ in range(hello.max_requests * 3):
            session.send(pull=p.Pull(tensor_id=3))
        self.assertTrue(cluster.wait_until(session.frames.empty, 60))
        code, sentence = session.end()
        self.assertEqual(code, "RESOURCE_EXHAUSTED", sentence)
        self.assertIn("wait to be read", sentence)
        session.close()

    def test_a_second_server_for_the_shard_is_refused(self):
        output = self.cluster.second_server()
        self.assertIn("the place of server 0 is held by server 0", output)

    def test_a_differing_declaration_is_refused_naming_the_difference(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.member.stub.Declare(c.DeclareRequest(**self.member.me, tensors=[
                TENSORS[0], t.TensorSpec(name="b", shape=[11])]), timeout=20)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn("b", caught.exception.details())

    def test_stale_brings_the_fresh_values_and_counts_nothing(self):
        for base in range(4):
            self.assertEqual(self.push(base_version=base).outcome, t.OUTCOME_APPLIED)
        reply = self.push(base_version=1, want_values=True)
        self.assertEqual((reply.outcome, reply.version), (t.OUTCOME_STALE, 4))
        self.assertEqual(list(floats(reply.tensor_data)), [-4] * 10)

    def test_a_sequence_sent_again_is_a_duplicate_with_its_first_answer(self):
        first = self.push(base_version=0)
        again = self.push(base_version=0, sequence=self.sequence)
        self.assertEqual((again.outcome, again.first, again.version), (t.OUTCOME_DUPLICATE, first.outcome, first.version))
        kind, pulled = self.good.ask(pull=p.Pull(tensor_id=2))
        self.assertEqual(list(floats(pulled.tensor_data)), [-1] * 10)

    def test_a_reader_may_not_push(self):
        session, _ = self.member.open(0, role=p.ROLE_READER, worker_id=0, incarnation=0)
        self.assertEqual(self.push(session).outcome, t.OUTCOME_INVALID)
        kind, _ = session.ask(pull=p.Pull(tensor_id=1))
        self.assertEqual(kind, "pull_reply")
        session.close()


if __name__ == "__main__":
    cluster.main()
