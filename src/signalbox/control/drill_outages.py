"""An outage drill: each deployment that a workload uses first goes down for a moment and comes back, under steady
calls, with the breakers as the file has them. Judged is whether it is taken out of use, and used again."""

from __future__ import annotations

import asyncio
import time

import msgspec

from signalbox.control.breakers import Change
from signalbox.control.drill_client import Client
from signalbox.control.drill_config import deployments_of, rehearse
from signalbox.control.drill_ground import EVERYTHING, FINDINGS_MAX, Installation, Plan, install, provider_settings
from signalbox.control.drill_judge import DEFAULT, mapping
from signalbox.control.drill_watch import Progress, Watch
from signalbox.simulator.ports import ProviderPort
from signalbox.simulator.server import Simulator

# Calls that are under way when a deployment goes down, and in each volley after it.
AT_ONCE = 8
VOLLEY_EVERY_S = 0.25
# How long it is down, and how long at most where its breaker stays closed.
DOWN_S = 2.5
DOWN_S_MAX = 15.0
# Beyond the longest that a file lets a breaker stay open, a deployment has to be used again.
BACK_S_MAX = 30.0


class Outage(msgspec.Struct):
    """One deployment's outage. opened_ms: after it went down; back_ms: until it answered again after it was back; None
    when it was not. here, elsewhere: calls that it answered, and another one did; failed: nobody did."""

    opened_ms: int | None = None
    back_ms: int | None = None
    here: int = 0
    elsewhere: int = 0
    failed: int = 0


class OutageResult(msgspec.Struct):
    """What an outage drill found. unopened: deployments that went on being asked. lost: those that were not used again.
    skipped: those that no workload uses first, or whose breaker is switched off."""

    seed: int
    calls: int = 0
    unopened: int = 0
    lost: int = 0
    outages: dict[str, Outage] = msgspec.field(default_factory=dict[str, Outage])
    skipped: list[str] = msgspec.field(default_factory=list[str])
    findings: list[str] = msgspec.field(default_factory=list[str])
    watched_ms: int = 0
    breakers: dict[str, list[Change]] = msgspec.field(default_factory=dict[str, list[Change]])

    @property
    def good(self) -> bool:
        return not (self.unopened or self.lost)


async def drill_outages(plan: Plan, installation: Installation, progress: Progress) -> OutageResult:
    """Runs the drill. Raises ConfigError for a file that cannot be used. plan.calls: no deployment goes down any more
    after so many."""
    names = deployments_of(plan.content, plan.name)
    sim = Simulator(provider_settings(names, plan))
    await sim.start()
    try:
        ports = {name: await sim.start_provider_port(f"d{at}") for at, name in enumerate(names)}
        ready = rehearse(plan.content, plan.name, {name: port.url for name, port in ports.items()}, health=True)
        [key] = await install(installation, ready.text, plan.name, [EVERYTHING])
        off = {name for name, one in mapping(ready.doc, "deployments").items() if _switched_off(one)}
        client = Client(installation, key)
        workloads = list(mapping(ready.doc, "workloads")) or [DEFAULT]
        return await _OutageDrill(plan, installation, client, ports, off).run(workloads, progress)
    finally:
        await sim.stop()


class _OutageDrill:
    """One outage drill under way."""

    def __init__(
        self, plan: Plan, installation: Installation, client: Client, ports: dict[str, ProviderPort], off: set[str]
    ) -> None:
        self._plan = plan
        self._client = client
        self._ports = ports
        self._off = off
        self._installation = installation
        self.result = OutageResult(plan.seed)

    async def run(self, workloads: list[str], progress: Progress) -> OutageResult:
        result = self.result
        watch = Watch(self._installation.obey, lambda: (result.calls, len(result.findings)), progress)
        async with watch.beside():
            firsts = await self._firsts(workloads)
            for name, workload in firsts.items():
                if result.calls < self._plan.calls:
                    await self._outage(name, workload, watch)
        watch.over(result)
        return result

    async def _firsts(self, workloads: list[str]) -> dict[str, str]:
        """By deployment, a workload that uses it first when all is well."""
        firsts: dict[str, str] = {}
        for workload in workloads:
            seen, placement = await self._ask(workload)
            if seen == "whole" and placement in self._ports and placement not in self._off:
                firsts.setdefault(placement, workload)
        self.result.skipped = [name for name in self._ports if name not in firsts]
        return firsts

    async def _outage(self, name: str, workload: str, watch: Watch) -> None:
        outage = self.result.outages[name] = Outage()
        went_ms = watch.now_ms()
        await self._ports[name].down()
        opened_ms: int | None = None
        while (down_s := (watch.now_ms() - went_ms) / 1000) < DOWN_S or (opened_ms is None and down_s < DOWN_S_MAX):
            await self._volley(name, workload, outage)
            await watch.look()
            opened_ms = watch.opened_ms(name, went_ms)
            await asyncio.sleep(VOLLEY_EVERY_S)
        outage.opened_ms = None if opened_ms is None else opened_ms - went_ms
        came = time.monotonic()
        await self._ports[name].up()
        before = outage.here
        while outage.here == before and time.monotonic() - came < BACK_S_MAX:
            await asyncio.sleep(VOLLEY_EVERY_S)
            await self._volley(name, workload, outage)
        await watch.look()
        if outage.here > before:
            outage.back_ms = round((time.monotonic() - came) * 1000)
        self._judge(name, outage)

    async def _volley(self, name: str, workload: str, outage: Outage) -> None:
        for seen, placement in await asyncio.gather(*(self._ask(workload) for _ in range(AT_ONCE))):
            if seen != "whole":
                outage.failed += 1
            elif placement == name:
                outage.here += 1
            else:
                outage.elsewhere += 1

    def _judge(self, name: str, outage: Outage) -> None:
        if outage.opened_ms is None:
            self.result.unopened += 1
            self._find(f"unopened: {name} was down and was asked on and on")
        if outage.back_ms is None:
            self.result.lost += 1
            self._find(f"lost: {name} was not used again within {BACK_S_MAX:.0f} s of coming back")

    def _find(self, what: str) -> None:
        if len(self.result.findings) < FINDINGS_MAX:
            self.result.findings.append(what)

    async def _ask(self, workload: str) -> tuple[str, str]:
        """Each with a body of its own: one that fails again and again would be the body's fault."""
        self.result.calls += 1
        tag = f"drill-{self.result.calls}-of-{self._plan.seed}."
        seen, placement = await self._client.ask(workload, "chat", stream=False, tag=tag)
        return seen.end, placement


def _switched_off(declared: object) -> bool:
    health = declared.get("health") if isinstance(declared, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return isinstance(health, dict) and health.get("enabled") == "false"  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
