"""Profiles the gateway under the benchmark's own load and says where its time goes.

    python -m benchmarks.profile_gateway [unary|streams] [--seconds 10] [--streams 256]

Needs py-spy (installed beside the peers, see docs/benchmarks.md). Prints the functions with the most time of their
own, and with the most below them, and writes .bench/profile.txt (collapsed stacks, as flame graph tools read them).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import machine, subjects
from benchmarks.run import LOAD_CORE, PORT, SUBJECT_CORE, UPSTREAM_PORT, WORK, load_words, wrk
from benchmarks.subjects import BENCH_VENV, Plan, Subject

TOP = 40
RATE_HZ = 500
# Where a thread that does nothing stands; the sampler cannot always tell it from one that works.
WAITING = (
    "_worker (concurrent/futures/thread.py",
    "Condition.wait (threading.py",
    "Runner.run (asyncio/runners.py",
    "select (selectors.py",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=["unary", "streams"], default="unary")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--subject", default="signalbox", choices=["signalbox", "bare"])
    words = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    with ExitStack() as stack:
        direct = Plan("direct", UPSTREAM_PORT, subjects.upstream(UPSTREAM_PORT, LOAD_CORE), ready_s_max=10)
        direct.env["PYTHONPATH"] = str(machine.ROOT)
        stack.callback(Subject(direct, LOAD_CORE, WORK).stop)
        subject = Subject(subjects.SUBJECTS[words.subject](PORT, UPSTREAM_PORT, WORK), SUBJECT_CORE, WORK)
        stack.callback(subject.stop)
        stacks = record(subject, words.kind, words.seconds, words.streams)
    show(stacks)
    return 0


def record(subject: Subject, kind: str, seconds: int, streams: int) -> list[tuple[Sequence[str], int]]:
    """Samples the subject while it is under load. The sampler runs on the load's core."""
    wrk(subject.plan, 1)
    raw = WORK / "profile.txt"
    busiest = max(machine.session_pids(subject.session), key=machine.process_cpu_s)
    spy = ["taskset", "-c", str(LOAD_CORE), str(BENCH_VENV / "bin/py-spy"), "record", "--pid", str(busiest)]
    spy += ["--duration", str(seconds), "--rate", str(RATE_HZ), "--format", "raw", "--output", str(raw)]
    sampler = subprocess.Popen(spy, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if kind == "unary":
        wrk(subject.plan, seconds + 1)
    else:
        more = ("--count", str(streams), "--seconds", str(seconds))
        subprocess.run(load_words("streams", subject.plan, *more), check=True, cwd=machine.ROOT)
    _, said = sampler.communicate(timeout=60)
    if sampler.returncode:
        raise RuntimeError(f"py-spy failed: {said[-1000:]}")
    stacks: list[tuple[Sequence[str], int]] = []
    for line in raw.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        stacks.append((frames.split(";"), int(count)))
    return stacks


def show(stacks: list[tuple[Sequence[str], int]]) -> None:
    """Shares of the samples in which a thread worked, by function."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for frames, count in stacks:
        if frames[-1].startswith(WAITING):
            continue
        named = [frame.rpartition(":")[0] + ")" if ":" in frame else frame for frame in frames]
        own[named[-1]] += count
        for frame in set(named):
            below[frame] += count
    total = sum(own.values()) or 1
    for title, counts in (("own time", own), ("with what it calls", below)):
        sys.stdout.write(f"\n{title}:\n")
        for frame, count in counts.most_common(TOP):
            sys.stdout.write(f"  {count / total:6.1%}  {frame}\n")


if __name__ == "__main__":
    sys.exit(main())
