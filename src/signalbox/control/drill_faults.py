"""A fault drill: every fault of the table at the provider that each workload of a user's own file would use first.

Judged is how the call ends for its caller: whole, with an error, or cut with an error, and never as a success that is
none. What was shown must be the answer that all simulated providers give, or the beginning of it.
"""

from __future__ import annotations

import asyncio
from random import Random

import msgspec

from signalbox.control.breakers import Change
from signalbox.control.drill_client import Client
from signalbox.control.drill_config import deployments_of, rehearse
from signalbox.control.drill_ground import EVERYTHING, FINDINGS_MAX, Installation, Plan, install, provider_settings
from signalbox.control.drill_judge import DEFAULT, mapping
from signalbox.control.drill_watch import Progress, Watch
from signalbox.control.fault_rows import ROWS, FaultRow
from signalbox.control.transcripts import PATHS, Transcript
from signalbox.simulator.server import Simulator

AT_ONCE = 24
HONEST = frozenset({"whole", "status", "cut"})


class Ends(msgspec.Struct):
    """How the calls of one workload ended. elsewhere: of the whole ones, those that another deployment answered."""

    whole: int = 0
    elsewhere: int = 0
    status: int = 0
    cut: int = 0


class FaultResult(msgspec.Struct):
    """What a fault drill found. dishonest: calls that ended like a success without being one, or not at all. skipped:
    workloads and APIs that answer nothing even when all is well. watched_ms, breakers: as in drill.Result."""

    seed: int
    calls: int = 0
    dishonest: int = 0
    workloads: dict[str, Ends] = msgspec.field(default_factory=dict[str, Ends])
    skipped: list[str] = msgspec.field(default_factory=list[str])
    findings: list[str] = msgspec.field(default_factory=list[str])
    watched_ms: int = 0
    breakers: dict[str, list[Change]] = msgspec.field(default_factory=dict[str, list[Change]])

    @property
    def good(self) -> bool:
        return not self.dishonest


class _Cell(msgspec.Struct, frozen=True):
    workload: str
    api: str
    row: FaultRow
    stream: bool
    number: int


async def drill_faults(plan: Plan, installation: Installation, progress: Progress) -> FaultResult:
    """Runs the drill. Raises ConfigError for a file that cannot be used. plan.calls: at most so many, by the seed."""
    names = deployments_of(plan.content, plan.name)
    sim = Simulator(provider_settings(names, plan))
    await sim.start()
    try:
        urls = {name: (await sim.start_provider_port(f"d{at}")).url for at, name in enumerate(names)}
        ready = rehearse(plan.content, plan.name, urls)
        [key] = await install(installation, ready.text, plan.name, [EVERYTHING])
        providers = {name: f"d{at}" for at, name in enumerate(names)}
        workloads = list(mapping(ready.doc, "workloads")) or [DEFAULT]
        return await _FaultDrill(plan, installation, sim, providers, key).run(workloads, progress)
    finally:
        await sim.stop()


class _FaultDrill:
    """One fault drill under way."""

    def __init__(
        self, plan: Plan, installation: Installation, sim: Simulator, providers: dict[str, str], key: str
    ) -> None:
        self._plan = plan
        self._installation = installation
        self._client = Client(installation, key)
        self._sim = sim
        self._providers = providers
        self._first: dict[tuple[str, str], str] = {}
        self._canonical = ""
        self.result = FaultResult(plan.seed)

    async def run(self, workloads: list[str], progress: Progress) -> FaultResult:
        for workload in workloads:
            for api in PATHS:
                await self._find_first(workload, api)
        waiting = self._cells()

        async def caller() -> None:
            while waiting:
                await self._play(waiting.pop())

        watch = Watch(self._installation.obey, lambda: (self.result.calls, len(self.result.findings)), progress)
        async with watch.beside():
            await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
            await watch.look()
        watch.over(self.result)
        return self.result

    async def _find_first(self, workload: str, api: str) -> None:
        """Where a call goes when all is well."""
        seen, placement = await self._client.ask(workload, api, stream=False, tag="")
        if seen.end != "whole" or placement not in self._providers:
            self.result.skipped.append(f"{workload} over {api}")
            return
        self._first[workload, api] = placement
        self._canonical = seen.text

    def _cells(self) -> list[_Cell]:
        rows = [row for row in ROWS if row.spec]
        drawn = [(at, row, stream) for at in self._first for row in rows for stream in (True, False)]
        Random(self._plan.seed).shuffle(drawn)  # noqa: S311  (calls that can be made again)
        chosen = drawn[: self._plan.calls]
        return [_Cell(*at, row, stream, number) for number, (at, row, stream) in enumerate(chosen)]

    async def _play(self, cell: _Cell) -> None:
        first = self._first[cell.workload, cell.api]
        tag = f"drill-{cell.number}-of-{self._plan.seed}."
        booked = self._sim.fault(cell.row.spec, provider=self._providers[first], body_contains=tag)
        try:
            seen, placement = await self._client.ask(cell.workload, cell.api, stream=cell.stream, tag=tag)
        finally:
            self._sim.faults.remove(booked)
        self._judge(cell, seen, moved=placement not in ("", first))

    def _judge(self, cell: _Cell, seen: Transcript, *, moved: bool) -> None:
        result = self.result
        result.calls += 1
        ends = result.workloads.setdefault(cell.workload, Ends())
        honest = seen.end in HONEST and self._canonical.startswith(seen.text)
        if not honest or (seen.end == "whole" and seen.text != self._canonical):
            result.dishonest += 1
            if len(result.findings) < FINDINGS_MAX:
                how = "streamed" if cell.stream else "whole"
                result.findings.append(
                    f"dishonest: {cell.workload} over {cell.api}, {how}, with {cell.row.name}: ended {seen.end}"
                )
            return
        if seen.end == "whole":
            ends.whole += 1
            ends.elsewhere += moved
        elif seen.end == "cut":
            ends.cut += 1
        else:
            ends.status += 1
