"""`signalbox guards`: try texts on the guards of a workload, and keep what reviewers said as cases."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from signalbox.bootstrap.compiling import compile_declared
from signalbox.cli.options import add_config, add_json, needed_config, write
from signalbox.config.load import load
from signalbox.control.guard_trial import Case, Trial, read_cases, tried, with_verdict, written
from signalbox.core.errors import ConfigError

_SHOWN_MAX = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    test = verbs.add_parser("test", help="try texts from standard input, one JSON object a line")
    test.add_argument("--workload", required=True, help="the workload whose guards are tried")
    add_config(test)
    add_json(test)
    judge = verbs.add_parser("judge", help="keep a reviewer's verdict on the text from standard input as a case")
    judge.add_argument("--cases", type=Path, required=True, help="the file of cases, as `guards test` reads it")
    judge.add_argument("--kind", choices=("user", "untrusted", "answer"), default="user", help="where the text stood")
    judge.add_argument("--label", type=int, choices=(0, 1), required=True, help="1 when a guard should find it")
    judge.add_argument("--note", default="", help="who says so, and why")


def run(options: argparse.Namespace) -> int:
    """test: 0 when all labelled texts came out as labelled, 1 when one did not. judge: 0. 2 when something cannot be
    read."""
    if options.action == "judge":
        return _judge(options)
    snapshot = compile_declared(load(needed_config(options.config)), 1).snapshot
    cases = read_cases(sys.stdin.buffer)
    if not cases:
        raise ConfigError(["There is no text on standard input to try."])
    trial = asyncio.run(tried(snapshot, options.workload, cases))
    if options.json:
        print(msgspec.json.encode(trial).decode())
    else:
        _print(trial)
    return 1 if trial.wrong else 0


def _judge(options: argparse.Namespace) -> int:
    path: Path = options.cases
    text = sys.stdin.buffer.read().decode("utf-8", "replace").rstrip("\n")
    if not text:
        raise ConfigError(["There is no text on standard input to keep a verdict on."])
    try:
        known = [case for _, case in read_cases(path.read_bytes().splitlines())] if path.exists() else []
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})."]) from None
    cases = with_verdict(known, Case(text, bool(options.label), options.kind, note=options.note))
    write(path, written(cases))
    print(f"{path}: {len(cases)} cases")
    return 0


def _print(trial: Trial) -> None:
    told = trial.confusion
    unlabelled = f", {trial.unlabelled} of them without a label" if trial.unlabelled else ""
    print(f"workload {trial.workload}: {trial.cases} texts{unlabelled}")
    print("                 found   passed")
    print(f"should be found  {told.found_rightly:>5}   {told.missed:>6}")
    print(f"should pass      {told.found_wrongly:>5}   {told.passed_rightly:>6}")
    print(f"precision {_share(told.precision)}, recall {_share(told.recall)}")
    for guard, count in sorted(trial.by_guard.items()):
        print(f"{guard}: {count} texts")
    for guard, count in sorted(trial.untried.items()):
        print(f"{guard}: not tried on {count} texts (it asks or keeps something elsewhere)")
    if trial.latency_us:
        print("latency " + ", ".join(f"{name} {value:.0f} µs" for name, value in trial.latency_us.items()))
    for one in trial.wrong[:_SHOWN_MAX]:
        what = ", ".join(one.verdicts) if one.found else "nothing found"
        print(f"line {one.line}: expected {'a finding' if one.expected else 'none'}: {what}")
    if len(trial.wrong) > _SHOWN_MAX:
        print(f"and {len(trial.wrong) - _SHOWN_MAX} more")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
