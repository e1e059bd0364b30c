# SPDX-License-Identifier: Apache-2.0
"""--version of every program names the build, the allocator and the kernels; the allocator keeps large blocks."""
import os
import subprocess
import unittest

import cluster

PROGRAMS = ("weir", "weir-coordinator", "weir-ps", "weir-worker", "weir-loadtest", "weir-sim")


def run(*command, **environment):
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=dict(os.environ, **environment))


class VersionTest(unittest.TestCase):

    def test_every_program_tells_build_allocator_and_kernels(self):
        for program in PROGRAMS:
            with self.subTest(program=program):
                done = run(os.path.join(cluster.BIN, program), "--version")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertRegex(done.stdout, rf"\A{program} [0-9.]+ \(\S+\)\n"
                                              r"allocator: (jemalloc|glibc) [0-9.]+; kernels: (SSE4|AVX2|AVX3)\n\Z")
        self.assertIn("allocator:", run(cluster.WEIR, "ps", "--version").stdout)

    def test_large_blocks_stay_mapped_and_the_environment_has_the_last_word(self):
        if "jemalloc" not in run(cluster.WEIR, "--version").stdout:
            return  # glibc tells none of its settings
        told = run(cluster.WEIR, "--version", MALLOC_CONF="stats_print:true").stderr
        self.assertIn('opt.thp: "always"', told)
        self.assertIn("opt.oversize_threshold: 0", told)
        told = run(cluster.WEIR, "--version", MALLOC_CONF="stats_print:true,thp:never").stderr
        self.assertIn('opt.thp: "never"', told)


if __name__ == "__main__":
    cluster.main()
