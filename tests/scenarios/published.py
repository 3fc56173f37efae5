"""The published sixteen: S01 to S16 of Failover Bench on three endpoints, streamed and whole, judged from outside.

Run by `python -m benchmarks.scenarios`. Every scenario has deployments of its own on one installation, so that they run
side by side without a breaker of one being seen by another. Baseline of each row: up to two retries, a request and
stream-idle limit of 30 s, one fallback model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from harness import Answer, Box, running
from scenarios.fault_cells import PROTOCOLS
from signalbox.bootstrap.storage import open_store
from signalbox.control.transcripts import PATHS, Transcript, read
from signalbox.core.attempts import AttemptFilter, AttemptRow
from signalbox.ledger.ship import Shipping
from signalbox.simulator.log import Entry
from signalbox.simulator.settings import SimulatorSettings

PRIMARY, FALLBACK = "openai", "vllm"
FALLBACK_MODEL = "sim-large"
TEXT = "Tell it. [[tokens:60]][[delay_ms:4]]"
PROFILES = ("stream", "whole")
RANKS = ("pass", "partial", "safe", "fail")
ANSWER_S = 120.0


class Scenario(msgspec.Struct, frozen=True):
    """faults: at the primary; behind: at the fallback. judge: what the caller and the providers saw, to a rank."""

    name: str
    what: str
    faults: tuple[str, ...]
    judge: Callable[[Seen], str]
    behind: tuple[str, ...] = ()
    whole: tuple[str, ...] | None = None


class Seen(msgspec.Struct):
    """One scenario's run. took_s: until the whole answer was there. primary, fallback: their requests, in order.
    scale: how much shorter than published every time is. again: a healthy call afterwards was answered."""

    transcript: Transcript
    took_s: float
    canonical: str
    stream: bool
    scale: float
    primary: list[Entry] = []
    fallback: list[Entry] = []
    rows: list[AttemptRow] = []
    again: bool = True

    @property
    def answered(self) -> bool:
        return self.transcript.end == "whole" and self.transcript.text == self.canonical

    def rank(self, good: bool, *, within_s: float = 100.0) -> str:
        """pass when all holds; partial: answered, but not as it should be; safe: an honest error; else fail."""
        if self.answered:
            return "pass" if good and self.took_s <= within_s * self.scale + (1 - self.scale) * 3 else "partial"
        honest = self.transcript.end in ("status", "cut") and self.canonical.startswith(self.transcript.text)
        return "safe" if honest else "fail"


def _s01(seen: Seen) -> str:
    asked = [entry.at_s for entry in seen.primary]
    waited = len(asked) < 2 or asked[1] - asked[0] >= 1.8
    return seen.rank(waited and len(asked) <= 2)


def _s02(seen: Seen) -> str:
    asked = [entry.at_s for entry in seen.primary]
    early = sum(at - asked[0] <= 3.0 for at in asked) if asked else 0
    return seen.rank(early <= 4 and len(asked) <= 6 and bool(seen.fallback))


def _s03(seen: Seen) -> str:
    return seen.rank(len(seen.primary) == 2 and not seen.fallback)


def _s04(seen: Seen) -> str:
    return seen.rank(len(seen.primary) <= 3 and len(seen.fallback) == 1)


def _s06(seen: Seen) -> str:
    return seen.rank(len(seen.primary) == 1 and len(seen.fallback) == 1)


def _s07(seen: Seen) -> str:
    # Only a stream has a first token to wait for; a whole answer has the request limit.
    return seen.rank(True, within_s=15.0 if seen.stream else 45.0)


def _any(seen: Seen) -> str:
    return seen.rank(True)


def _s09(seen: Seen) -> str:
    if not seen.again:
        return "fail"
    # The published bar takes a clear error too; a whole answer is asked for here.
    return seen.rank(True, within_s=45.0)


def _s11(seen: Seen) -> str:
    return seen.rank(seen.transcript.tokens_out is not None, within_s=8.0)


def _s12(seen: Seen) -> str:
    return seen.rank(len(seen.primary) == 1 and len(seen.fallback) == 1)


def _s13(seen: Seen) -> str:
    told = "safety system" in seen.transcript.error and seen.transcript.status == 400
    if seen.transcript.end == "status" and told:
        return "pass" if len(seen.primary) == 1 and not seen.fallback else "partial"
    return "fail" if seen.transcript.end != "status" else "safe"


def _s14(seen: Seen) -> str:
    return "fail" if "prefill" in seen.transcript.error else seen.rank(True)


def _s16(seen: Seen) -> str:
    failed = [row for row in seen.rows if row.state == "failed"]
    free = all(row.cost_pico == 0 and row.usage_source == "none" for row in failed)
    model = seen.transcript.model == FALLBACK_MODEL
    return seen.rank(bool(failed) and free and model and seen.transcript.tokens_out == 60)


SCENARIOS = (
    Scenario("S01", "429 with Retry-After: 2, then healthy", ("429@2;once",), _s01),
    Scenario("S02", "429 for ever, no header", ("429",), _s02),
    Scenario("S03", "500 once, then healthy", ("500;once",), _s03),
    Scenario("S04", "503 for ever", ("503",), _s04),
    Scenario("S05", "TCP reset before headers, once", ("reset;once",), _any),
    Scenario("S06", "accepts, never answers", ("hang",), _s06),
    Scenario("S07", "headers at once, first token after 20 s", ("first_token@{20}",), _s07),
    Scenario("S08", "stream dies after 40 of 60 tokens", ("reset_mid@40",), _any),
    Scenario("S09", "stalls after 20 tokens, 30 s", ("stall@20/{30}",), _s09),
    Scenario("S10", "tenth event is invalid JSON", ("bad_json@10",), _any, whole=("cut_json",)),
    Scenario("S11", "complete stream without its end", ("no_done",), _s11),
    Scenario("S12", "400 context_length_exceeded", ("context",), _s12),
    Scenario("S13", "400 content_policy_violation", ("policy",), _s13),
    Scenario("S14", "stream dies, fallback rejects prefill", ("reset_mid@40",), _s14, behind=("prefill",)),
    Scenario("S15", "503 for 60 s, then healthy", ("503;for={60}",), _any),
    Scenario("S16", "503 for ever: whose answer, whose bill", ("503",), _s16),
)


class Outcome(msgspec.Struct):
    scenario: str
    api: str
    profile: str
    rank: str
    seconds: float
    note: str = ""


def _name(scenario: Scenario, api: str, profile: str) -> str:
    return f"{scenario.name}-{api}-{profile}"


def _config(box: Box, names: list[tuple[str, str]], scale: float) -> dict[str, Any]:
    """names: (scenario's workload, api). Limits as the published baseline, shortened with the rest."""
    limits = {"headers_s": 30 * scale, "first_token_s": 10 * scale, "idle_s": 20 * scale, "connect_s": 3}
    # Waiting for what is on its way takes as long on a slow machine, however short the rest is.
    limits = {name: max(value, 1.5) for name, value in limits.items()} | {"total_s": 300}

    def deployment(provider: str, model: str, api: str) -> dict[str, Any]:
        prices = box.sim.prices[provider][model]
        return {
            "environment": f"{provider}-env",
            "protocol": PROTOCOLS[api],
            "base_url": box.sim.base_url(provider, PROTOCOLS[api]),
            "allow_private": True,
            "model": model,
            "price": {name: float(getattr(prices, name)) for name in prices.__struct_fields__},
            "capabilities": {"apis": [api]},
            "context_tokens": 32_768 if model == "sim-small" else 200_000,
            "timeouts": dict(limits),
        }

    deployments: dict[str, Any] = {}
    workloads: dict[str, Any] = {}
    for name, api in names:
        deployments[f"{name}-p"] = deployment(PRIMARY, "sim-small", api)
        deployments[f"{name}-f"] = deployment(FALLBACK, FALLBACK_MODEL, api)
        workloads[name] = {"placements": [f"{name}-p", f"{name}-f"], "stream_rescue": True}
    environments = {
        f"{PRIMARY}-env": {"kind": "cloud", "region": "us", "operator": "sim"},
        f"{FALLBACK}-env": {"kind": "on-prem", "region": "eu/de"},
    }
    return {"environments": environments, "deployments": deployments, "workloads": workloads}


class Published:
    """One run of scenarios on one installation."""

    def __init__(self, box: Box, scale: float) -> None:
        self._box = box
        self._scale = scale
        self._canonical = ""

    async def run(self, scenarios: Iterable[Scenario], apis: Iterable[str], profiles: Iterable[str]) -> list[Outcome]:
        chosen = [(scenario, api, profile) for scenario in scenarios for api in apis for profile in profiles]
        refused = await self._box.configure(
            _config(self._box, [(_name(*each), each[1]) for each in chosen], self._scale)
        )
        assert not refused, refused
        for scenario, api, profile in chosen:
            tag = f"<{_name(scenario, api, profile)}>"
            faults = scenario.whole if profile == "whole" and scenario.whole else scenario.faults
            for fault in faults:
                self._box.sim.fault(self._scaled(fault), provider=PRIMARY, body_contains=tag)
            for fault in scenario.behind:
                self._box.sim.fault(fault, provider=FALLBACK, body_contains=tag)
        self._canonical = (await self._ask("S05", "chat", "whole", tag="nobody", model=_name(*chosen[0])))[0].text
        return list(await asyncio.gather(*(self._play(*each) for each in chosen)))

    def _scaled(self, fault: str) -> str:
        head, brace, rest = fault.partition("{")
        if not brace:
            return fault
        seconds, _, tail = rest.partition("}")
        return f"{head}{float(seconds) * self._scale:g}{tail}"

    async def _play(self, scenario: Scenario, api: str, profile: str) -> Outcome:
        play: Callable[[Scenario, str, str], Awaitable[Outcome]] = self._single
        if scenario.name == "S15":
            play = self._outage
        try:
            return await play(scenario, api, profile)
        except (TimeoutError, IndexError, ValueError) as error:
            return Outcome(scenario.name, api, profile, "fail", 0.0, repr(error))

    async def _single(self, scenario: Scenario, api: str, profile: str) -> Outcome:
        name = _name(scenario, api, profile)
        transcript, took_s, call_id = await self._ask(scenario.name, api, profile, tag=name, model=name)
        seen = Seen(transcript, took_s, self._canonical, profile == "stream", self._scale)
        if scenario.name == "S09":
            seen.again = (await self._ask(scenario.name, api, profile, tag="nobody", model=name))[0].end == "whole"
        seen.primary, seen.fallback = self._requests(PRIMARY, name), self._requests(FALLBACK, name)
        seen.rows = await asyncio.to_thread(self._rows, call_id)
        ends = [(row.deployment.rpartition("-")[2], row.state, row.error) for row in seen.rows]
        note = f"{transcript.end} {transcript.status} {transcript.error[:60]} {json.dumps(ends)}"
        return Outcome(scenario.name, api, profile, scenario.judge(seen), round(took_s, 2), note)

    async def _outage(self, scenario: Scenario, api: str, profile: str) -> Outcome:
        """S15: twenty calls, one every 4 s: all served, few probes meanwhile, back at the primary within 30 s."""
        name = _name(scenario, api, profile)
        began = time.monotonic()
        ends: list[str] = []
        placed: list[tuple[float, str]] = []
        for number in range(20):
            await asyncio.sleep(max(0.0, began + 4 * self._scale * number - time.monotonic()))
            transcript, _, call_id = await self._ask(scenario.name, api, profile, tag=name, model=name)
            ends.append(transcript.end if transcript.text == self._canonical else "wrong")
            rows = await asyncio.to_thread(self._rows, call_id)
            served = [row.deployment.rpartition("-")[2] for row in rows if row.state == "settled"]
            placed.append((time.monotonic() - began, served[-1] if served else ""))
        probes = len(self._requests(PRIMARY, name)) - sum(where == "p" for _, where in placed)
        back = next((at for at, where in placed if where == "p"), None)
        late = back is None or back > (60 + 30) * self._scale + 3
        if any(end != "whole" for end in ends):
            rank = "safe" if all(end in ("whole", "status", "cut") for end in ends) else "fail"
        else:
            rank = "partial" if late or probes > 10 else "pass"
        return Outcome(
            scenario.name, api, profile, rank, round(time.monotonic() - began, 1), f"{probes} probes, {back}"
        )

    async def _ask(
        self, scenario: str, api: str, profile: str, *, tag: str, model: str
    ) -> tuple[Transcript, float, str]:
        body: dict[str, Any] = {"model": model}
        if api == "responses":
            body |= {"input": TEXT, "max_output_tokens": 512, "store": False, "user": f"<{tag}>"}
        else:
            body |= {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 512}
            body |= {"metadata": {"user_id": f"<{tag}>"}} if api == "messages" else {"user": f"<{tag}>"}
        stream = profile == "stream"
        if stream:
            body |= {"stream": True, **({"stream_options": {"include_usage": True}} if api == "chat" else {})}
        began = time.monotonic()
        answer: Answer = await self._box.request(PATHS[api], body, within_s=ANSWER_S)
        took_s = time.monotonic() - began
        transcript = read(api, answer.status, answer.body, stream=stream)
        return transcript, took_s, answer.headers.get("x-request-id", "")

    def _requests(self, provider: str, name: str) -> list[Entry]:
        tag = f"<{name}>".encode()
        return [entry for entry in self._box.sim.log.entries if entry.provider == provider and tag in entry.body]

    def _rows(self, call_id: str) -> list[AttemptRow]:
        store = open_store(self._box.state)
        try:
            Shipping(store, self._box.state.journal).ship_once()
            return [row for row in store.attempts(AttemptFilter(include_open=True)) if row.call_id == call_id]
        finally:
            store.close()


async def play(
    folder: Path, scenarios: Iterable[Scenario], apis: Iterable[str], profiles: Iterable[str], scale: float
) -> list[Outcome]:
    async with running(folder / "state", None, SimulatorSettings(log_entries=8192)) as box:
        return await Published(box, scale).run(scenarios, apis, profiles)


def table(outcomes: list[Outcome]) -> str:
    """Markdown: a row a scenario, a column for each endpoint and profile, and the sums."""
    columns = list(dict.fromkeys((each.api, each.profile) for each in outcomes))
    ranks = {(each.scenario, each.api, each.profile): each.rank for each in outcomes}
    what = {each.name: each.what for each in SCENARIOS}
    lines = ["| | fault | " + " | ".join(f"{api}, {profile}" for api, profile in columns) + " |"]
    lines.append("| --- | --- |" + " --- |" * len(columns))
    for name in dict.fromkeys(each.scenario for each in outcomes):
        cells = " | ".join(ranks[name, api, profile] for api, profile in columns)
        lines.append(f"| {name} | {what[name]} | {cells} |")
    sums = []
    for api, profile in columns:
        found = [rank for (_, a, p), rank in ranks.items() if (a, p) == (api, profile)]
        sums.append(" / ".join(str(found.count(rank)) for rank in RANKS))
    lines.append("| | pass / partial / safe / fail | " + " | ".join(sums) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=Decimal, default=Decimal(1), help="shortens every waiting time, such as 0.1")
    parser.add_argument("--only", default="", help="names of scenarios, comma separated")
    parser.add_argument("--api", default=",".join(PATHS))
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    only = frozenset(words.only.split(",")) if words.only else frozenset(each.name for each in SCENARIOS)
    scenarios = [each for each in SCENARIOS if each.name in only]
    with tempfile.TemporaryDirectory() as root, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(play(Path(root), scenarios, words.api.split(","), PROFILES, float(words.scale)))
    if words.json:
        sys.stdout.write(msgspec.json.encode(outcomes).decode() + "\n")
    else:
        sys.stdout.write(table(outcomes) + "\n")
        for each in outcomes:
            if each.rank != "pass":
                sys.stdout.write(
                    f"{each.scenario} {each.api} {each.profile}: {each.rank} {each.seconds}s {each.note}\n"
                )
    return 1 if any(each.rank != "pass" for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
