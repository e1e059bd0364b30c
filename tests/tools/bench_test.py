# SPDX-License-Identifier: Apache-2.0
"""tools/bench: the table, and what it says where a figure cannot be had."""
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.environ["WEIR_SOURCE_DIR"]
sys.path.insert(0, os.path.join(SOURCE, "tools"))
import bench_rows  # noqa: E402

BENCH = os.path.join(SOURCE, "tools/bench")

# A load test that claims 700 MB/s of a raw TCP of 1,000, and that knows no shm.
LOAD_TEST = """#!/bin/sh
for word; do
  case $word in
    --transport=shm) echo "weir-loadtest: shm is not yet" >&2; exit 2;;
    --json=*) json=${word#--json=};;
  esac
done
echo '{"rows": [{"throughput_mb_s": 700, "raw_tcp_mb_s": 1000, "wrong": 0}], "machine": {"processor": "fake", "cores": 2}}' > "$json"
"""


class BenchTest(unittest.TestCase):

    def bench(self, *arguments, load_test=LOAD_TEST):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "weir-loadtest")
            with open(path, "w", encoding="utf-8") as file:
                file.write(load_test)
            os.chmod(path, stat.S_IRWXU)
            json_path = os.path.join(directory, "bench.json")
            done = subprocess.run(["/usr/bin/python3", "-B", BENCH, f"--bin={directory}", f"--json={json_path}", *arguments],
                                  capture_output=True, text=True, timeout=60, check=False)
            if not os.path.exists(json_path):
                return done, None
            with open(json_path, encoding="utf-8") as file:
                return done, json.load(file)

    def test_prints_what_was_claimed_beside_what_was_measured(self):
        done, figures = self.bench("--only=tcp", "--runs=3")
        self.assertEqual(done.returncode, 0, done.stderr)
        line = next(line for line in done.stdout.splitlines() if line.startswith("| tcp push-pull"))
        self.assertEqual([cell.strip() for cell in line.strip("|").split("|")],
                         ["tcp push-pull throughput", "raw TCP both ways at once, 1 MiB writes", "0.70 (aim 0.85)", "0.70 (0.70 to 0.70)", "met"])
        self.assertEqual(figures["rows"][0]["claims"][0]["runs"], 3)
        self.assertEqual(figures["machine"]["processor"], "fake")

    def test_row_that_cannot_be_had_says_why_in_the_programs_words(self):
        done, figures = self.bench("--only=shm,tcp", "--runs=1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("- shm: not available: weir-loadtest: shm is not yet (exit 2)", done.stdout)
        self.assertEqual([row["claims"][0]["verdict"] for row in figures["rows"]], ["met", "-"])

    def test_figure_that_is_not_reported_is_not_available(self):
        done, _ = self.bench("--only=memory", "--runs=1")
        self.assertIn("- memory: not available: the load test does not report server_peak_growth", done.stdout)

    def test_row_that_fell_back_is_named_and_its_claim_is_not_met(self):
        done, figures = self.bench("--only=uds", "--runs=1", load_test=LOAD_TEST.replace(
            '"wrong": 0', '"wrong": 0, "transport": "uds", "transport_used": "tcp", "fell_back": true'))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("- uds: not available: uds was asked for, but the servers' sessions were carried by tcp", done.stdout)
        self.assertEqual([claim["verdict"] for claim in figures["rows"][0]["claims"]], ["-"])

    def test_wrong_answers_are_an_error(self):
        done, _ = self.bench("--only=tcp", "--runs=1", load_test="#!/bin/sh\necho 7 answers were wrong >&2; exit 1\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("7 answers were wrong", done.stdout)

    def test_markdown_names_the_machine_and_the_runs(self):
        done, _ = self.bench("--only=tcp", "--runs=2", "--markdown")
        self.assertIn("medians of 2 runs in turn. Machine: processor fake, cores 2.", done.stdout)

    def test_unknown_row_is_a_usage_error_that_names_the_rows(self):
        done, figures = self.bench("--only=speed")
        self.assertEqual((done.returncode, figures), (2, None))
        self.assertIn("there is no row 'speed', but tcp, uds", done.stderr)

    def test_signal_ends_what_it_runs(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "weir-loadtest")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nexec 3> {directory}/running\necho here >&3\nexec sleep 600\n")
            os.chmod(path, stat.S_IRWXU)
            running = os.path.join(directory, "running")
            os.mkfifo(running)
            process = subprocess.Popen(["/usr/bin/python3", "-B", BENCH, f"--bin={directory}", "--only=tcp"], stdout=subprocess.DEVNULL)
            with open(running, encoding="utf-8") as file:
                self.assertEqual(file.readline(), "here\n")
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(60), 128 + signal.SIGTERM)
                self.assertEqual(file.read(), "")  # the end: the load test has ended too

    def test_without_a_build_it_says_how_to_build(self):
        done = subprocess.run(["/usr/bin/python3", "-B", BENCH, "--bin=/no/such"], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("cmake --build --preset release", done.stderr)


class RowsTest(unittest.TestCase):

    def test_every_claim_names_measurements_and_one_limit(self):
        for row in bench_rows.ROWS:
            for claim in row.claims:
                self.assertEqual([claim.least, claim.most].count(None), 1, row.name)
                for figure in (claim.over, claim.under):
                    self.assertIn(figure[0] if figure else "tcp", bench_rows.MEASUREMENTS, row.name)

    def test_names_of_rows_differ(self):
        names = [row.name for row in bench_rows.ROWS]
        self.assertEqual(len(names), len(set(names)))

    def test_every_measurement_is_used(self):
        used = {figure[0] for row in bench_rows.ROWS for figure in
                [f for c in row.claims for f in (c.over, c.under)] + [f for n in row.notes for f in n[1:3]] if figure}
        self.assertEqual(used, set(bench_rows.MEASUREMENTS))


if __name__ == "__main__":
    unittest.main()
