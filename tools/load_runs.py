# SPDX-License-Identifier: Apache-2.0
"""Runs of weir-loadtest, and what several of them come to. For tools/bench and tools/versus_gloo."""
import json
import math
import os
import signal
import statistics
import subprocess
import tempfile

LAST_LINES = 3  # of what a program said before it failed


class NotAvailable(Exception):
    """A figure cannot be had here; the text is the reason, as the program gave it."""


class FellBack(NotAvailable):
    """It was carried by something else than what was asked for."""


class WrongAnswers(NotAvailable):
    """It ran, and came to wrong answers."""


def last_words(text):
    """The last lines of what a program wrote, as one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-LAST_LINES:]) or "it said nothing"


def run_program(command, limit_s, env=None):
    """Runs `command` to its end and returns what it printed. NotAvailable: it failed, or took longer than `limit_s`.

    What a signal's handler raises ends it too, from its first moment on.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    process = None
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                                   preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        output, errors = process.communicate(timeout=limit_s)
    except FileNotFoundError:
        raise NotAvailable(f"there is no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise NotAvailable(f"{os.path.basename(command[0])} did not end within {limit_s:.0f} s") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if process is not None and process.returncode is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise NotAvailable(f"{last_words(errors or output)} (exit {process.returncode})")
    return output


def run_json(command, limit_s):
    """As run_program, of a program that takes --json=FILE: what it wrote there."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory:
        path = os.path.join(directory, "figures.json")
        run_program([*command, f"--json={path}"], limit_s)
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError) as error:
            raise NotAvailable(f"{os.path.basename(command[0])} wrote no figures: {error}") from None


def figure(row, name):
    """The figure `name` of a row of the load test's JSON; of several repetitions the median. NotAvailable: it has none."""
    value = row.get(name)
    if isinstance(value, dict):
        value = value.get("median")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise NotAvailable(f"the load test does not report {name}")
    return float(value)


def words(flags):
    """{"servers": 4} as a command line has it."""
    return [f"--{name}={value}" for name, value in flags.items()]


def load_test(bin_dir, flags, limit_s):
    """One run of weir-loadtest with `flags` ({"servers": 4}): what it wrote to --json; `rows` has at least one."""
    command = [os.path.join(bin_dir, "weir-loadtest"), *words(flags)]
    try:
        result = run_json(command, limit_s)
    except NotAvailable as why:
        raise WrongAnswers(str(why)) if "answers were wrong" in str(why) else why from None
    if not result.get("rows"):
        raise NotAvailable("the load test wrote no row")
    for row in result["rows"]:
        refuse_fallback(row)
    return result


def refuse_fallback(row):
    """FellBack: the servers say that something else than the row's transport carried some of it."""
    if row.get("fell_back"):
        raise FellBack(f"{row.get('transport', row.get('form'))} was asked for, but the servers' sessions were carried by {row['transport_used']}")


class Spread:
    """The median of some values, and the lowest and the highest of them."""

    def __init__(self, values):
        values = list(values)
        self.median, self.low, self.high, self.count = statistics.median(values), min(values), max(values), len(values)

    def text(self, decimals):
        if self.count == 1:
            return f"{self.median:,.{decimals}f}"
        return f"{self.median:,.{decimals}f} ({self.low:,.{decimals}f} to {self.high:,.{decimals}f})"

    def json(self):
        return {"median": self.median, "low": self.low, "high": self.high, "runs": self.count}


def ratios(over, under):
    """Spread of over[i] / under[i]: two things measured in turn."""
    return Spread(a / b for a, b in zip(over, under))


def verdict(spread, least=None, most=None):
    """`met` or `missed` where every run says so, else `undecided`: the spread covers the claim."""
    if least is not None:
        good, bad = spread.low >= least, spread.high < least
    else:
        good, bad = spread.high <= most, spread.low > most
    return "met" if good else "missed" if bad else "undecided"


def table(head, rows):
    """Lines of a Markdown table whose columns are padded to the same width."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"

    return [line(head), "| " + " | ".join("-" * width for width in widths) + " |", *map(line, rows)]
