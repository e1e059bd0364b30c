# SPDX-License-Identifier: Apache-2.0
"""What tools/bench measures, and what it must come to: the one definition of the table of docs/performance.md.

A MEASUREMENT is one call of a program. A Row is a line of the table; each of its claims divides a figure of one measurement by a
figure of another, run by run.
"""
import dataclasses

# Flags of the load test that leave a phase out.
NO_PULLS = {"pulls": 1, "each_pulls": 0, "loaded_pulls": 0, "model_pulls": 0}
ONE = {"profile": "resnet50", "servers": 1, "workers": 1, "transport": "tcp", "codec": "f32", **NO_PULLS}
PULLS_ONLY = {**ONE, "steps": 1, "warmup_steps": 1, "pulls": 2500}
LINK = {**ONE, "steps": 6, "warmup_steps": 1, "hosts": 2, "rate": "2.5gbit"}
COMPUTE = {**ONE, "servers": 4, "steps": 3, "warmup_steps": 1, "compute_ms": 100}
COMPUTE_SMALL = {**COMPUTE, "profile": "uniform:8x65536", "steps": 10}
MEMORY = {**ONE, "profile": "uniform:161x16384"}  # as many tensors as ResNet-50 has, of 64 KiB each

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One call of `program`. `group`: those of one group are measured in turn, run by run."""
    group: str
    program: str  # load_test; compare, the load test's comparison; microbench; or versus_gloo
    flags: dict
    limit_s: int = 100  # then it is ended
    most_runs: int = 100  # where one takes long
    long: dict = dataclasses.field(default_factory=dict)  # flags that --long replaces


def load(group, flags, **other):
    return Measurement(group, "load_test", flags, **other)


MEASUREMENTS = {
    "tcp": load("plain", {**ONE, "steps": 15, "roofline": "true", "model_pulls": 4}),
    "uds": load("plain", {**ONE, "steps": 15, "transport": "uds"}),
    "shm": load("plain", {**ONE, "steps": 25, "transport": "shm"}),
    "bf16": load("plain", {**ONE, "steps": 15, "codec": "bf16"}),
    "int8": load("plain", {**ONE, "steps": 20, "codec": "int8"}),
    "tcp 4": load("plain", {**ONE, "steps": 5, "workers": 4}),
    "pull same": load("plain", {**PULLS_ONLY, "pin": "same"}),
    "pull apart": load("plain", {**PULLS_ONLY, "pin": "apart"}),
    "pull shm": load("plain", {**PULLS_ONLY, "pin": "apart", "transport": "shm", "spin_us": 50}),
    "link f32": load("link", LINK),
    "link bf16": load("link", {**LINK, "codec": "bf16"}),
    "link int8": load("link", {**LINK, "codec": "int8"}),
    "compute 1": load("compute", COMPUTE),
    "compute 16": load("compute", {**COMPUTE, "workers": 16, "steps": 2}),
    "compute small 1": load("compute", COMPUTE_SMALL),
    "compute small 16": load("compute", {**COMPUTE_SMALL, "workers": 16}),
    "memory": load("memory", {**MEMORY, "steps": 2000, "memory_mark_steps": 200}, limit_s=400, most_runs=2,
                   long={"profile": "resnet50"}),
    "rest": Measurement("rest", "compare", {"compare": "rest-json", "workers": 16, "servers": 4, "transport": "tcp,shm",
                                            "in_flight": "1,8", "compare_forms": "json-base64-fast,json-base64",
                                            "compare_seconds": 0.8}, limit_s=240),
    "optimizers": Measurement("optimizers", "microbench", {"only": "^optimizer", "repetitions": 5, "seconds": 0.03}),
    "gloo": Measurement("gloo", "versus_gloo", {"network": "hosts", "processes": 4, "servers": 4, "rate": "1gbit", "steps": 2}, limit_s=200),
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """over[i] / under[i] is at least, or at most, a number. `under` of None is 1. A figure is (measurement, name)."""
    over: tuple
    under: tuple = None
    least: float = None
    most: float = None
    decimals: int = 2


@dataclasses.dataclass(frozen=True)
class Row:
    name: str  # for --only
    what: str
    against: str
    limit: str  # what is claimed, in words
    claims: tuple
    notes: tuple = ()  # (text, over, under, decimals): shown below the table, claimed by nobody


def throughput(measurement):
    return measurement, "throughput_mb_s"


RAW_TCP = ("tcp", "raw_tcp_mb_s")
COLD_TCP = ("tcp", "raw_tcp_cold_mb_s")  # from 128 MiB, which no near cache holds, as the model


def cold(name):
    return f"{name}, over raw TCP from 128 MiB of memory", throughput(name), COLD_TCP, 2

ROWS = (
    Row("tcp", "tcp push-pull throughput", "raw TCP both ways at once, 1 MiB writes", "0.70 (aim 0.85)",
        (Claim(throughput("tcp"), RAW_TCP, least=0.70),),
        (("raw TCP both ways at once, MB/s", RAW_TCP, None, 0), ("tcp, MB/s", throughput("tcp"), None, 0), cold("tcp"))),
    Row("uds", "uds", "the same raw TCP", "0.85 (aim 1.0)", (Claim(throughput("uds"), RAW_TCP, least=0.85),),
        (("uds, MB/s", throughput("uds"), None, 0), cold("uds"))),
    Row("shm", "shm", "the same raw TCP", "2.8 × (aim 4 ×)", (Claim(throughput("shm"), RAW_TCP, least=2.8),),
        (("shm, MB/s", throughput("shm"), None, 0), cold("shm"))),
    Row("workers", "4 workers on one server, in total, tcp", "the 1-worker figure", "0.95",
        (Claim(throughput("tcp 4"), throughput("tcp"), least=0.95),)),
    Row("codecs", "bf16 / int8, both directions, loopback", "f32", "1.5 × / 2.2 ×",
        (Claim(throughput("bf16"), throughput("tcp"), least=1.5), Claim(throughput("int8"), throughput("tcp"), least=2.2))),
    Row("link", "bf16 / int8 over a link limited to 2.5 Gb/s", "f32 there", "1.9 × / 3.5 ×",
        (Claim(throughput("link bf16"), throughput("link f32"), least=1.9), Claim(throughput("link int8"), throughput("link f32"), least=3.5)),
        (("f32 over that link, MB/s", throughput("link f32"), None, 0),)),
    Row("pull", "smallest pull, one outstanding, both ends on one core / on two", "raw round trip pinned the same way", "at most 4 × / 2 ×",
        (Claim(("pull same", "pull_us_p50"), ("tcp", "raw_rtt_same_core_us"), most=4),
         Claim(("pull apart", "pull_us_p50"), ("tcp", "raw_rtt_two_cores_us"), most=2)),
        (("smallest pull, both ends on one core, µs", ("pull same", "pull_us_p50"), None, 1),
         ("raw round trip, both ends on one core, µs", ("tcp", "raw_rtt_same_core_us"), None, 1),
         ("smallest pull, a core each, µs", ("pull apart", "pull_us_p50"), None, 1),
         ("raw round trip, a core each, µs", ("tcp", "raw_rtt_two_cores_us"), None, 1))),
    Row("pull_shm", "smallest pull over shm, a core each, spinning", "", "at most 10 µs", (Claim(("pull shm", "pull_us_p50"), most=10, decimals=1),)),
    Row("unchanged", "pull of an unchanged model", "pull of a changed one", "20 × faster",
        (Claim(("tcp", "changed_pull_ms_p50"), ("tcp", "unchanged_pull_ms_p50"), least=20, decimals=1),)),
    Row("rest", "16 workers on 4 servers: throughput / p99 of one tensor's pull / connection reuse", "base64 JSON as usually written",
        "6.8 × / at most 1/5.7 / ≥ 99.7 %",
        (Claim(("rest", "weir tcp 8 mb_s"), ("rest", "json-base64 8 mb_s"), least=6.8),
         Claim(("rest", "weir tcp 8 p99"), ("rest", "json-base64 8 p99"), most=1 / 5.7, decimals=3),
         Claim(("rest", "weir tcp 8 reuse"), least=0.997, decimals=5)),
        # Claimed at 8 requests in flight a worker, where more is under way than the cores can do; shown at 1 too.
        (("weir tcp, MB/s, 8 requests in flight a worker", ("rest", "weir tcp 8 mb_s"), None, 0),
         ("base64 JSON as usually written, MB/s, 8 in flight", ("rest", "json-base64 8 mb_s"), None, 0),
         ("throughput over its, 1 in flight", ("rest", "weir tcp 1 mb_s"), ("rest", "json-base64 1 mb_s"), 2),
         ("p99 over its, 1 in flight", ("rest", "weir tcp 1 p99"), ("rest", "json-base64 1 p99"), 3))),
    Row("rest_fast", "the same throughput, tcp / shm", "the fast base64 form", "1.3 × / 4 ×",
        (Claim(("rest", "weir tcp 8 mb_s"), ("rest", "json-base64-fast 8 mb_s"), least=1.3),
         Claim(("rest", "weir shm 8 mb_s"), ("rest", "json-base64-fast 8 mb_s"), least=4)),
        (("tcp over it, 1 in flight", ("rest", "weir tcp 1 mb_s"), ("rest", "json-base64-fast 1 mb_s"), 2),
         ("shm over it, 1 in flight", ("rest", "weir shm 1 mb_s"), ("rest", "json-base64-fast 1 mb_s"), 2),
         ("the fast form, MB/s, 8 in flight", ("rest", "json-base64-fast 8 mb_s"), None, 0),
         ("the fast form, MB/s, 1 in flight", ("rest", "json-base64-fast 1 mb_s"), None, 0))),
    Row("gloo", "4 workers and 4 servers, each in a namespace on a 1 Gbit/s link: f32 / bf16 / int8 step",
        "gloo's all-reduce over 4 such hosts", "1.2 × / 2.2 × / 3.5 × faster",
        tuple(Claim(("gloo", "gloo step_ms"), ("gloo", f"weir tcp {codec} step_ms"), least=least)
              for codec, least in (("f32", 1.2), ("bf16", 2.2), ("int8", 3.5))),
        (("gloo there, ms a step", ("gloo", "gloo step_ms"), None, 0), ("f32 there, ms a step", ("gloo", "weir tcp f32 step_ms"), None, 0))),
    Row("compute", "16 workers, 100 ms simulated compute each, 4 servers with a fast link", "1 worker", "0.95 efficiency",
        (Claim(("compute 16", "throughput_each_mb_s"), ("compute 1", "throughput_each_mb_s"), least=0.95),),
        (("16 workers together, over raw TCP both ways at once", throughput("compute 16"), RAW_TCP, 2),
         ("16 times one worker, over raw TCP both ways at once", ("compute 1", "throughput_16_mb_s"), RAW_TCP, 2),
         ("efficiency with a model of 2 MB", ("compute small 16", "throughput_each_mb_s"), ("compute small 1", "throughput_each_mb_s"), 2))),
    Row("optimizers", "optimizer kernels, one thread, out of cache", "triad of the same bytes", "0.85",
        (Claim(("optimizers", "least share"), least=0.85),),
        tuple((f"{optimizer}, share of its limit", ("optimizers", f"optimizer {optimizer}"), None, 2) for optimizer in OPTIMIZERS)),
    Row("memory", "server's peak RSS after 2,000 steps", "after 200 steps", "at most 1.02 ×",
        (Claim(("memory", "server_peak_growth"), most=1.02, decimals=3),),
        (("MB after 2,000 steps, on 161 tensors of 64 KiB (--long: of ResNet-50)", ("memory", "server_peak_rss_mb"), None, 1),
         ("MB of the same process after 200 steps", ("memory", "early_server_peak_rss_mb"), None, 1))),
)
