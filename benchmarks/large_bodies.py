"""What a body with a large image adds to a call, side by side: python -m benchmarks.large_bodies [--mb 5].

The same chat request, one after another on one kept connection, to the fake upstream itself and through each subject
of `benchmarks.run`, which take turns on a core of their own; the load and the upstream have the other.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from statistics import median

from benchmarks import machine, subjects
from benchmarks.load import UNTIMED
from benchmarks.run import WORK, load, say, start, start_direct
from benchmarks.subjects import Plan, Subject


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=5.0, help="size of a body in millions of bytes")
    parser.add_argument("--count", type=int, default=60, help="calls a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--subjects", default=",".join(subjects.SUBJECTS))
    words = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    latency_ms: dict[str, list[float]] = {}
    cpu_ms: dict[str, list[float]] = {}
    with ExitStack() as stack:
        direct = start_direct(stack)
        running, left_out, _ = start(words.subjects.split(","), stack)

        def turn(plan: Plan, subject: Subject | None) -> None:
            spent = subject.cpu_s() if subject is not None else 0.0
            size = str(round(words.mb * 1e6))
            found = load("latency", plan, "--count", str(words.count), "--size", size, "--image")
            latency_ms.setdefault(plan.name, []).append(found["ms"]["p50"])
            if subject is not None:
                each_s = (subject.cpu_s() - spent) / (words.count + UNTIMED)
                cpu_ms.setdefault(plan.name, []).append(each_s * 1000)
            say(f"  {plan.name:10} {found['ms']}")

        for number in range(words.rounds):
            say(f"round {number + 1} of {words.rounds}")
            turn(direct, None)
            for subject in running.values():
                subject.resume()
                turn(subject.plan, subject)
                subject.pause()
    print("Measured: " + ", ".join(f"{name} {value}" for name, value in machine.describe().items()))
    for name, why in left_out.items():
        print(f"Left out: {name}: {why.splitlines()[0]}")
    base = median(latency_ms["direct"])
    print(f"\n| subject | p50 ms, {words.mb:g} MB | CPU ms a request |\n| --- | --- | --- |\n| direct | {base:.1f} | |")
    for name, spent in cpu_ms.items():
        print(f"| {name} | +{median(latency_ms[name]) - base:.1f} | {median(spent):.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
