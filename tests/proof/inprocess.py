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
from typing import Any

import msgspec
import uvloop

import signalbox
from proof import quiet
from proof.oracle import LEVELS, Caller, Oracle, Place, level_of, told_by
from proof.worlds import PATHS, CallMaker, Sent, World, world
from signalbox.bootstrap.data_plane import DataPlane
from signalbox.control.keys import NewKey, make
from signalbox.control.state import StateDir
from signalbox.core.errors import UpstreamFault
from signalbox.core.link import Applied, ApplyConfig, ApplyKeys
from signalbox.core.permit import Permit
from signalbox.core.ports import VirtualKey
from signalbox.core.records import Opened, Record, Refused
from signalbox.core.snapshot import Origin
from signalbox.gateway.app import Gateway
from signalbox.gateway.http import Connection, HttpLimits
from signalbox.gateway.worker import Worker
from signalbox.ledger.journal import new_chain
from signalbox.pipeline.stages import Stages
from signalbox.simulator.server import Simulator
from signalbox.upstream.head import RequestHead
from signalbox.upstream.transport import Share

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
# The attempt ends the call: the caller's own mistake, or content is out.
TERMINAL, FAILED, ANSWERED = "terminal", "failed", "answered"
EVERY_LABEL = frozenset(("everything",))


# --- what providers say ---


@dataclass(frozen=True)
class Said:
    """A provider's whole answer to one API, as the simulator gives it."""

    unary: bytes
    stream: bytes


async def recorded() -> dict[str, Said]:
    """One answer of each kind, asked once of the simulator over a real socket."""
    sim = Simulator()
    await sim.start()
    try:
        return {api: Said(await _ask(sim, api, False), await _ask(sim, api, True)) for api in PATHS}
    finally:
        await sim.stop()


async def _ask(sim: Simulator, api: str, stream: bool) -> bytes:
    body: dict[str, Any] = {"model": "sim-embed" if api == "embeddings" else "sim-small", "stream": stream}
    if api in ("responses", "embeddings"):
        body["input"] = "Hello"
    elif api == "completions":
        body["prompt"] = "Hello"
    else:
        body |= {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
    if api in ("chat", "completions") and stream:
        body["stream_options"] = {"include_usage": True}
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    head = f"POST /openai{PATHS[api]} HTTP/1.0\r\nhost: t\r\ncontent-type: application/json\r\n"
    writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data)
    received = await reader.read(-1)
    writer.close()
    return received.partition(b"\r\n\r\n")[2]


class Upstream:
    """What `send` gave back: an answer, or as much of one as there is before its fault."""

    queue_us = connect_us = ttfb_us = 0

    def __init__(self, status: int, kind: bytes, pieces: list[bytes], fault: UpstreamFault | None) -> None:
        self.status = status
        self.headers = [(b"content-type", kind)]
        self.finished = False
        self._pieces = pieces
        self._fault = fault

    def whole(self) -> bytes:
        return self._pieces[0] if self._fault is None and len(self._pieces) == 1 else b""

    async def body(self, bytes_max: int) -> bytes:
        if self._fault is not None:
            raise self._fault
        return b"".join(self._pieces)

    async def push(self, sink: Any) -> None:
        while self._pieces:
            if not sink(self._pieces.pop(0)):
                return
        if self._fault is not None:
            raise self._fault
        self.finished = True

    def content_seen(self) -> None:
        return

    def release(self, *, ended: bool) -> None:
        return


@dataclass
class Left:
    """One attempt that left: where to, judged by the address alone, with which bytes, and what became of it."""

    port: int
    path: bytes
    body: bytes
    recorded: bool
    outcome: str


class Recorder:
    """Stands where the transport stands: what is sent is written down, and answered or failed as the die falls."""

    def __init__(self, answers: dict[str, Said], journal: Ledger) -> None:
        self.rng = Random(0)
        self.left: dict[str, list[Left]] = {}
        self.attempts = 0
        self._answers = answers
        self._journal = journal
        self._api = {path.removeprefix("/v1").encode(): api for api, path in PATHS.items()}

    def load(self, deployment: str, origin: Origin) -> int:
        return 0

    async def send(
        self,
        permit: Permit,
        origin: Origin,
        head: RequestHead,
        *,
        stream: bool = False,
        until_content: bool = False,
        share: Share | None = None,
    ) -> Upstream:
        left = Left(origin.port, head.path, permit.body, permit.attempt_id in self._journal.open, FAILED)
        self.attempts += 1
        self.left.setdefault(permit.attempt_id.rpartition("-")[0], []).append(left)
        if self.rng.random() < 0.5:
            await asyncio.sleep(0)  # others, and new configurations, come in between
        return self._answer(left, head.path, stream)

    def _answer(self, left: Left, path: bytes, stream: bool) -> Upstream:
        rng = self.rng
        draw = rng.random()
        if draw < 0.27:
            raise UpstreamFault(rng.choice(("connect", "dns", "tls")), "no way", sent=False)
        if draw < 0.50:
            raise UpstreamFault(rng.choice(("reset", "headers_timeout", "first_token_timeout")), "silence", sent=True)
        if draw < 0.82:
            status = rng.choice((500, 502, 503, 429, 529, 401, 403, 404))
            return Upstream(status, b"application/json", [b'{"error":{"message":"no"}}'], None)
        if draw < 0.835:
            left.outcome = TERMINAL
            return Upstream(rng.choice((400, 413, 422)), b"application/json", [b'{"error":{"message":"bad"}}'], None)
        said = self._answers[self._api[path.removeprefix(b"/v1").partition(b"?")[0]]]
        if stream:
            return self._stream(left, said.stream, draw)
        if draw < 0.86:
            return Upstream(200, b"application/json", [said.unary[:-9]], None)
        if draw < 0.88:
            return Upstream(200, b"application/json", [], UpstreamFault("truncated", "cut", sent=True))
        left.outcome = ANSWERED
        return Upstream(200, b"application/json", [said.unary], None)

    def _stream(self, left: Left, whole: bytes, draw: float) -> Upstream:
        kind = b"text/event-stream"
        if draw < 0.86:
            return Upstream(200, kind, [], UpstreamFault("idle_timeout", "silence", sent=True))
        if draw < 0.88:
            left.outcome = TERMINAL  # unless it died before its first content, where falling over is allowed
            return Upstream(200, kind, [whole[: len(whole) // 2]], UpstreamFault("reset", "gone", sent=True))
        left.outcome = ANSWERED
        return Upstream(200, kind, [whole], None)


class Ledger:
    """The journal's port in memory: what is on record, and for which attempts."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.opened: dict[str, list[Opened]] = {}
        self.refused: dict[str, Refused] = {}

    def append(self, record: Record) -> None:
        if isinstance(record, Opened):
            self.open.add(record.attempt_id)
            self.opened.setdefault(record.call_id, []).append(record)
        elif isinstance(record, Refused):
            self.refused[record.call_id] = record

    append_soon = append

    async def synced(self) -> None:
        return

    def healthy(self) -> bool:
        return True

    def clear(self) -> None:
        self.open.clear()
        self.opened.clear()
        self.refused.clear()


class Client(asyncio.Transport):
    """The client's end of a connection, as bytes in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.received.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def write_eof(self) -> None:
        return

    def close(self) -> None:
        return

    def abort(self) -> None:
        return


# --- what conversations carried ---


@dataclass
class Memory:
    """What each conversation must have kept, and what it may have kept at the most, workloads' own classes included."""

    must: dict[Any, set[str]] = field(default_factory=dict[Any, set[str]])
    may: dict[Any, set[str]] = field(default_factory=dict[Any, set[str]])

    def labels(
        self, sent: Sent, caller: Caller, key: str, stated: set[str], whole: set[str]
    ) -> tuple[set[str], set[str]]:
        """(least, most) labels of this call, which are remembered. stated: what is beyond the floor.

        key: the caller's, whose conversations without a name are nobody else's."""
        keys: list[tuple[Any, bool]] = []
        if sent.session is not None:
            keys.append(((caller.tenant, sent.session), True))
        if sent.origin is not None:
            keys.append(((caller.tenant, key, sent.origin), sent.turns > 1))
        least, most = set(whole), set(whole)
        if sent.facts.holds:
            most |= EVERY_LABEL
        for conversation, reads in keys:
            if reads:
                least |= self.must.get(conversation, set())
                most |= self.may.get(conversation, set())
        for conversation, _ in keys:
            self.must.setdefault(conversation, set()).update(stated)
            self.may.setdefault(conversation, set()).update(most)
        return least, most


def beyond(names: set[str], floor: set[str]) -> set[str]:
    """What conversations keep of labels: not what every call of this workload and key has anyway."""
    level = LEVELS[level_of(names)]
    return (names - set(LEVELS) - floor) | ({level} if level_of(names) > level_of(floor) else set())


def within(names: set[str], bound: set[str]) -> bool:
    """Whether every label and the level are within a bound."""
    if EVERY_LABEL.issubset(bound):
        return True
    return names - set(LEVELS) <= bound - set(LEVELS) and level_of(names) <= level_of(bound)


# --- one run ---


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
