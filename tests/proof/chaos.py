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
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import uvloop

from certificates import Authority
from harness import PEPPER, Box, parse_answer
from leftovers import Leftovers
from proof import quiet
from proof.chaos_judge import CALL, Judge, Made, Report, Version
from proof.leaving import ask, drawn
from proof.oracle import Oracle
from proof.worlds import CallMaker, callers, configuration, today
from signalbox.bootstrap.data_plane import DataPlane
from signalbox.control.keys import NewKey, make
from signalbox.control.state import StateDir
from signalbox.core.link import ApplyKeys, Drain, Listen
from signalbox.ledger.journal import new_chain
from signalbox.simulator.ports import ProviderPort
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import ModelSpec, Prices, ProviderSpec, SimulatorSettings, Spread
from signalbox.telemetry.log import told_of_tasks

PROTOCOLS = ("openai", "anthropic", "openai", "openai", "anthropic", "openai", "openai")
PRICES = Prices(Decimal("0.25"), Decimal(2), Decimal("0.025"), Decimal("0.3125"), Decimal("0.5"))
CALLS_MAX = 100_000
AT_ONCE = 24
# Counted in calls, not in time, so that a slow machine sees as many reloads, and as much trouble, as a fast one.
RELOAD_EVERY_CALLS = 20
TROUBLE_EVERY_CALLS = 10
TROUBLE_CALLS = 50
KEYS_OF_VERSIONS = 6
# These answer at the pace of real ones, so that something is under way when a client leaves, and one speaks TLS.
SLOW = (1, 3, 5)
SECURE = 2
# What some workloads have besides, which changes when attempts are made and how they end, and not where they may go.
EXTRAS: tuple[dict[str, Any], ...] = (
    {"hedge": {"after_ms": 30}},
    {"stream_rescue": True},
    {"budget": {"usd_per_day": 1_000, "hard": True}},
)
EXTRA_SHARE = 0.3
# A call may be taken up when its client has left already, under what has come into force meanwhile.
LATE_VERSIONS = 4
FAULTS = ("503", "500", "502", "429@1", "529", "401", "404", "reset", "close", "stale", "reset_mid@3", "eof@3", "fin@2",
          "ttft@80ms", "first_token@150ms", "stall@4/200ms", "bad_json@2", "sse_error@1", "html", "empty", "cut_json",
          "bandwidth@4000", "slice@7", "hang", "error_body", "crlf", "comments")  # fmt: skip
PRICE = {name: float(value) for name, value in msgspec.structs.asdict(PRICES).items()}
TIMEOUTS = {"connect_s": 1, "headers_s": 1, "first_token_s": 1, "idle_s": 1, "total_s": 8}


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

        with Leftovers() as leftovers:
            await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
            await self._quiet()
        left = self._under_way()
        if calls_left := leftovers.found["signalbox.core.call.Call"]:
            left["calls for the garbage collector"] = calls_left
        Judge(self.report, self._box, self._versions, self._made, left, self._at.errors).judge()
        self.report.seconds = time.monotonic() - began
        return self.report

    # --- what goes on ---

    async def _reload(self) -> None:
        """Another configuration, and keys for its callers; the oldest keys go."""
        rng, number = self._rng, len(self._versions)
        doc = configuration(rng, [(port.url, each) for port, each in zip(self._ports, PROTOCOLS, strict=True)])
        for deployment in doc["deployments"].values():
            deployment |= {"price": PRICE, "timeouts": TIMEOUTS, "ca_file": self._at.ca_file}
        for workload in doc["workloads"].values():
            for more in EXTRAS:
                if self._trouble_rng.random() < EXTRA_SHARE:
                    workload |= more
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
            "reservations": sum(account.reserved for account in self._box.plane.purse.accounts()),
        }
        return {what: count for what, count in counts.items() if count}


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
