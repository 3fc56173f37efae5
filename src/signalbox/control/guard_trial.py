"""Texts through the guards of one workload, without sending anything: what each says, how often it is right, how long
it takes. For `signalbox guards`, and for the cases that reviewers leave behind."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from signalbox.core.call import Call, Principal
from signalbox.core.errors import ConfigError, GuardFailed
from signalbox.core.guards import BLOCK, Channel, Guarded
from signalbox.core.snapshot import Snapshot
from signalbox.guard.contract import Outgoing
from signalbox.guard.room import GuardRoom, GuardSet
from signalbox.guard.screen import Screen
from signalbox.wire.table import DIALECTS

TEXT_CHARS_MAX = 1_000_000
# Texts that are read once before times are taken.
WARMING_UP = 32
_A_LINE = "Each line is one JSON object with `text`, and `label`, `kind`, `system` and `note` where they are known."

Kind = Literal["user", "untrusted", "answer"]


class Case(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One text. label: whether a guard should find something, None where nobody has said. kind: where it stands: what
    the caller writes, what a tool or a document says, or what the model answers. system: the system prompt it comes
    with. note: who said so, or why; for people."""

    text: str
    label: bool | Literal[0, 1] | None = None
    kind: Kind = "user"
    system: str = ""
    note: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one case. line: where it stands, from 1. verdicts: by name, never a value. untried: guards that
    cannot work here."""

    line: int
    expected: bool | None
    found: bool
    verdicts: dict[str, int]
    duration_us: float
    untried: tuple[str, ...] = ()


class Confusion(msgspec.Struct, frozen=True):
    """Of the cases with a label."""

    found_rightly: int
    found_wrongly: int
    missed: int
    passed_rightly: int

    @property
    def precision(self) -> float | None:
        found = self.found_rightly + self.found_wrongly
        return self.found_rightly / found if found else None

    @property
    def recall(self) -> float | None:
        wanted = self.found_rightly + self.missed
        return self.found_rightly / wanted if wanted else None


class Trial(msgspec.Struct, frozen=True):
    """unlabelled: cases that count nowhere. by_guard: on how many cases each guard had something to say. untried: on
    how many one could not work, because it asks or keeps something elsewhere. wrong: the cases that came out otherwise
    than labelled."""

    workload: str
    cases: int
    unlabelled: int
    confusion: Confusion
    by_guard: dict[str, int]
    untried: dict[str, int]
    latency_us: dict[str, float]
    wrong: list[Outcome]


def read_cases(lines: Iterable[bytes]) -> list[tuple[int, Case]]:
    """One JSON object a line, with the number of its line. Raises ConfigError that names the line that is none."""
    cases: list[tuple[int, Case]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = msgspec.json.decode(line, type=Case)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError([f"line {number}: {error}. {_A_LINE}"]) from None
        if len(case.text) > TEXT_CHARS_MAX:
            raise ConfigError([f"line {number}: the text has more than {TEXT_CHARS_MAX} characters."])
        cases.append((number, case))
    return cases


async def tried(snapshot: Snapshot, workload: str, cases: list[tuple[int, Case]]) -> Trial:
    """Raises ConfigError for a workload that does not exist or has no guards."""
    declared = snapshot.workloads.get(workload)
    if declared is None:
        raise ConfigError([f"there is no workload {workload!r}"])
    if not declared.guards:
        raise ConfigError([f"workload {workload!r} has no guards"])
    for line, case in cases[:WARMING_UP]:
        # By guards that are thrown away: what is loaded at the first text is no text's latency.
        await _outcome(snapshot, workload, GuardRoom(snapshot).of(workload), case, line)
    guards = GuardRoom(snapshot).of(workload)
    outcomes = [await _outcome(snapshot, workload, guards, case, line) for line, case in cases]
    return _summary(workload, outcomes)


async def _outcome(snapshot: Snapshot, workload: str, guards: GuardSet, case: Case, line: int) -> Outcome:
    call = _call(snapshot, workload, case)
    record = call.guarded = Guarded()
    began = time.perf_counter_ns()
    untried: list[str] = []
    if case.kind == "answer":
        try:
            _answer(guards, call, record, case.text)
        except GuardFailed:
            untried += [name.partition(".")[0] for name in record.counts if ".failed:" in name]
            record.counts.clear()
    else:
        untried += await _request(guards, call, record)
    duration_us = (time.perf_counter_ns() - began) / 1000
    expected = None if case.label is None else bool(case.label)
    return Outcome(line, expected, bool(record.counts), dict(record.counts), duration_us, tuple(untried))


async def _request(guards: GuardSet, call: Call, record: Guarded) -> list[str]:
    """Names the guards that could not do their work."""
    untried: list[str] = []
    deployment = call.snapshot.deployments[0]
    body, doc = call.body, call.doc
    for guard, requests in guards.requests:
        try:
            screened = await requests.screen(Outgoing(call, deployment, "chat", body, doc))
        except Exception:  # there is nobody to ask here, and nowhere to keep anything
            untried.append(guard.use.name)
            continue
        record.note(screened.verdicts)
        if any(verdict.action == BLOCK for verdict in screened.verdicts):
            break
        if screened.body is not None:
            body, doc = screened.body, msgspec.json.decode(screened.body, type=dict[str, Any])
    return untried


def _answer(guards: GuardSet, call: Call, record: Guarded, text: str) -> None:
    screen = Screen(guards, call, record)
    screen.whole(Channel("text"), text)
    screen.over()


def _call(snapshot: Snapshot, workload: str, case: Case) -> Call:
    messages: list[dict[str, Any]] = [{"role": "system", "content": case.system}] if case.system else []
    if case.kind == "untrusted":
        called = {"id": "c1", "type": "function", "function": {"name": "fetch", "arguments": "{}"}}
        messages += [
            {"role": "user", "content": "Please look it up."},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": case.text},
        ]
    else:
        messages.append({"role": "user", "content": case.text if case.kind == "user" else "Please answer."})
    doc: dict[str, Any] = {"model": workload, "messages": messages}
    declared = snapshot.workloads[workload]
    return Call(
        id="trial",
        api="chat",
        snapshot=snapshot,
        principal=Principal("trial", "trial", "", None, frozenset()),
        body=msgspec.json.encode(doc),
        doc=doc,
        envelope=DIALECTS["chat"].envelope(doc),
        model=workload,
        workload=declared,
        pinned=None,
        data_header=declared.labels,
        headers=[],
        query=b"",
        received_ns=0,
        auth_ns=0,
    )


def _summary(workload: str, outcomes: list[Outcome]) -> Trial:
    def count(expected: bool, found: bool) -> int:
        return sum(one.expected is expected and one.found is found for one in outcomes)

    by_guard: dict[str, int] = {}
    for one in outcomes:
        for guard in {name.partition(".")[0] for name in one.verdicts}:
            by_guard[guard] = by_guard.get(guard, 0) + 1
    untried: dict[str, int] = {}
    for name in (name for one in outcomes for name in one.untried):
        untried[name] = untried.get(name, 0) + 1
    durations = sorted(one.duration_us for one in outcomes)
    latency = {
        name: round(durations[min(len(durations) - 1, int(len(durations) * share))], 1)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
        if durations
    }
    return Trial(
        workload,
        len(outcomes),
        sum(one.expected is None for one in outcomes),
        Confusion(count(True, True), count(False, True), count(True, False), count(False, False)),
        by_guard,
        untried,
        latency,
        [one for one in outcomes if one.expected is not None and one.expected is not one.found],
    )


def with_verdict(cases: list[Case], judged: Case) -> list[Case]:
    """The cases with what a reviewer said about one text: the last word on it replaces what was said before."""
    key = _key(judged)
    return [*(one for one in cases if _key(one) != key), judged]


def _key(case: Case) -> bytes:
    return hashlib.sha256(f"{case.kind}\0{case.system}\0{case.text}".encode("utf-8", "surrogatepass")).digest()


def written(cases: list[Case]) -> bytes:
    return b"".join(msgspec.json.encode(case) + b"\n" for case in cases)
