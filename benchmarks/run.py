"""Runs the benchmark: all subjects side by side on one core, load and fake upstream on the other.

    python -m benchmarks.run [--quick] [--subjects nginx,bare,signalbox,litellm] [--write]

Writes .bench/results.json and .bench/results.md; --write also replaces the measured part of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine, report, subjects
from benchmarks.load import STALL_S, STREAM_S, body_of
from benchmarks.subjects import Plan, Subject

SUBJECT_CORE = 1
LOAD_CORE = 0
PORT = 18800
UPSTREAM_PORT = 18799
CONCURRENCY = 64
SMALL, LARGE = 400, 20_000
LADDER = (64, 128, 256, 512, 768)
# A subject that takes milliseconds a request starts lower and is given less to do.
SLOW_PER_S = 100
SLOW_LADDER = (4, 8, 16, 32, 64)
FIRST_P99_MS_MAX, GAP_P99_MS_MAX = 200.0, 100.0
IN_TIME_SHARE_MIN = 0.9
WORK = machine.ROOT / ".bench"


@dataclass
class Effort:
    rounds: int
    unary_s: float
    warm_s: float
    latency_count: int
    stream_s: float


FULL = Effort(rounds=3, unary_s=5, warm_s=1, latency_count=1000, stream_s=3)
QUICK = Effort(rounds=1, unary_s=2, warm_s=0.5, latency_count=200, stream_s=2)


class Bench:
    """One run: what was started, and every figure of every round as it was measured."""

    def __init__(self, effort: Effort, running: dict[str, Subject], direct: Plan) -> None:
        self.effort = effort
        self.running = running
        self.direct = direct
        self.rounds: list[dict[str, Any]] = []

    def round(self, ladder: dict[str, tuple[int, ...]]) -> None:
        result: dict[str, Any] = {"unary": {}, "latency": {}, "streams": {}}
        self.rounds.append(result)
        stolen_s, began = machine.stolen_s(), time.perf_counter()
        for name, subject in self.turns():
            result["unary"][name] = self.unary(subject)
            say(f"  unary   {name:10} {result['unary'][name]}")
        result["unary"]["direct"] = self.unary(None)
        for name, plan, subject in self.latency_turns():
            result["latency"][name] = self.latency(plan, subject)
            say(f"  latency {name:10} {result['latency'][name]['small']['ms']}")
        result["streams"]["direct"] = self.streams(self.direct, None, ladder["direct"])
        for name, subject in self.turns():
            result["streams"][name] = self.streams(subject.plan, subject, ladder[name])
        judge(result["streams"])
        for name, steps in result["streams"].items():
            for step in steps:
                say(f"  streams {name:10} {summary(step)}")
        of_all_s = (time.perf_counter() - began) * (os.cpu_count() or 1)
        result["stolen_share"] = (machine.stolen_s() - stolen_s) / of_all_s

    def turns(self) -> Iterator[tuple[str, Subject]]:
        """One subject after another, the others standing still."""
        for name, subject in self.running.items():
            subject.resume()
            time.sleep(0.2)
            yield name, subject
            subject.pause()

    def latency_turns(self) -> Iterator[tuple[str, Plan, Subject | None]]:
        """Direct, each subject, and direct again: the two direct turns say how far the machine can be trusted."""
        yield "direct", self.direct, None
        for name, subject in self.turns():
            yield name, subject.plan, subject
        yield "direct-again", self.direct, None

    def unary(self, subject: Subject | None) -> dict[str, Any]:
        plan = subject.plan if subject is not None else self.direct
        loop(plan, self.effort.warm_s)
        before, began = (subject.cpu_s() if subject is not None else 0.0), time.perf_counter()
        processes = subject.cpu_by_process() if subject is not None else {}
        result = loop(plan, self.effort.unary_s)
        took = time.perf_counter() - began
        answered = result["requests"] - result["failed"]
        figures = {**result, "per_s": round(answered / result["seconds"], 1)}
        if subject is not None:
            cpu = subject.cpu_s() - before
            figures["cpu_us"] = round(cpu / max(1, answered) * 1e6, 1)
            figures["core_share"] = round(cpu / took, 3)
            spent = [
                (user - processes[pid][0], system - processes[pid][1])
                for pid, (user, system) in subject.cpu_by_process().items()
                if pid in processes
            ]
            figures["busiest_us"] = round(max(map(sum, spent)) / max(1, answered) * 1e6, 1)
            figures["system_us"] = round(sum(system for _, system in spent) / max(1, answered) * 1e6, 1)
        return figures

    def latency(self, plan: Plan, subject: Subject | None) -> dict[str, Any]:
        count = max(50, self.effort.latency_count // (8 if plan.slow else 1))
        return {
            "small": load("latency", plan, "--count", str(count), "--size", str(SMALL)),
            "large": load("latency", plan, "--count", str(max(50, count // 2)), "--size", str(LARGE)),
            "split": load("latency", plan, "--count", str(max(50, count // 4)), "--size", str(SMALL), "--split"),
        }

    def streams(self, plan: Plan, subject: Subject | None, ladder: tuple[int, ...]) -> list[dict[str, Any]]:
        """Climbs the ladder until the subject is late twice running, so that a slow one does not take all the time."""
        steps: list[dict[str, Any]] = []
        for count in ladder:
            steps.append(self._stream_step(plan, subject, count))
            if len(steps) > 1 and all(late(step, first_base_ms=0.0) for step in steps[-2:]):
                break
        return steps

    def _stream_step(self, plan: Plan, subject: Subject | None, count: int) -> dict[str, Any]:
        words = load_words("streams", plan, "--count", str(count), "--seconds", str(self.effort.stream_s))
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=machine.ROOT)
        marks: dict[str, float] = {}
        step: dict[str, Any] = {}
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                step = json.loads(line)
            else:
                marks[line.strip()] = subject.cpu_s() if subject is not None else 0.0
        if process.wait(timeout=60):
            raise RuntimeError(f"the load generator failed on {plan.name}")
        if subject is not None:
            cpu = marks["measured"] - marks["measuring"]
            step["cpu_ms_per_stream"] = round(cpu / max(1, step["completed"]) * 1e3, 3)
            step["core_share"] = round(cpu / step["seconds"], 3)
        return step


def late(step: dict[str, Any], first_base_ms: float) -> bool:
    """Whether the streams of this step were not kept in time."""
    return bool(
        step["wrong"]
        or step["stalled"]
        or step["completed"] < IN_TIME_SHARE_MIN * step["expected"]
        or not step["first_ms"]
        or step["first_ms"]["p99"] - first_base_ms > FIRST_P99_MS_MAX
        or not step["gap_ms"]
        or step["gap_ms"]["p99"] > GAP_P99_MS_MAX
    )


def judge(streams: dict[str, list[dict[str, Any]]]) -> None:
    """Adds to each step what it added to the first token against direct at the same number, and the verdict."""
    base = {step["streams"]: step["first_ms"] for step in streams["direct"] if step["first_ms"]}
    smallest = base[min(base)] if base else {"p50": 0.0, "p99": 0.0}
    for steps in streams.values():
        for step in steps:
            direct = base.get(step["streams"], smallest)
            if step["first_ms"]:
                for share in ("p50", "p99"):
                    step[f"added_first_{share}_ms"] = round(step["first_ms"][share] - direct[share], 3)
            step["in_time"] = not late(step, direct["p99"])


def summary(step: dict[str, Any]) -> str:
    return (
        f"{step['streams']:5} {'in time' if step['in_time'] else 'LATE   '} first {step['first_ms'].get('p50')} / "
        f"{step['first_ms'].get('p99')} ms, gap p99 {step['gap_ms'].get('p99')} ms, stalled {step['stalled']}, "
        f"completed {step['completed']} of {step['expected']:.0f}, {step.get('cpu_ms_per_stream')} ms a stream, "
        f"core {step.get('core_share')} {step['wrong'] or ''}"
    )


def loop(plan: Plan, seconds: float) -> dict[str, Any]:
    """The closed unary loop: for so many seconds, or for a slow subject over what it may take that long for."""
    if not plan.slow:
        return wrk(plan, seconds)
    count = max(CONCURRENCY, round(SLOW_PER_S * seconds))
    return load("closed", plan, "--count", str(count), "--concurrency", str(CONCURRENCY), "--size", str(SMALL))


def wrk(plan: Plan, seconds: float) -> dict[str, Any]:
    body = WORK / f"body-{plan.model}.json"
    body.write_bytes(body_of(plan.model, SMALL, stream=False))
    script = str(Path(__file__).parent / "unary.lua")
    duration = f"{max(1, round(seconds))}s"
    words = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONCURRENCY}", f"-d{duration}", "--latency"]
    words += ["--timeout", "20s", "-s", script, f"http://127.0.0.1:{plan.port}", "--", str(body)]
    done = subprocess.run(
        words + ([str(plan.keys)] if plan.keys is not None else []),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 60,
    )
    if done.returncode:
        raise RuntimeError(f"wrk failed on {plan.name}: {(done.stderr or done.stdout)[-1000:]}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def load_words(kind: str, plan: Plan, *more: str) -> list[str]:
    keys = ["--keys", str(plan.keys)] if plan.keys is not None else []
    return [
        *(sys.executable, "-m", "benchmarks.load", kind, "--port", str(plan.port), "--core", str(LOAD_CORE)),
        *("--model", plan.model, *keys, *more),
    ]


def load(kind: str, plan: Plan, *more: str) -> dict[str, Any]:
    words = load_words(kind, plan, *more)
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, cwd=machine.ROOT)
    if done.returncode:
        raise RuntimeError(f"the load generator failed on {plan.name}: {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def start_direct(stack: ExitStack) -> Plan:
    """Starts the fake upstream, which is what direct requests go to."""
    direct = Plan("direct", UPSTREAM_PORT, subjects.upstream(UPSTREAM_PORT, LOAD_CORE), ready_s_max=10)
    direct.env["PYTHONPATH"] = str(machine.ROOT)
    stack.callback(Subject(direct, LOAD_CORE, WORK).stop)
    return direct


def start(names: list[str], stack: ExitStack) -> tuple[dict[str, Subject], dict[str, str], dict[str, Any]]:
    """Starts the subjects, one after another; those that cannot start are named with the reason and left out."""
    running: dict[str, Subject] = {}
    left_out: dict[str, str] = {}
    starts: dict[str, Any] = {}
    for index, name in enumerate(names):
        try:
            plan = subjects.SUBJECTS[name](PORT + 10 * index, UPSTREAM_PORT, WORK)
            subject = Subject(plan, SUBJECT_CORE, WORK)
        except (RuntimeError, OSError) as error:
            left_out[name] = str(error)
            say(f"left out: {name}: {error}")
            continue
        stack.callback(subject.stop)
        running[name] = subject
        time.sleep(2)
        sizes = subject.memory_mib()
        starts[name] = {
            "cold_start_s": round(subject.start_s, 3),
            "idle_mib": round(sum(sizes), 1),
            "idle_largest_mib": round(max(sizes, default=0.0), 1),
        }
        say(f"started {name}: {starts[name]}")
        subject.pause()
    return running, left_out, starts


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test, not a measurement")
    parser.add_argument("--subjects", default=",".join(subjects.SUBJECTS))
    parser.add_argument("--ladder", default=",".join(map(str, LADDER)), help="numbers of streams to climb")
    parser.add_argument("--write", action="store_true", help="replace the measured part of docs/benchmarks.md")
    words = parser.parse_args()
    names = words.subjects.split(",")
    if unknown := set(names) - set(subjects.SUBJECTS):
        parser.error(f"unknown subjects: {', '.join(sorted(unknown))}")
    effort = QUICK if words.quick else FULL
    rungs = tuple(int(rung) for rung in words.ladder.split(","))
    ladder = dict.fromkeys(("direct", *names), (64, 256) if words.quick else rungs)
    WORK.mkdir(exist_ok=True)
    # As installing leaves it: a checkout that was changed since would be compiled again within every start.
    compileall.compile_dir(machine.ROOT / "src", quiet=1)
    about = machine.describe()
    began = time.perf_counter()
    with ExitStack() as stack:
        direct = start_direct(stack)
        running, left_out, starts = start(names, stack)
        bench = Bench(effort, running, direct)
        for name, subject in running.items():
            if subject.plan.slow:
                ladder[name] = (4, 16) if words.quick else SLOW_LADDER
        for index in range(effort.rounds):
            say(f"round {index + 1} of {effort.rounds}")
            bench.round(ladder)
        for name, subject in running.items():
            starts[name]["loaded_mib"] = round(sum(subject.memory_mib()), 1)
    results = {
        "machine": about,
        "quick": words.quick,
        "took_s": round(time.perf_counter() - began),
        "concurrency": CONCURRENCY,
        "stream_s": STREAM_S,
        "stall_s": STALL_S,
        "starts": starts,
        "left_out": left_out,
        "rounds": bench.rounds,
    }
    (WORK / "results.json").write_text(json.dumps(results, indent=1))
    text = report.markdown(results)
    (WORK / "results.md").write_text(text)
    sys.stdout.write(text)
    if words.write:
        report.write(text, machine.ROOT / "docs/benchmarks.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
