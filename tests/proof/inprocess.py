"""Many random calls through the real gateway in one process, every attempt that leaves it held against the oracle.

Real are configuration, keys, HTTP edge, classification, rules, interlock, router and pipeline. In place of sockets
stand a byte stream in memory on the client's side and, behind the transport's port, a recorder that answers or fails
as a die falls. Calls overlap, and configurations change between their attempts.

    python -m proof.inprocess --attempts N --seed S        (from tests/)
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import uvloop

import signalbox
from proof import quiet
from proof.memory import EVERY_LABEL, Memory, beyond, within
from proof.oracle import Oracle, Place, told_by
from proof.stand_ins import ANSWERED, TERMINAL, Client, Ledger, Left, Recorder, Said, recorded
from proof.worlds import CallMaker, Sent, World, world
from signalbox.bootstrap.data_plane import DataPlane
from signalbox.control.keys import NewKey, make
from signalbox.control.state import StateDir
from signalbox.core.link import Applied, ApplyConfig, ApplyKeys
from signalbox.core.ports import VirtualKey
from signalbox.core.records import Opened, Refused
from signalbox.gateway.app import Gateway
from signalbox.gateway.http import Connection
from signalbox.gateway.http_limits import HttpLimits
from signalbox.gateway.worker import Worker
from signalbox.ledger.journal import new_chain
from signalbox.pipeline.stages import Stages

PEPPER = b"p" * 32
# The deployments of every world: what they speak; where they are is told by the port.
PROTOCOLS = ("openai", "openai", "anthropic", "openai", "openai", "openai", "anthropic", "openai", "openai", "openai")
PORT = 20_000
BATCH = 16
BATCHES_PER_WORLD = 16
# Kept conversations are bounded; a fresh installation now and then keeps them from filling up.
WORLDS_PER_INSTALLATION = 500
FINDINGS_MAX = 20
# How often a run says how far it is.
TOLD_EVERY_S = 10


@dataclass
class Report:
    calls: int = 0
    attempts: int = 0
    escapes: int = 0
    refused_but_permitted: int = 0
    other: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    findings: list[str] = field(default_factory=list[str])
    statuses: Counter[int] = field(default_factory=Counter[int])
    worlds: int = 0

    @property
    def good(self) -> bool:
        return not (self.escapes or self.refused_but_permitted or self.other)


class Flight:
    """One call under way: what was in force when it began, and the connection it came over."""

    def __init__(self, sent: Sent, force: Force, client: Client, connection: Connection) -> None:
        self.sent = sent
        self.force = force
        self.client = client
        self.connection = connection


class Force:
    """A configuration that was compiled, and can be put in force: its stages, its keys, its oracle, its callers."""

    def __init__(self, made: World, stages: Stages, rows: list[VirtualKey], keys: list[str]) -> None:
        self.callers = made.callers
        self.stages = stages
        self.rows = rows
        self.keys = keys
        self.oracle = Oracle(made.text, made.today)


class Proof:
    """The run. Everything follows from the seed."""

    def __init__(self, seed: int, answers: dict[str, Said], report: Report) -> None:
        self.seed = seed
        self.report = report
        self.ledger = Ledger()
        self.recorder = Recorder(answers, self.ledger)
        self._folder: TemporaryDirectory[str] | None = None
        self._plane: DataPlane | None = None
        self._worker: Worker | None = None
        self._generation = 0
        self.memory = Memory()

    async def world(self, number: int) -> None:
        """All calls under one pair of configurations, the second of which replaces the first on the way."""
        rng = Random(f"{self.seed}-{number}")
        self.recorder.rng = Random(f"{self.seed}-{number}-faults")
        if self._worker is None or number % WORLDS_PER_INSTALLATION == 0:
            await self._install()
        self.memory = Memory()
        forces = [await self._force(rng) for _ in range(2)]
        makers = [CallMaker(rng, force.oracle.doc, len(force.callers), f"{number}") for force in forces]
        gateway = await self._put_in_force(forces[0])
        for batch in range(BATCHES_PER_WORLD):
            mine, other = batch % 2, (batch + 1) % 2
            flights = [self._begin(gateway, makers[mine].make(), forces[mine]) for _ in range(BATCH // 2)]
            # In force for every request that begins from here on; those that wait above began before.
            swap = asyncio.ensure_future(self._put_in_force(forces[other]))
            flights += [self._begin(gateway, makers[other].make(), forces[other]) for _ in range(BATCH // 2)]
            while tasks := [flight.connection.task for flight in flights if flight.connection.task is not None]:
                await asyncio.wait(tasks)
            await swap
            gateway.outbox.flush()
            for flight in flights:
                self._judge(flight, number)
            for call in self.recorder.left:
                self._find("other", number, f"an attempt of a call that nobody made: {call}")
            self.recorder.left.clear()
            self.ledger.clear()
        self.report.worlds += 1
        self.report.attempts = self.recorder.attempts

    async def close(self) -> None:
        if self._plane is not None:
            await self._plane.close()
        if self._folder is not None:
            self._folder.cleanup()

    # --- installing ---

    async def _install(self) -> None:
        await self.close()
        self._folder = TemporaryDirectory(prefix="proof-")
        self._plane = DataPlane(StateDir(Path(self._folder.name)), new_chain("proof"), quiet.log("proof"))
        self._worker = self._plane.worker(socket.socket())

    async def _force(self, rng: Random) -> Force:
        """A configuration as the worker compiles it; only what leaves it is recorded instead of sent."""
        assert self._worker is not None
        count = rng.randint(3, len(PROTOCOLS))
        made = world(rng, [(f"http://127.0.0.1:{PORT + i}", PROTOCOLS[i]) for i in range(count)])
        self._generation += 1
        report = await self._worker.obey(ApplyConfig(made.text.encode(), "proof.yaml", self._generation))
        assert isinstance(report, Applied)
        assert not report.error, report.error
        gateway = self._worker.gateway
        assert gateway is not None
        stages = msgspec.structs.replace(gateway.stages, journal=self.ledger, transport=self.recorder)
        rows = [
            make(NewKey("k", c.tenant, c.team, c.workloads, c.deployments, c.data), PEPPER, 1) for c in made.callers
        ]
        return Force(made, stages, [row for row, _ in rows], [key.reveal() for _, key in rows])

    async def _put_in_force(self, force: Force) -> Gateway:
        """Swapped as a reload does it; keys come the way they always come."""
        assert self._worker is not None
        gateway = self._worker.gateway
        assert gateway is not None
        gateway.swap(force.stages, HttpLimits())
        await self._worker.obey(ApplyKeys(PEPPER, force.rows))
        return gateway

    # --- calling ---

    def _begin(self, gateway: Gateway, sent: Sent, force: Force) -> Flight:
        client = Client()
        connection = Connection(gateway)
        connection.connection_made(client)
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.headers)
        head = f"POST {sent.path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {force.keys[sent.caller]}\r\n{lines}"
        connection.data_received(b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(sent.body), sent.body))
        return Flight(sent, force, client, connection)

    # --- judging ---

    def _judge(self, flight: Flight, number: int) -> None:
        answer = b"".join(flight.client.received)
        flight.connection.connection_lost(None)
        status = int(answer[9:12])
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
        told = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        call, reason = told["x-request-id"], told.get("x-signalbox-reason", "")
        left = self.recorder.left.pop(call, [])
        self.report.calls += 1
        self.report.statuses[status] += 1
        sent, oracle, caller = flight.sent, flight.force.oracle, flight.force.callers[flight.sent.caller]
        about = f"{sent.facts} by {caller}: {status} {reason}"
        place = oracle.resolve(caller, sent.facts)
        if place is None:
            if left:
                self._find("escapes", number, f"sent though the name means nothing here: {about}")
            elif status not in (400, 404):
                self._find("other", number, f"not turned away: {about}")
            return
        if status == 404 and not left and "not_found" in reason:
            self._find("refused_but_permitted", number, f"turned away: {about}")
            return
        whole = oracle.labels(place, caller, sent.facts)
        stated = beyond(whole, set(oracle.doc["workloads"][place.workload].get("data", [])) | set(caller.data))
        least, most = self.memory.labels(sent, caller, flight.force.keys[sent.caller], stated, whole)
        names = self._told(call, oracle, number, about, flight)
        # Answered without a record (a count that is estimated): the labels it was decided by are not told, and where a
        # conversation may hold any of them nobody can say what was due.
        anything = names is None and EVERY_LABEL.issubset(most)
        if names is None:
            names = set(least if anything else most)
        if not within(least, names):
            due = sorted(told_by(least))
            self._find("escapes", number, f"labels lost, {due} were due, not {sorted(names)}: {about}")
        if not within(names, most):
            self._find("refused_but_permitted", number, f"labels from nowhere, {sorted(names)}: {about}")
        permitted = oracle.permitted(place, caller, sent.facts, least | names)
        for attempt in left:
            self._attempt(attempt, oracle, permitted, sent, number, about)
        due = frozenset[str]() if anything else permitted
        self._outcome(left, status, reason, place, due, flight, number, about)

    def _told(self, call: str, oracle: Oracle, number: int, about: str, flight: Flight) -> set[str] | None:
        """The labels on record for this call; records agree with each other and with the version in force."""
        refused = self.ledger.refused.get(call)
        records: list[Opened | Refused] = [*self.ledger.opened.get(call, ()), *([refused] if refused else [])]
        for record in records:
            if record.config != flight.force.stages.snapshot.version:
                self._find("other", number, f"recorded under another configuration than was in force: {about}")
        names: set[str] = set()
        for record in records:
            names |= set(record.labels)
        return names or None

    def _attempt(
        self, attempt: Left, oracle: Oracle, permitted: frozenset[str], sent: Sent, number: int, about: str
    ) -> None:
        name = f"dep{attempt.port - PORT}"
        if name not in permitted:
            self._find("escapes", number, f"sent to {name}, permitted are {sorted(permitted)}: {about}")
            return
        if not attempt.recorded:
            self._find("other", number, f"sent to {name} without a record: {about}")
        if "store" in sent.facts.onward or attempt.path.endswith(b"/responses"):
            stored = json.loads(attempt.body).get("store", attempt.path.endswith(b"/responses"))
            environment = oracle.doc["deployments"][name]["environment"]
            undone = "zero-retention" in oracle.attested_names(environment)
            undone |= sent.facts.api not in oracle.native(name)
            if stored and ("store" not in sent.facts.onward or undone):
                self._find("escapes", number, f"told {name} to store: {about}")

    def _outcome(
        self,
        left: list[Left],
        status: int,
        reason: str,
        place: Place,
        permitted: frozenset[str],
        flight: Flight,
        number: int,
        about: str,
    ) -> None:
        """A call fails only when nothing is permitted, or when all that is failed."""
        sent, oracle = flight.sent, flight.force.oracle
        if status == 500:
            self._find("other", number, f"a defect: {about}")
            return
        if any(attempt.outcome == ANSWERED for attempt in left):
            if status != 200:
                self._find("other", number, f"an answer came and was not passed on: {about}")
            return
        if any(attempt.outcome == TERMINAL for attempt in left):
            return
        able = oracle.able(sent.facts, permitted)
        if not left and reason in ("no_permitted_placement", "unknown_tool_type") and permitted:
            self._find("refused_but_permitted", number, f"{sorted(permitted)} are permitted: {about}")
            return
        if not sent.plain:
            # A translation may find that it cannot carry this call; what is in the way is told, and counts as a try.
            able = {name for name in able if sent.facts.api in oracle.native(name)}
            if reason in ("unsupported_parameter", "unknown_tool_type") or len(left) >= len(able):
                return
        due = min(len(able), oracle.attempts_max(place))
        tried = {attempt.port for attempt in left}
        if len(tried) < due and sent.plain:
            self._find(
                "refused_but_permitted", number, f"{due} of {sorted(able)} were due, {len(tried)} were tried: {about}"
            )

    def _find(self, kind: str, number: int, what: str) -> None:
        report = self.report
        setattr(report, kind, getattr(report, kind) + 1)
        if len(report.findings) < FINDINGS_MAX:
            report.findings.append(f"{kind} (seed {self.seed}, world {number}): {what}")


async def prove(
    attempts: int,
    seed: int,
    *,
    until_s: float = float("inf"),
    first_world: int = 0,
    stop_at_finding: bool = False,
    told: Callable[[Report, float], None] | None = None,
) -> Report:
    """Worlds until so many attempts left, or the time is up. told: now and then, how far it is and after how long."""
    report = Report()
    proof = Proof(seed, await recorded(), report)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    began, began_cpu = time.monotonic(), time.process_time()
    number, told_s = first_world, 0.0
    try:
        while report.attempts < attempts and (took_s := time.monotonic() - began) < until_s:
            if told is not None and took_s >= told_s:
                told(report, took_s)
                told_s = took_s + TOLD_EVERY_S
            await proof.world(number)
            number += 1
            if stop_at_finding and not report.good:
                break
    finally:
        await proof.close()
        gc.unfreeze()
    report.seconds, report.cpu_s = time.monotonic() - began, time.process_time() - began_cpu
    return report


def _tell(report: Report, attempts: int, took_s: float) -> None:
    found = report.escapes + report.refused_but_permitted + report.other
    print(
        f"{report.attempts:,} of {attempts:,} attempts in {took_s:.0f} s, {found} findings",
        end="\r" if sys.stderr.isatty() else "\n",
        file=sys.stderr,
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--attempts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--world", type=int, default=0, help="the first one, to see a finding again")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--stop", action="store_true", help="at the first finding")
    options = parser.parse_args()
    mutated = os.environ.get("PROOF_OF")
    if mutated is not None and not signalbox.__file__.startswith(mutated):
        raise RuntimeError(f"{signalbox.__file__} is not the product that was to be judged")
    report = uvloop.run(
        prove(
            options.attempts,
            options.seed,
            until_s=options.seconds,
            first_world=options.world,
            stop_at_finding=options.stop,
            told=lambda report, took_s: _tell(report, options.attempts, took_s),
        )
    )
    for finding in report.findings:
        print(finding)
    print(
        f"seed {options.seed}: {report.worlds} worlds, {report.calls} calls, {report.attempts} attempts in"
        f" {report.seconds:.1f} s ({report.attempts / report.cpu_s:.0f} a CPU second), {report.escapes} escapes,"
        f" {report.refused_but_permitted} refused but permitted, {report.other} other findings;"
        f" {dict(sorted(report.statuses.items()))}"
    )
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
