# SPDX-License-Identifier: Apache-2.0
"""The comparison with REST and JSON, with real processes: every form, a small model, a few seconds."""

import glob
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

import cluster

LOADTEST = os.path.join(cluster.BIN, "weir-loadtest")
SMALL = ["--compare=rest-json", "--profile=uniform:8x1000", "--workers=2", "--servers=1", "--runs=2",
         "--compare_seconds=0.2", "--in_flight=1,4", "--transport=tcp"]


class CompareTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.environment = dict(os.environ, TMPDIR=self.directory.name)

    def loadtest(self, *arguments, limit=100):
        return subprocess.run([LOADTEST, *arguments], capture_output=True, text=True, timeout=limit,
                              env=self.environment, check=False)

    def test_every_form_answers_the_same_load_without_a_wrong_value(self):
        report = os.path.join(self.directory.name, "report.json")
        done = self.loadtest(*SMALL, f"--json={report}")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(report, encoding="utf-8") as file:
            figures = json.load(file)
        rows = {(row["form"], row["in_flight"]): row for row in figures["rows"]}
        forms = ("weir tcp", "json-numbers", "json-base64", "json-base64-fast")
        self.assertEqual(set(rows), {(form, n) for form in forms for n in (1, 4)})
        for name, row in rows.items():
            self.assertEqual(row["wrong"], 0, name)
            self.assertGreater(row["checked"], 0, name)
            self.assertGreater(row["throughput_mb_s"], 0, name)
            self.assertGreaterEqual(row["pull_us_p99"], row["pull_us_p50"], name)
        if figures["network"] == "private":
            # 2 workers, 4 lanes each, 1 server: what the kernel counts is what was opened.
            for form in forms[1:]:
                self.assertEqual(rows[form, 4]["active_opens"], 8, form)
                self.assertEqual(rows[form, 4]["passive_opens"], 8, form)
        self.assertEqual(glob.glob(os.path.join(self.directory.name, "weir-*")), [])

    def test_seed_table_stands_beside_the_reference(self):
        done = self.loadtest(*SMALL, "--table=seed", "--in_flight=1", "--compare_forms=json-base64")
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("network mode", "gRPC (reference, 16 nodes)", "REST (reference, 16 nodes)",
                      "weir tcp, 2 on 1", "Beside the reference's gRPC:"):
            self.assertIn(words, done.stdout)

    def test_wrong_flags_are_usage(self):
        for flags in (["--compare=soap"], ["--table=seed"], ["--compare=rest-json", "--table=x"],
                      ["--compare=rest-json", "--in_flight=0"], ["--compare=rest-json", "--in_flight=a"],
                      ["--compare=rest-json", "--compare_forms=xml"],
                      ["--compare=rest-json", "--profile=none"],
                      ["--compare=rest-json", "--compare_seconds=0"]):
            done = self.loadtest(*flags)
            self.assertEqual(done.returncode, 2, flags)
            self.assertTrue(done.stderr.startswith("weir-loadtest: "), done.stderr)

    def test_signal_ends_everything_that_was_started(self):
        load = subprocess.Popen([LOADTEST, *SMALL, "--compare_seconds=100"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment)
        self.addCleanup(load.kill)
        said = load.stderr.readline()
        while "json-numbers" not in said:
            said = load.stderr.readline()
        load.send_signal(signal.SIGTERM)
        output, errors = load.communicate(timeout=60)
        self.assertEqual(load.returncode, 128 + signal.SIGTERM, errors)
        self.assertEqual(output, "")
        self.assertIn("interrupted: nothing was measured", errors)
        self.assertEqual(self.left_over(), [])

    def left_over(self):
        """Command lines of processes that name this test's directory, once they have had time to go."""
        for _ in range(100):
            found = []
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    with open(path, encoding="utf-8", errors="replace") as file:
                        line = file.read()
                except OSError:
                    continue
                if self.directory.name in line:
                    found.append(line)
            if not found:
                return []
            time.sleep(0.05)
        return found


if __name__ == "__main__":
    unittest.main()
