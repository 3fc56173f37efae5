"""Calls over real sockets while providers fail, go down and come back, keys come and go and configurations change.

Afterwards every request in the providers' own log is held against the oracle under the configuration that its ledger
row names, every refusal too, and the ledger against the providers' bill.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import uvloop

from certificates import Authority
from harness import PEPPER, Box, parse_answer
from proof import quiet
from proof.leaving import ask, drawn
from proof.memory import within
from proof.oracle import Caller, Oracle, told_by
from proof.worlds import CallMaker, Sent, callers, configuration, today
from signalbox.bootstrap.data_plane import DataPlane
from signalbox.bootstrap.storage import open_store
from signalbox.control.keys import NewKey, make
from signalbox.control.state import StateDir
from signalbox.core.link import ApplyKeys, Drain, Listen
from signalbox.ledger.journal import new_chain
from signalbox.ledger.query import query, query_refused
from signalbox.ledger.ship import Shipping
from signalbox.simulator.log import Entry
from signalbox.simulator.ports import ProviderPort
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import ModelSpec, Prices, ProviderSpec, SimulatorSettings, Spread
from signalbox.telemetry.log import told_of_tasks

PROTOCOLS = ("openai", "anthropic", "openai", "openai", "anthropic", "openai", "openai")
PRICES = Prices(Decimal("0.25"), Decimal(2), Decimal("0.025"), Decimal("0.3125"), Decimal("0.5"))
CALLS_MAX = 100_000
# The tag that each call is told apart by.
CALL = "call-"
AT_ONCE = 24
# Counted in calls, not in time, so that a slow machine sees as many reloads, and as much trouble, as a fast one.
RELOAD_EVERY_CALLS = 20
TROUBLE_EVERY_CALLS = 10
TROUBLE_CALLS = 50
KEYS_OF_VERSIONS = 6
FINDINGS_MAX = 20
SHORT_SHARE_MAX = 0.04
# These answer at the pace of real ones, so that something is under way when a client leaves, and one speaks TLS.
SLOW = (1, 3, 5)
SECURE = 2
# A call may be taken up when its client has left already, under what has come into force meanwhile.
LATE_VERSIONS = 4
FAULTS = ("503", "500", "502", "429@1", "529", "401", "404", "reset", "close", "stale", "reset_mid@3", "eof@3", "fin@2",
          "ttft@80ms", "first_token@150ms", "stall@4/200ms", "bad_json@2", "sse_error@1", "html", "empty", "cut_json",
          "bandwidth@4000", "slice@7", "hang", "error_body", "crlf", "comments")  # fmt: skip
PRICE = {name: float(value) for name, value in msgspec.structs.asdict(PRICES).items()}
TIMEOUTS = {"connect_s": 1, "headers_s": 1, "first_token_s": 1, "idle_s": 1, "total_s": 8}


@dataclass
class Version:
    """A configuration that was in force at some time."""

    oracle: Oracle
    name: str
    callers: tuple[Caller, ...]
    keys: list[str]
    maker: CallMaker


@dataclass
class Made:
    """One call: what was in force when it was sent and when it ended, as positions in the list of versions."""

    sent: Sent
    caller: Caller
    first: int
    last: int = 0
    left: bool = False
    status: int = 0
    call_id: str = ""
    reason: str = ""


@dataclass
class Report:
    seed: int
    calls: int = 0
    requests: int = 0
    reloads: int = 0
    escapes: int = 0
    refused_but_permitted: int = 0
    other: int = 0
    money: int = 0
    estimated: int = 0
    short: int = 0
    left: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter[int])
    states: Counter[str] = field(default_factory=Counter[str])
    findings: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> bool:
        return not (self.escapes or self.refused_but_permitted or self.other or self.money)


class Chaos:
    """The run. Which calls there are follows from the seed; what trouble they meet depends on timing too."""

    def __init__(self, seed: int, at: Installation) -> None:
        self.report = Report(seed)
        self._rng = Random(f"{seed}-chaos")
        self._trouble_rng = Random(f"{seed}-trouble")
        self._at = at
        self._box, self._ports = at.box, at.ports
        self._leaving_rng = Random(f"{seed}-leaving")
        self._versions: list[Version] = []
        self._made: list[Made] = []
        self._called = 0
        self._down: set[int] = set()
        self._faults: list[str] = []
        self._troubles: deque[tuple[int, int]] = deque()  # the number of calls it ends at, and which it is

    async def run(self, calls: int) -> Report:
        began = time.monotonic()
        await self._reload()
        await self._box.worker.obey(Listen())
        left = iter(range(calls))

        async def caller() -> None:
            for _ in left:
                await self._call()
                self._called += 1
                number = self._called
                if number % TROUBLE_EVERY_CALLS == 0:
                    await self._trouble()
                if number % RELOAD_EVERY_CALLS == 0:
                    await self._reload()  # while the other callers go on

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        await self._quiet()
        self._judge()
        self.report.seconds = time.monotonic() - began
        return self.report

    # --- what goes on ---

    async def _reload(self) -> None:
        """Another configuration, and keys for its callers; the oldest keys go."""
        rng, number = self._rng, len(self._versions)
        doc = configuration(rng, [(port.url, each) for port, each in zip(self._ports, PROTOCOLS, strict=True)])
        for deployment in doc["deployments"].values():
            deployment |= {"price": PRICE, "timeouts": TIMEOUTS, "ca_file": self._at.ca_file}
        doc["journal"] = {"fsync": "off"}
        text = json.dumps(doc)
        who = callers(rng, doc)
        keys: list[str] = []
        for each in who:
            row, key = make(NewKey("k", each.tenant, each.team, each.workloads, each.deployments, each.data), PEPPER, 1)
            self._box.keys.append(row)
            keys.append(key.reveal())
        del self._box.keys[: -KEYS_OF_VERSIONS * 4]
        await self._box.worker.obey(ApplyKeys(PEPPER, self._box.keys))
        error = await self._box.configure(text)
        assert not error, error
        gateway = self._box.worker.gateway
        assert gateway is not None
        version = gateway.stages.snapshot.version
        maker = CallMaker(rng, doc, len(who), f"{number}")
        self._versions.append(Version(Oracle(text, today().isoformat()), version, who, keys, maker))
        self.report.reloads = number

    async def _trouble(self) -> None:
        """What has lasted long enough ends; something else begins at one of the providers."""
        sim = self._box.sim
        while self._troubles and self._troubles[0][0] <= self._called:
            _, booked = self._troubles.popleft()
            sim.faults.remove(booked)
        at = self._trouble_rng.randrange(len(self._ports))
        if self._trouble_rng.random() < 0.2:
            if at not in self._down:
                self._down.add(at)
                await self._ports[at].down()
                await asyncio.sleep(self._trouble_rng.random() * 0.2)  # the other callers go on
                await self._ports[at].up()
                self._down.discard(at)
            return
        if not self._faults:  # each once before any comes again
            self._faults = self._trouble_rng.sample(FAULTS, len(FAULTS))
        booked = sim.fault(self._faults.pop(), provider=f"p{at}")
        self._troubles.append((self._called + TROUBLE_CALLS, booked))

    async def _call(self) -> None:
        first = len(self._versions) - 1
        version = self._versions[first]
        sent = version.maker.make()
        made = Made(sent, version.callers[sent.caller], first)
        number = len(self._made)
        self._made.append(made)
        leaving = drawn(self._leaving_rng, stream=sent.stream)
        headers = (*sent.headers, ("x-signalbox-tags", f"{CALL}{number}"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"POST {sent.path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n"
        head += f"authorization: Bearer {version.keys[sent.caller]}\r\n{lines}content-length: {len(sent.body)}\r\n\r\n"
        received = await ask(self._box.port, head.encode(), sent.body, leaving)
        made.last = len(self._versions) - 1
        if leaving is not None:
            made.left = True
            made.last += LATE_VERSIONS
            head_end = received.find(b"\r\n\r\n")
            received = received[: head_end + 4] if head_end >= 0 else b""
        answer = parse_answer(received)
        made.status = answer.status
        made.call_id = answer.headers.get("x-request-id", "")
        made.reason = answer.headers.get("x-signalbox-reason", "")

    async def _quiet(self) -> None:
        """Until nothing is under way any more."""
        self._box.sim.faults.clear()
        for _ in range(500):
            await asyncio.sleep(0.02)
            if not self._under_way():
                break
        await asyncio.sleep(0.3)  # what providers still bill for calls that hung up

    def _under_way(self) -> dict[str, int]:
        """What there is of calls, by what it is."""
        gateway = self._box.worker.gateway
        assert gateway is not None
        stages = gateway.stages
        pools = stages.transport.stats()
        counts = {
            "calls": stages.limits.in_flight,
            "connections": len(gateway.connections),
            "replies": len(gateway.streams) + len(gateway.wholes),
            "open attempts": len(stages.open),
            "exchanges": sum(pool.in_flight + pool.waiting for pool in pools),
            "attempts": sum(group.active for group in stages.fleet.groups),
        }
        return {what: count for what, count in counts.items() if count}

    # --- judging ---

    def _judge(self) -> None:
        store = open_store(self._box.state)
        try:
            Shipping(store, self._box.state.journal).ship_once()
            rows = [dict(row) for row in query(store, {})]
            refused = {str(row["call_id"]): dict(row) for row in query_refused(store, {})}
        finally:
            store.close()
        by_call: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_call.setdefault(str(row["call_id"]), []).append(row)
        by_attempt = {str(row["attempt_id"]): row for row in rows}
        for row in rows:
            self._name(row)
        made = {each.call_id: each for each in self._made if each.call_id}
        for call_id in by_call.keys() - made.keys():
            self._find("other", f"the ledger has a call that nobody made: {call_id}")
        for entry in self._box.sim.log.entries:
            if entry.endpoint:
                self._judge_request(entry, by_attempt, refused, made)
        for each in self._made:
            self._judge_call(each, by_call.get(each.call_id, []), refused.get(each.call_id))
        self._judge_money(by_attempt)
        if not self._box.chain_is_whole():
            self._find("other", "the journal's chain is broken")
        for what, count in self._under_way().items():
            self._find("other", f"left when all was over: {count} {what}")
        for line in self._at.errors:
            self._find("other", line)

    def _name(self, row: dict[str, Any]) -> None:
        """Whoever left before its head was told no id; its rows say which call they are of."""
        (number,) = [tag.removeprefix(CALL) for tag in row["tags"] if tag.startswith(CALL)]
        made = self._made[int(number)]
        made.call_id = made.call_id or str(row["call_id"])
        if made.call_id != row["call_id"]:
            self._find("other", f"two calls from one: {made.call_id}, {row['call_id']}")

    def _version(self, made: Made, row: dict[str, Any] | None) -> Version | None:
        """The version that a row names, if it was in force while the call ran."""
        for version in self._versions[made.first : made.last + 1]:
            if row is None or version.name == row["config_version"]:
                return version
        return None

    def _judge_request(
        self,
        entry: Entry,
        by_attempt: dict[str, dict[str, Any]],
        refused: dict[str, dict[str, Any]],
        made: dict[str, Made],
    ) -> None:
        """One request as a provider received it."""
        self.report.requests += 1
        row, name = by_attempt.get(entry.client_request_id), f"dep{entry.provider[1:]}"
        each = made.get(entry.client_request_id.rpartition("-")[0])
        if row is None or each is None:
            self._find("other", f"a request at {name} is not in the ledger, or of no call: {entry.client_request_id}")
            return
        about = f"{each.sent.facts} by {each.caller}"
        if row["deployment"] != name:
            self._find("other", f"sent to {name}, recorded as {row['deployment']}: {about}")
        version = self._version(each, row)
        if version is None:
            self._find("other", f"recorded under a configuration that was not in force: {about}")
            return
        oracle = version.oracle
        place = oracle.resolve(each.caller, each.sent.facts)
        if place is None:
            self._find("escapes", f"sent to {name} though its name means nothing: {about}")
            return
        labels = oracle.labels(place, each.caller, each.sent.facts) | set(row["labels"])
        permitted = oracle.permitted(place, each.caller, each.sent.facts, labels)
        if name not in permitted:
            self._find("escapes", f"sent to {name}, permitted are {sorted(permitted)}: {about}")
        if entry.path.endswith("/responses"):
            stored = json.loads(entry.body).get("store", True)
            environment = oracle.doc["deployments"][name]["environment"]
            onward = each.sent.facts.onward
            undone = "zero-retention" in oracle.attested_names(environment)
            if stored and ("store" not in onward or undone or each.sent.facts.api not in oracle.native(name)):
                self._find("escapes", f"told {name} to store: {about}")

    def _judge_call(self, each: Made, rows: list[dict[str, Any]], refused: dict[str, Any] | None) -> None:
        self.report.calls += 1
        self.report.statuses[each.status] += 1
        facts, caller = each.sent.facts, each.caller
        about = f"{facts} by {caller}: {each.status} {each.reason}"
        if each.left:
            self.report.left += 1
            if not each.status and not rows:
                return  # nobody knows how far it came
        if each.status in (500, 401) or not (each.status or each.left):
            self._find("other", about)
            return
        named = rows[0] if rows else refused
        version = self._version(each, named)
        if version is None:
            self._find("other", f"recorded under a configuration that was not in force: {about}")
            return
        if named is None:
            self._judge_unrecorded(each, about)
            return
        place = version.oracle.resolve(caller, facts)
        if place is None:
            self._find("other", f"not turned away: {about}")
            return
        whole = version.oracle.labels(place, caller, facts)
        told = {label for row in (*rows, *([refused] if refused else [])) for label in row["labels"]}
        if not within(whole, told):
            self._find("escapes", f"labels lost, {sorted(told_by(whole))} were due, not {sorted(told)}: {about}")
        if each.sent.session is None and each.sent.turns == 1 and not facts.holds and not within(told, whole):
            self._find("refused_but_permitted", f"labels from nowhere, {sorted(told)}: {about}")
        if each.status in (0, 200):
            return
        permitted = version.oracle.permitted(place, caller, facts, whole | told)
        able = version.oracle.able(facts, permitted)
        if each.reason in ("no_permitted_placement", "unknown_tool_type"):
            if permitted and not rows:
                self._find("refused_but_permitted", f"{sorted(permitted)} are permitted: {about}")
            return
        due = min(len(able), version.oracle.attempts_max(place))
        tried = {row["deployment"] for row in rows}
        if each.sent.plain and len(tried) < due:
            self._find("refused_but_permitted", f"{due} of {sorted(able)} were due, not {sorted(tried)}: {about}")

    def _judge_unrecorded(self, each: Made, about: str) -> None:
        """Neither an attempt nor a refusal is on record: the call was turned away before, or a count was estimated."""
        facts, caller = each.sent.facts, each.caller
        versions = [version.oracle for version in self._versions[each.first : each.last + 1]]
        if each.status in (400, 404):
            if all(oracle.resolve(caller, facts) is not None for oracle in versions) and each.sent.plain:
                self._find("refused_but_permitted", f"turned away: {about}")
        elif not (each.status == 200 and facts.api == "count_tokens"):
            self._find("other", f"not on record: {about}")

    def _judge_money(self, by_attempt: dict[str, dict[str, Any]]) -> None:
        """Exactly the bill where the provider told its usage or nothing was used. Elsewhere the ledger holds what is
        meant as an upper bound; it is learnt, so single ones may fall short, and together they must not."""
        bill = {row.client_request_id: row for row in self._box.sim.bill.rows}
        estimated, truly = Counter[str](), Counter[str]()
        for attempt_id, row in by_attempt.items():
            self.report.states[str(row["state"])] += 1
            cost_pico = int(Decimal(str(row["cost_usd"])) * 10**12)
            truth = bill.get(attempt_id)
            billed = truth.cost_pico if truth is not None else 0
            if row["usage_source"] != "estimated":
                if cost_pico != billed:
                    self._find("money", f"{row['state']} at {cost_pico}, billed {billed}: {row}")
                continue
            estimated[row["state"]] += cost_pico
            truly[row["state"]] += billed
            self.report.estimated += 1
            self.report.short += cost_pico < billed
        for state in estimated:
            if estimated[state] < truly[state]:
                self._find("money", f"{state} ones at {estimated[state]} in all, billed {truly[state]}")
        if self.report.short > max(5, SHORT_SHARE_MAX * self.report.estimated):
            self._find("money", f"{self.report.short} estimates of {self.report.estimated} are below the bill")
        for attempt_id in bill.keys() - by_attempt.keys():
            self._find("money", f"billed and not in the ledger: {attempt_id}")

    def _find(self, kind: str, what: str) -> None:
        report = self.report
        setattr(report, kind, getattr(report, kind) + 1)
        if len(report.findings) < FINDINGS_MAX:
            report.findings.append(f"{kind} (seed {report.seed}): {what}")


@dataclass
class Installation:
    """errors: lines of that level in the gateway's log. ca_file: of the authority that signed a provider's name."""

    box: Box
    ports: list[ProviderPort]
    ca_file: str
    errors: list[str]


@contextlib.asynccontextmanager
async def installation(folder: Path, seed: int) -> AsyncIterator[Installation]:
    """A gateway in this process on a real socket, and simulated providers on ports of their own."""
    models = {"m": ModelSpec(PRICES)}
    quick = ProviderSpec(models, ttft_ms=Spread(1), tokens_per_s=Spread(5_000))
    slow = ProviderSpec(models, ttft_ms=Spread(20, 120), tokens_per_s=Spread(150, 300))
    sim = Simulator(
        SimulatorSettings(
            providers={f"p{at}": slow if at in SLOW else quick for at in range(len(PROTOCOLS))},
            seed=seed,
            latency="on",
            log_entries=10 * CALLS_MAX,
            log_bytes=1 << 30,
            bill_rows=10 * CALLS_MAX,
        )
    )
    await sim.start()
    authority = Authority(folder / "authority")
    tls = authority.server_context()
    ports = [await sim.start_provider_port(f"p{at}", tls=tls if at == SECURE else None) for at in range(len(PROTOCOLS))]
    state = StateDir(folder / "state")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    listener.setblocking(False)
    errors: list[str] = []
    log = quiet.log("chaos", errors)
    asyncio.get_running_loop().set_exception_handler(told_of_tasks(log))
    plane = DataPlane(state, new_chain("chaos"), log)
    box = Box(sim, plane, state, listener)
    try:
        yield Installation(box, ports, str(authority.ca_file), errors)
    finally:
        await box.worker.obey(Drain(0))
        await plane.close()
        await sim.stop()


async def chaos(calls: int, seed: int) -> Report:
    with TemporaryDirectory(prefix="chaos-") as folder:
        async with installation(Path(folder), seed) as at:
            return await Chaos(seed, at).run(calls)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2_000, choices=range(1, CALLS_MAX + 1), metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = uvloop.run(chaos(options.calls, options.seed))
    for finding in report.findings:
        print(finding)
    print(
        f"seed {report.seed}: {report.calls} calls, {report.requests} requests at providers, {report.reloads} reloads"
        f" in {report.seconds:.1f} s, {report.escapes} escapes, {report.refused_but_permitted} refused but permitted,"
        f" {report.money} differences in money ({report.short} of {report.estimated} estimates below the bill),"
        f" {report.other} other findings, {report.left} clients left;"
        f" {dict(sorted(report.statuses.items()))}, {dict(report.states)}"
    )
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
