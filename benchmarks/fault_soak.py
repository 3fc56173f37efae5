"""All faults at once, for minutes, on one real gateway: each call ends well, nothing stays behind, the books agree.

Run: python -m benchmarks.fault_soak [--minutes 3] [--seed 1]; prints one JSON object and exits with 1 on a finding.

Drawn by the seed: the row of the fault table, endpoint, streamed or not, alone, with a fallback or rescued, and clients
that leave. Every end is held against the table, every attempt against the provider's bill, and memory, descriptors and
connections at rest against what they were after the first moments.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.installation import Installation
from benchmarks.soak import fds, rss_mib
from signalbox.bootstrap.storage import open_store
from signalbox.control.fault_rows import ROWS, FaultRow
from signalbox.control.state import CHECKPOINTS, JOURNAL, StateDir
from signalbox.control.transcripts import PATHS, read, unchunked
from signalbox.core.attempts import AttemptFilter

FAULTY, HEALTHY = "openai", "vllm"
PROTOCOLS = {"chat": "openai", "responses": "openai", "messages": "anthropic"}
PLACES = ("alone", "backed", "rescued")
TIMEOUTS = {"connect_s": 2, "headers_s": 2, "first_token_s": 2, "idle_s": 2, "total_s": 20}
CALLERS = 24
TEXTS = 40
LEAVE_SHARE = 0.08
WARM_S = 25.0
# Caches and pools fill up meanwhile; what grows after that is a leak. The soak of a million counts from there as well.
WARM_SHARE = 0.10
ANSWER_S = 60.0
GROWTH_MAX = 0.05
# Below this, five per cent is less than what a pool moves by.
GRACE_FDS = 12
# In a run that is shorter, what is bounded was not yet full when it was looked at first: a few MiB more are no leak.
LONG_MINUTES, GRACE_MIB = 20.0, 6.0
BELOW_MAX = 0.10


def config(simulator_url: str, prices: dict[str, Any]) -> dict[str, Any]:
    """Deployments for each row and API, and workloads `<row>-<api>-<place>` over them."""

    def deployment(provider: str, api: str, model: str, url: str) -> dict[str, Any]:
        price = prices[provider]["sim-small"]
        return {
            "environment": f"{provider}-env",
            "protocol": PROTOCOLS[api],
            "base_url": url if PROTOCOLS[api] == "anthropic" else f"{url}/v1",
            "allow_private": True,
            "model": model,
            "price": {unit: float(price[unit]) for unit in price},
            "capabilities": {"apis": [api]},
            "timeouts": dict(TIMEOUTS),
        }

    deployments: dict[str, Any] = {}
    workloads: dict[str, Any] = {}
    for api in PATHS:
        deployments[f"healthy-{api}"] = deployment(HEALTHY, api, "sim-small", f"{simulator_url}/{HEALTHY}")
        workloads[f"well-{api}"] = {"placements": [f"healthy-{api}"]}
        for row in ROWS:
            url = f"{simulator_url}/{FAULTY}" if row.spec else "http://127.0.0.1:1"
            model = f"sim-small!{row.spec}" if row.spec else "sim-small"
            name = f"d-{row.name}-{api}"
            deployments[name] = deployment(FAULTY, api, model, url)
            workloads[f"{row.name}-{api}-alone"] = {"placements": [name]}
            backed = {"placements": [name, f"healthy-{api}"]}
            workloads[f"{row.name}-{api}-backed"] = backed
            workloads[f"{row.name}-{api}-rescued"] = {"placements": list(backed["placements"]), "stream_rescue": True}
    environments = {
        f"{FAULTY}-env": {"kind": "cloud", "region": "us", "operator": "sim"},
        f"{HEALTHY}-env": {"kind": "on-prem", "region": "eu/de"},
    }
    return {"environments": environments, "deployments": deployments, "workloads": workloads}


def body_of(api: str, workload: str, text: str, *, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": workload}
    if api == "responses":
        body |= {"input": text, "max_output_tokens": 256, "store": False}
    else:
        body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 256}
    return body | ({"stream": True} if stream else {})


class FaultSoak:
    """One run over one installation."""

    def __init__(self, installation: Installation, words: argparse.Namespace) -> None:
        self._installation = installation
        self._words = words
        self._chance = random.Random(words.seed)
        self._canonical: dict[str, str] = {}
        assert installation.gateway is not None
        self._pid = installation.gateway.pid
        self.ends: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.figures: dict[str, Any] = {}

    async def load(self) -> None:
        for number in range(TEXTS):
            text = f"number {number} [[tokens:{30 + number % 10}]][[delay_ms:{self._chance.choice((2, 4, 8))}]]"
            status, data = await self._ask("chat", body_of("chat", "well-chat", text, stream=False))
            self._canonical[text] = read("chat", status, data, stream=False).text
        seconds = self._words.minutes * 60
        warm_s = max(WARM_S, WARM_SHARE * seconds)
        await self._for(warm_s)
        await asyncio.to_thread(self.rest, "warm")
        await self._for(max(0.0, seconds - warm_s))
        await asyncio.to_thread(self.rest, "end")

    async def _for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._caller(until) for _ in range(CALLERS)))

    async def _caller(self, until: float) -> None:
        chance = self._chance
        while time.monotonic() < until:
            row, api, place = chance.choice(ROWS), chance.choice(list(PATHS)), chance.choice(PLACES)
            stream, text = chance.random() < 0.6, chance.choice(list(self._canonical))
            body = body_of(api, f"{row.name}-{api}-{place}", text, stream=stream)
            if chance.random() < LEAVE_SHARE:
                self.ends["left"] += 1
                await self._ask(api, body, leave_s=chance.random() * 0.3)
                continue
            try:
                status, data = await self._ask(api, body)
            except (TimeoutError, OSError, ValueError) as error:
                self.wrong[f"{row.name} {api} {place}: {error!r}"] += 1
                continue
            self._judge(row, api, place, stream, self._canonical[text], status, data)

    def _judge(
        self, row: FaultRow, api: str, place: str, stream: bool, canonical: str, status: int, data: bytes
    ) -> None:
        seen = read(api, status, data, stream=stream)
        self.ends[seen.end] += 1
        backed = place != "alone"
        allowed = set(row.ends(stream=stream, backed=backed, rescue=place == "rescued"))
        # Its breaker may be open by now: then nobody answers, or the fallback does from the start.
        allowed.add("whole" if backed else "status")
        if seen.end not in allowed:
            self.wrong[f"{row.name} {api} {'stream' if stream else 'whole'} {place}: {seen.end} {seen.error[:60]}"] += 1
        elif not canonical.startswith(seen.text) or (seen.end == "whole" and seen.text != canonical):
            self.wrong[f"{row.name} {api} {place}: not the answer"] += 1

    async def _ask(self, api: str, body: dict[str, Any], leave_s: float | None = None) -> tuple[int, bytes]:
        data = json.dumps(body).encode()
        head = (
            f"POST {PATHS[api]} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self._installation.key}\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self._installation.port)
        try:
            writer.write(head.encode() + data)
            if leave_s is not None:
                await asyncio.sleep(leave_s)
                return 0, b""
            received = await asyncio.wait_for(reader.read(-1), ANSWER_S)
        finally:
            writer.transport.abort()
        top, _, rest = received.partition(b"\r\n\r\n")
        return int(top[9:12]), (unchunked(rest) or b"") if b"chunked" in top.lower() else rest

    def rest(self, when: str) -> None:
        """What is left when nobody asks: nothing under way, and as much memory and as many descriptors as before."""
        self._installation.settle_down(20.0)
        deadline_s = time.monotonic() + 15
        while True:
            metrics = self._installation.metrics()
            busy = {name: metrics.get(f"signalbox_{name}", 0.0) for name in ("in_flight", "client_connections")}
            if not any(busy.values()):
                break
            if time.monotonic() > deadline_s:
                self.wrong[f"left behind ({when}): {busy}"] += 1
                break
            time.sleep(0.1)
        time.sleep(2.0)
        now = {"rss_mib": round(rss_mib(self._pid), 1), "fds": fds(self._pid)}
        self.figures[when] = now
        before = self.figures["warm"]
        grace_mib = 0.0 if self._words.minutes >= LONG_MINUTES else GRACE_MIB
        if now["rss_mib"] > before["rss_mib"] * (1 + GROWTH_MAX) + grace_mib:
            self.wrong[f"memory at rest grew from {before['rss_mib']} to {now['rss_mib']} MiB"] += 1
        if now["fds"] > before["fds"] * (1 + GROWTH_MAX) + GRACE_FDS:
            self.wrong[f"descriptors at rest grew from {before['fds']} to {now['fds']}"] += 1

    def verify(self) -> None:
        """What is found is kept whole, with the ledger that it was found in: such a thing may not happen again."""
        said = self._installation.run("ledger", "verify")
        if said.returncode == 0:
            return
        kept = Path(tempfile.mkdtemp(prefix="fault-soak-"))
        (kept / "verify.json").write_bytes(said.stdout)
        (kept / "verify.err").write_bytes(said.stderr)
        for name in (JOURNAL, CHECKPOINTS):
            shutil.copytree(self._installation.state / name, kept / name)
        self.wrong[f"ledger verify ended with {said.returncode}: {kept}"] += 1
        self.figures["verify"] = said.stdout.decode(errors="replace")[:4000]

    def books(self, bill: dict[str, dict[str, Any]]) -> None:
        """Every attempt once and ended: at the bill where its end is known, not below it where it is not."""
        skipped = {f"d-{row.name}-{api}" for row in ROWS if not row.books for api in PATHS}
        states: Counter[str] = Counter()
        unbilled = set(bill)
        estimated = below = attempts = 0
        store = open_store(StateDir(self._installation.state))
        try:
            for row in store.attempts(AttemptFilter(include_open=True)):
                attempts += 1
                states[row.state] += 1
                unbilled.discard(row.attempt_id)
                truth = bill[row.attempt_id]["cost_pico"] if row.attempt_id in bill else 0
                if row.state == "open" or row.cost_pico is None:
                    self.wrong[f"{row.deployment}: {row.state} at the end, priced {row.cost_pico}"] += 1
                elif row.deployment in skipped:
                    continue
                elif row.usage_source != "estimated":
                    if row.cost_pico != truth:
                        self.wrong[f"{row.deployment}: {row.state} at {row.cost_pico}, billed {truth}"] += 1
                else:
                    estimated += 1
                    below += row.cost_pico < truth
        finally:
            store.close()
        if below > BELOW_MAX * estimated:
            self.wrong[f"{below} of {estimated} bounds are below the bill"] += 1
        if unbilled:
            self.wrong[f"{len(unbilled)} billed attempts are not in the ledger"] += 1
        self.figures |= {
            "attempts": attempts,
            "billed": len(bill),
            "states": dict(states),
            "estimated": estimated,
            "estimated_below_bill": below,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        installation = Installation(Path(root), {"log_entries": 64, "bill_rows": 2_000_000})
        try:
            prices = installation.ask_simulator("/sim/prices")["prices"]
            (installation.root / "signalbox.yaml").write_text(json.dumps(config(installation.simulator_url, prices)))
            installation.start()
            soak = FaultSoak(installation, words)
            uvloop.run(soak.load())
            if installation.stop() != 0:
                soak.wrong["the exit code is not 0"] += 1
            rows = installation.ask_simulator("/sim/bill?limit=2000000")["rows"]
            soak.books({row["client_request_id"]: row for row in rows if row["cost_pico"]})
            soak.verify()
            if log := installation.errors_in_log():
                soak.wrong[f"{len(log)} errors in the log: {log[0]}"] += 1
        finally:
            installation.close()
    figures = soak.figures | {
        "seconds": round(time.monotonic() - began, 1),
        "calls": sum(soak.ends.values()),
        "ends": dict(soak.ends),
        "seed": words.seed,
        "wrong": [f"{count} x {what}" for what, count in soak.wrong.most_common(20)],
    }
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
