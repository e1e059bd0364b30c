# SPDX-License-Identifier: Apache-2.0
"""What tools/bench and tools/versus_gloo make of the runs they start."""
import os
import stat
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.environ["WEIR_SOURCE_DIR"], "tools"))
import load_runs  # noqa: E402
import resnet50_shapes  # noqa: E402
from load_runs import NotAvailable, Spread  # noqa: E402


class SpreadTest(unittest.TestCase):

    def test_spread_is_the_median_beside_lowest_and_highest(self):
        self.assertEqual(Spread([3, 1, 2]).text(0), "2 (1 to 3)")
        self.assertEqual(Spread([1234.5]).text(1), "1,234.5")

    def test_ratio_is_taken_run_by_run(self):
        spread = load_runs.ratios([2, 30], [1, 10])
        self.assertEqual((spread.low, spread.high), (2, 3))

    def test_claim_within_the_spread_is_undecided(self):
        self.assertEqual(load_runs.verdict(Spread([0.6, 0.8]), least=0.7), "undecided")
        self.assertEqual(load_runs.verdict(Spread([0.7, 0.8]), least=0.7), "met")
        self.assertEqual(load_runs.verdict(Spread([0.5, 0.69]), least=0.7), "missed")
        self.assertEqual(load_runs.verdict(Spread([9, 11]), most=10), "undecided")
        self.assertEqual(load_runs.verdict(Spread([9, 10]), most=10), "met")
        self.assertEqual(load_runs.verdict(Spread([10.1, 11]), most=10), "missed")

    def test_table_columns_are_padded(self):
        self.assertEqual(load_runs.table(("a", "bb"), [("ccc", "d")]), ["| a   | bb |", "| --- | -- |", "| ccc | d  |"])


class LoadTestRunTest(unittest.TestCase):

    def load_test(self, script):
        """A run of a load test that is `script`; $1 is its --json=FILE."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "weir-loadtest")
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nfor last; do :; done; json=${last#--json=}\n" + script + "\n")
            os.chmod(path, stat.S_IRWXU)
            return load_runs.load_test(directory, {"steps": 3}, 20)["rows"]

    def refused(self, script):
        with self.assertRaises(NotAvailable) as caught:
            self.load_test(script)
        return str(caught.exception)

    def test_row_is_what_the_program_wrote(self):
        rows = self.load_test("""echo '{"rows": [{"wrong": 0, "a": 2.5, "b": {"median": 4}, "c": null}]}' > $json""")
        self.assertEqual(load_runs.figure(rows[0], "a"), 2.5)
        self.assertEqual(load_runs.figure(rows[0], "b"), 4)
        for absent in ("c", "d"):
            with self.assertRaisesRegex(NotAvailable, f"does not report {absent}"):
                load_runs.figure(rows[0], absent)

    def test_refusal_is_the_programs_own_sentence(self):
        self.assertEqual(self.refused("echo weir-loadtest: not yet >&2; exit 2"), "weir-loadtest: not yet (exit 2)")

    def test_wrong_answer_is_no_figure(self):
        with self.assertRaisesRegex(load_runs.WrongAnswers, "3 answers were wrong"):
            self.load_test("echo weir-loadtest: 3 answers were wrong >&2; exit 1")

    def test_row_that_something_else_carried_is_refused_and_named(self):
        with self.assertRaisesRegex(load_runs.FellBack, "shm was asked for, but the servers' sessions were carried by uds 1, shm 3"):
            self.load_test("""echo '{"rows": [{"transport": "shm", "transport_used": "uds 1, shm 3", "fell_back": true}]}' > $json""")
        for fell_back in ("false", "null"):  # of a job that it attached to, nobody can say
            self.load_test('echo \'{"rows": [{"transport": "shm", "fell_back": %s}]}\' > $json' % fell_back)

    def test_run_without_figures_is_not_available(self):
        self.assertIn("wrote no figures", self.refused("true"))
        self.assertIn("wrote no figures", self.refused("echo '{' > $json"))
        self.assertIn("wrote no row", self.refused("echo '{}' > $json"))

    def test_program_that_is_not_there_or_does_not_end_is_not_available(self):
        with self.assertRaisesRegex(NotAvailable, "there is no /no/such"):
            load_runs.run_program(["/no/such"], 1)
        with self.assertRaisesRegex(NotAvailable, "did not end within 0 s"):
            load_runs.run_program(["cat", "/dev/zero"], 0.01)


class ShapesTest(unittest.TestCase):

    def test_resnet50_has_161_tensors_of_25557032_values(self):
        self.assertEqual((len(resnet50_shapes.shapes()), sum(resnet50_shapes.element_counts())), (161, 25557032))


if __name__ == "__main__":
    unittest.main()
