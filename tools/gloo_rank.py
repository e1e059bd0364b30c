# SPDX-License-Identifier: Apache-2.0
"""One process of tools/versus_gloo: sums a model's gradients over all processes by gloo's all-reduce.

Arguments: rank, processes, network interface, a file for the processes to meet at. Reads lines "FORM STEPS" from stdin and answers
each with one line of JSON: {"step_ms": [...], "reduced_ms": [...], "wrong": N}. Ends at the end of stdin.

FORM is `buckets`, as DistributedDataParallel does by default - the last layers first, a bucket of 1 MiB and then of 25 MiB, all under
way at once - or `flat`, one buffer. A step ends when this process has compared every sum to what it must be, as the load test's
workers do inside their clock; a bucket is compared while the next ones travel. reduced_ms is when the last sum had arrived.
"""
import json
import os
import sys
import time

import numpy
import resnet50_shapes
import torch
import torch.distributed as dist

FIRST_BUCKET_BYTES = 1 << 20
BUCKET_BYTES = 25 << 20
MAX_STEPS = 10000
COMPARED_AT_ONCE = 1 << 16  # elements: what fits the cache


def bucket_sizes(form):
    """Elements of each buffer that is reduced."""
    counts = list(reversed(resnet50_shapes.element_counts()))
    if form == "flat":
        return [sum(counts)]
    sizes, size, limit = [], 0, FIRST_BUCKET_BYTES
    for count in counts:  # a bucket is closed by the tensor that fills it
        size += count
        if size * 4 >= limit:
            sizes.append(size)
            size, limit = 0, BUCKET_BYTES
    return sizes + [size] if size else sizes


def differs(a, b):
    """Whether the tensors differ: one pass over both."""
    a, b = a.numpy(), b.numpy()
    return not all(numpy.array_equal(a[i:i + COMPARED_AT_ONCE], b[i:i + COMPARED_AT_ONCE]) for i in range(0, a.size, COMPARED_AT_ONCE))


class Buffers:
    """What one process brings, and what must come of it: whole numbers, exact in any order of adding."""

    def __init__(self, form, rank, processes):
        pattern = [1 + torch.arange(size, dtype=torch.int64).remainder(7).to(torch.float32) for size in bucket_sizes(form)]
        self.mine = [p * (rank + 1) for p in pattern]
        self.expected = [p * (processes * (processes + 1) // 2) for p in pattern]
        self.reduced = [torch.empty_like(p) for p in pattern]

    def step(self):
        """Seconds until every sum was compared, and until the last had arrived; how many buffers were wrong."""
        for buffer, gradient in zip(self.reduced, self.mine):
            buffer.copy_(gradient)
        dist.barrier()
        start = time.perf_counter()
        works = [dist.all_reduce(buffer, async_op=True) for buffer in self.reduced]
        wrong = 0
        for work, buffer, expected in zip(works, self.reduced, self.expected):
            work.wait()
            arrived = time.perf_counter() - start
            wrong += differs(buffer, expected)
        return time.perf_counter() - start, arrived, wrong


def main():
    rank, processes, interface, meeting = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    os.environ["GLOO_SOCKET_IFNAME"] = interface
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + meeting, rank=rank, world_size=processes)
    buffers = {}
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        form, steps = line.split()
        if form not in buffers:
            buffers[form] = Buffers(form, rank, processes)
            buffers[form].step()  # memory and connections are there from now on
        steps = [buffers[form].step() for _ in range(min(int(steps), MAX_STEPS))]
        print(json.dumps({"step_ms": [s[0] * 1e3 for s in steps], "reduced_ms": [s[1] * 1e3 for s in steps],
                          "wrong": sum(s[2] for s in steps)}), flush=True)


if __name__ == "__main__":
    main()
