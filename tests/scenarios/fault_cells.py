"""Cells of the fault matrix (row × endpoint × streaming × primary or fallback), run on one installation and checked."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from harness import Box, running
from leftovers import Leftovers
from signalbox.bootstrap.clock import now_ms
from signalbox.bootstrap.storage import open_store
from signalbox.control.fault_rows import ROWS, FaultRow
from signalbox.control.transcripts import PATHS, Transcript, read
from signalbox.core.attempts import AttemptFilter, AttemptRow
from signalbox.ledger.ship import Shipping
from signalbox.simulator.settings import SimulatorSettings

PROTOCOLS = {"chat": "openai", "responses": "openai", "messages": "anthropic"}
FAULTY, HEALTHY = "openai", "vllm"
# At a pace, because what a provider generates in no time at all cannot be bounded by what was seen of it.
TEXT = "Say it. [[tokens:60]][[delay_ms:4]]"
# Generous beside what they wait for, so that a loaded machine does not make a fault of its own.
TIMEOUTS = {"connect_s": 4, "headers_s": 4, "first_token_s": 4, "idle_s": 4, "total_s": 30}
ANSWER_S = 60.0
# Room for everything, so that every attempt reserves, settles and returns what it did not use.
BUDGET = {"for": "tenant", "name": "default", "usd_total": 1000, "concurrency": 10_000}
ACCOUNT = "tenant/default/usd/total"
AT_ONCE = 48
# `unknown` and cut attempts are booked at an upper bound; anything else must be the bill to the pico-dollar.
EXACT = frozenset({"provider", "none"})


class Cell(msgspec.Struct, frozen=True):
    """One combination. backed: a healthy deployment stands behind the faulty one. rescue: with stream rescue."""

    row: FaultRow
    api: str
    stream: bool
    backed: bool
    rescue: bool = False

    @property
    def name(self) -> str:
        how = "stream" if self.stream else "unary"
        place = "rescued" if self.rescue else "backed" if self.backed else "alone"
        return f"{self.row.name}-{self.api}-{how}-{place}"


class Ended(msgspec.Struct):
    """What became of one cell. problems: what of F1, F3 and F6 does not hold."""

    cell: Cell
    transcript: Transcript
    call_id: str = ""
    placement: str = ""
    attempts: list[AttemptRow] = []
    problems: list[str] = []


def every_cell(rows: Iterable[FaultRow] = ROWS) -> list[Cell]:
    """The whole matrix. A call that does not stream has nothing to rescue."""
    streams = ((True, False, False), (True, True, False), (True, True, True))
    places = (*streams, (False, False, False), (False, True, False))
    return [Cell(row, api, *place) for row, api, place in product(rows, PATHS, places)]


def chosen_cells() -> list[Cell]:
    """Every row at least twice by a seed, or the whole matrix with SIGNALBOX_SCENARIOS=all."""
    cells = every_cell()
    if os.environ.get("SIGNALBOX_SCENARIOS") == "all":
        return cells
    rng = Random(int(os.environ.get("SIGNALBOX_SCENARIOS") or 4))
    return [cell for row in ROWS for cell in rng.sample([each for each in cells if each.row is row], 3)]


def settings() -> SimulatorSettings:
    return SimulatorSettings(log_entries=4096)


def config(box_url: str, prices: dict[str, Any], cells: Iterable[Cell], closed_port: int) -> dict[str, Any]:
    """Each cell has a faulty deployment of its own, so that no breaker carries one cell's fault into another."""

    def deployment(provider: str, api: str, *, closed: bool = False) -> dict[str, Any]:
        url = f"http://127.0.0.1:{closed_port}" if closed else f"{box_url}/{provider}"
        cost = prices[provider]["sim-small"]
        return {
            "environment": f"{provider}-env",
            "protocol": PROTOCOLS[api],
            "base_url": url if PROTOCOLS[api] == "anthropic" else f"{url}/v1",
            "allow_private": True,
            "model": "sim-small",
            "price": {name: float(getattr(cost, name)) for name in cost.__struct_fields__},
            "capabilities": {"apis": [api]},
            "timeouts": dict(TIMEOUTS),
        }

    deployments = {f"healthy-{api}": deployment(HEALTHY, api) for api in PATHS}
    workloads: dict[str, Any] = {}
    for cell in cells:
        deployments[f"d-{cell.name}"] = deployment(FAULTY, cell.api, closed=not cell.row.spec)
        placements = [f"d-{cell.name}", f"healthy-{cell.api}"] if cell.backed else [f"d-{cell.name}"]
        workloads[cell.name] = {"placements": placements, "stream_rescue": cell.rescue}
    return {"deployments": deployments, "workloads": workloads, "budgets": [dict(BUDGET)]}


def body_of(cell: Cell) -> dict[str, Any]:
    """The question, with the cell's name where it changes nothing but which fault strikes."""
    body: dict[str, Any] = {"model": cell.name}
    if cell.api == "responses":
        body |= {"input": TEXT, "max_output_tokens": 512, "store": False}
    else:
        body |= {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 512}
    if cell.stream:
        body["stream"] = True
        if cell.api == "chat":
            body["stream_options"] = {"include_usage": True}
    body |= {"metadata": {"user_id": f"<{cell.name}>"}} if cell.api == "messages" else {"user": f"<{cell.name}>"}
    return body


async def run(folder: Path, cells: list[Cell]) -> tuple[list[Ended], list[str]]:
    """Every cell once. Returns how each ended, and what is wrong with the installation afterwards (F2 to F5, F7)."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there, and never listening
        async with running(folder / "state", None, settings()) as box:
            more = config(box.sim.url, box.sim.prices, cells, closed.getsockname()[1])
            canonical = await _canonical(box)
            refused = await box.configure({"environments": _environments(), **more})
            assert not refused, refused
            for cell in cells:
                if cell.row.spec:
                    box.sim.fault(cell.row.spec, provider=FAULTY, body_contains=f"<{cell.name}>")
            before = len(asyncio.all_tasks())
            gate = asyncio.Semaphore(AT_ONCE)
            with Leftovers() as leftovers:
                ended = await asyncio.gather(*(_one(box, cell, gate) for cell in cells))
                whole = await _after(box, before)
            if leftovers.found:
                whole.append(f"for the garbage collector: {dict(leftovers.found)}")
            await asyncio.to_thread(_books, box, ended)
            whole += await _budgets(box, ended)
            for each in ended:
                _judge(each, canonical)
            return ended, whole


def _environments() -> dict[str, Any]:
    return {
        f"{FAULTY}-env": {"kind": "cloud", "region": "us", "operator": "sim"},
        f"{HEALTHY}-env": {"kind": "on-prem", "region": "eu/de"},
    }


async def _canonical(box: Box) -> str:
    """What every provider says to TEXT when nothing is wrong."""
    body = {"model": "w-chat", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 512}
    answer = await box.request(PATHS["chat"], body)
    return read("chat", answer.status, answer.body, stream=False).text


async def _one(box: Box, cell: Cell, gate: asyncio.Semaphore) -> Ended:
    async with gate:
        try:
            answer = await asyncio.wait_for(box.request(PATHS[cell.api], body_of(cell)), ANSWER_S)
        except (TimeoutError, IndexError, ValueError) as error:
            return Ended(cell, Transcript("silent", 0, error=repr(error)))
        transcript = read(cell.api, answer.status, answer.body, stream=cell.stream)
        call_id = answer.headers.get("x-request-id", "")
        return Ended(cell, transcript, call_id, answer.headers.get("x-signalbox-placement", ""))


async def _after(box: Box, tasks: int) -> list[str]:
    """Nothing is left of the calls: no slot, no task, no busy connection, on either side."""
    gateway = box.worker.gateway
    assert gateway is not None
    left: list[str] = []
    for _ in range(200):
        left = []
        if gateway.stages.limits.in_flight:
            left.append(f"{gateway.stages.limits.in_flight} calls in flight")
        if gateway.streams:
            left.append(f"{len(gateway.streams)} streams")
        if len(asyncio.all_tasks()) > tasks + 4:
            left.append(f"{len(asyncio.all_tasks())} tasks where {tasks} were")
        transport = gateway.stages.transport
        busy = sum(transport.load(d.name, o) for d in gateway.stages.snapshot.deployments for o in d.replicas)
        if busy:
            left.append(f"{busy} exchanges with providers")
        if not left:
            break
        await asyncio.sleep(0.05)
    if not box.chain_is_whole():
        left.append("the chain does not verify")
    return left


async def _budgets(box: Box, ended: list[Ended]) -> list[str]:
    """F2 and F4: nothing is reserved any more, nothing is leased once the process has given back, and what the budget
    was charged is what stands in the ledger."""
    purse = box.plane.purse
    left = [f"F4: {one.reserved} reserved of {one.name}" for one in purse.accounts() if one.reserved]
    await purse.close()
    store = open_store(box.state)
    try:
        left += [f"F4: a lease on {lease.account} that did not end" for lease in store.leases()]
        charged = [one.spent for one in store.balances(now_ms()) if one.account == ACCOUNT]
    finally:
        store.close()
    booked = sum(row.cost_pico or 0 for each in ended for row in each.attempts)
    if charged != [booked]:
        left.append(f"F2: {charged} charged to the budget, {booked} in the ledger")
    return left


def _books(box: Box, ended: list[Ended]) -> None:
    """F1 and F3: each attempt stands once in the ledger, ended, at what the provider billed."""
    store = open_store(box.state)
    try:
        Shipping(store, box.state.journal).ship_once()
        rows: dict[str, list[AttemptRow]] = {}
        for row in store.attempts(AttemptFilter(include_open=True)):
            rows.setdefault(row.call_id, []).append(row)
    finally:
        store.close()
    billed = {row.client_request_id: row for row in box.bill()}
    for each in ended:
        each.attempts = rows.get(each.call_id, [])
        unrecorded = {name for name in billed if name.rpartition("-")[0] == each.call_id} - {
            row.attempt_id for row in each.attempts
        }
        problems = [f"billed but not in the ledger: {name}" for name in unrecorded]
        if not each.attempts and each.transcript.status == 200:
            problems.append("F3: answered without an attempt in the ledger")
        for row in each.attempts:
            bill = billed[row.attempt_id].cost_pico if row.attempt_id in billed else 0
            if row.state == "open":
                problems.append(f"F3: {row.attempt_id} has no end")
            elif row.cost_pico is None:
                problems.append(f"F1: {row.attempt_id} has no price")
            elif not each.cell.row.books and row.deployment.startswith("d-"):
                continue
            elif row.usage_source in EXACT and row.state != "unknown" and row.cost_pico != bill:
                problems.append(f"F1: {row.attempt_id} {row.state} at {row.cost_pico}, billed {bill}")
            elif row.state in ("unknown", "cancelled") and row.cost_pico < bill:
                problems.append(f"F1: {row.attempt_id} {row.state} at {row.cost_pico} is below the bill, {bill}")
        each.problems = problems


def _judge(each: Ended, canonical: str) -> None:
    """F6: the end is one the row allows, and what was shown is the canonical answer or the beginning of it."""
    cell, seen = each.cell, each.transcript
    allowed = cell.row.ends(stream=cell.stream, backed=cell.backed, rescue=cell.rescue)
    if seen.end not in allowed:
        each.problems.append(
            f"F6: ended {seen.end} ({seen.status} {seen.error[:80]}), not {' or '.join(sorted(allowed))}"
        )
    if seen.end == "whole" and seen.text != canonical:
        each.problems.append(f"F6: complete, but not the answer: {seen.text[:60]!r}")
    if not canonical.startswith(seen.text):
        each.problems.append(f"F6: not a beginning of the answer: {seen.text[-60:]!r}")


def told(ended: list[Ended]) -> str:
    """What is wrong, as text."""
    return "\n".join(
        f"{each.cell.name}: {'; '.join(each.problems)} | "
        + json.dumps([(row.deployment, row.state, row.error) for row in each.attempts])
        for each in ended
        if each.problems
    )
