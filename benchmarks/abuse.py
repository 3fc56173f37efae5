"""Everything that loses money at once: a worker killed, the database restarted, clients that leave; the books agree.

Run: python -m benchmarks.abuse [--calls 10000] [--workers 4] [--parallel 200] [--seed 1]; prints one JSON object and
exits with 1 when an attempt has no row or two, the ledger differs from the simulator's bill where the end is known, a
bound is below the truth or all bounds of one kind together are more than a tenth above it, or a budget stays leased.

A closed loop of the calls of benchmarks/crash.py, all under a hard budget in a PostgreSQL database. That is restarted
(at once, as after a crash) after a quarter and after five eighths of the calls; half-way one worker is killed with
SIGKILL. One client in ten leaves at a moment of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.crash import PACE, PATHS, prompt
from benchmarks.installation import Installation
from signalbox.bootstrap.storage import open_store
from signalbox.control.state import StateDir
from signalbox.core.secret import Secret
from signalbox.core.usage import PICO

OVER_MAX = Decimal("0.10")
LEAVE_SHARE = 0.10
ANSWER_S = 120.0
BUDGET_USD = 1000
WARM_CALLS = 120


class Database:
    """A PostgreSQL server of its own, which can be stopped as hard as a crash stops it."""

    def __init__(self, folder: Path) -> None:
        import pgserver

        folder.chmod(0o755)  # as root the server runs as another user
        self._server = pgserver.get_server(folder / "data")
        self.url: str = self._server.get_uri()

    def restart(self, down_s: float) -> None:
        import psutil

        server = psutil.Process(self._server.get_pid())
        server.send_signal(signal.SIGQUIT)  # PostgreSQL's immediate shutdown: no checkpoint, clients cut off
        server.wait(60)
        time.sleep(down_s)
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


class Load:
    """One run of callers over one installation. done: calls that came to an end of any kind."""

    def __init__(self, installation: Installation, key: str, calls: int, seed: int) -> None:
        self._installation, self._key, self._left, self._seed = installation, key, calls, seed
        self.calls, self.done = calls, 0
        self.ends: Counter[str] = Counter()
        self.answered: list[str] = []

    async def run(self, parallel: int) -> None:
        await asyncio.gather(*(self._caller() for _ in range(parallel)))

    async def _caller(self) -> None:
        while self._left > 0:
            number = self._left
            self._left -= 1
            chance = random.Random(f"{self._seed}/{number}")
            try:
                self.ends[await self._call(chance)] += 1
            except TimeoutError:
                self.ends["timeout"] += 1
            except (OSError, ValueError, asyncio.IncompleteReadError):
                self.ends["reset"] += 1
            self.done += 1

    async def _call(self, chance: random.Random) -> str:
        api = chance.choice(list(PATHS))
        target = api if chance.random() > 1 / 6 else chance.choice(list(PATHS))
        tokens = min(600, max(30, int(chance.lognormvariate(math.log(150), 0.7))))
        delay_ms = round(1000 / PACE[target] / chance.uniform(0.9, 1.1))
        first_ms = chance.randint(100, 600)
        script = f"[[tokens:{tokens}]][[delay_ms:{delay_ms}]][[ttft_ms:{first_ms}]]"
        text = f"{prompt(chance, int(math.exp(chance.uniform(math.log(200), math.log(6000)))))} {script}"
        doc: dict[str, Any] = {"model": target, "stream": chance.random() < 0.7}
        limit = chance.choice([n for n in (256, 512, 1024, 2048, 4096) if n >= tokens])
        doc |= {"input": text, "max_output_tokens": limit} if api == "responses" else {"max_tokens": limit}
        if api != "responses":
            doc["messages"] = [{"role": "user", "content": text}]
        leaves = chance.random() < LEAVE_SHARE
        leave_s = chance.uniform(0.0, (first_ms + tokens * delay_ms) / 1000) if leaves else None
        return await self._ask(PATHS[api], json.dumps(doc).encode(), leave_s)

    async def _ask(self, path: str, body: bytes, leave_s: float | None) -> str:
        head = f"POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {self._key}\r\nconnection: close\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self._installation.port)
        try:
            writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            if leave_s is not None:
                await asyncio.sleep(leave_s)
                return "left"
            received = await asyncio.wait_for(reader.read(-1), ANSWER_S)
        finally:
            writer.transport.abort()
        if not received:
            return "reset"
        head_bytes, _, rest = received.partition(b"\r\n\r\n")
        whole = rest.endswith(b"0\r\n\r\n") if b"chunked" in head_bytes.lower() else bool(rest)
        if head_bytes[9:12] == b"200" and whole and b'"error":{' not in rest:
            at = head_bytes.lower().find(b"\r\nx-request-id: ")
            self.answered.append(head_bytes[at + 16 :].split(b"\r\n", 1)[0].decode())
            return "200"
        return head_bytes[9:12].decode() if whole else "cut"


async def disturb(load: Load, installation: Installation, database: Database, down_s: float) -> list[str]:
    """The database twice and a worker once, each when so many calls are done."""
    told: list[str] = []
    for share, what in ((0.25, "database"), (0.5, "worker"), (0.625, "database")):
        while load.done < share * load.calls:
            await asyncio.sleep(0.05)
        if what == "worker":
            os.kill(installation.workers()[0], signal.SIGKILL)
        else:
            await asyncio.to_thread(database.restart, down_s)
        told.append(f"{what} at {load.done}")
    return told


async def under_load(load: Load, parallel: int, installation: Installation, database: Database) -> list[str]:
    disturbing = asyncio.create_task(disturb(load, installation, database, 2.0))
    await load.run(parallel)
    return await disturbing


def warm(installation: Installation, key: str, calls: int, seed: int) -> None:
    """The workers learn the models, as they would in their first minutes."""
    uvloop.run(Load(installation, key, calls, -seed).run(24))


class Books:
    """Ledger against bill."""

    def __init__(
        self, rows: list[dict[str, Any]], bill: dict[str, dict[str, Any]], answered: list[str], *, bounds: bool
    ) -> None:
        """bounds: whether those of what was cut are judged, or only told."""
        self.wrong: list[str] = []
        self._bounds_judged = bounds
        self.figures: dict[str, Any] = {"rows": len(rows), "billed": len(bill)}
        by_id = {row["attempt_id"]: row for row in rows}
        self._say(len(rows) - len(by_id), "attempts have more than one row")
        self._say(len(bill.keys() - by_id.keys()), "billed attempts have no row")
        self._say(len(set(answered) - {row["call_id"] for row in rows}), "answered calls have no row")
        states = Counter(row["state"] for row in rows)
        self.figures["states"] = dict(states)
        known = [row for row in rows if row["state"] == "settled"]
        inexact = [row for row in known if _pico(row) != bill.get(row["attempt_id"], {}).get("cost_pico")]
        self._say(len(inexact), f"settled rows differ from the bill, such as {inexact[:1]}")
        failed = [row for row in rows if row["state"] == "failed" and row["attempt_id"] in bill]
        dear = [row for row in failed if _pico(row) != bill[row["attempt_id"]]["cost_pico"]]
        self._say(len(dear), f"failed rows differ from the bill, such as {dear[:1]}")
        for name in ("unknown", "cancelled"):
            self._bounds(name, [row for row in rows if row["state"] == name], bill)

    def _bounds(self, name: str, cut: list[dict[str, Any]], bill: dict[str, dict[str, Any]]) -> None:
        truth = {row["attempt_id"]: bill.get(row["attempt_id"], {}).get("cost_pico", 0) for row in cut}
        below = [row for row in cut if _pico(row) < truth[row["attempt_id"]]]
        short = max((truth[row["attempt_id"]] / max(1, _pico(row)) - 1 for row in below), default=0)
        self._say(
            len(below) if self._bounds_judged else 0,
            f"bounds of {name} rows are below the truth, by up to {short:.2%}, such as {below[:1]}",
        )
        bounds, truths = sum(map(_pico, cut)), sum(truth.values())
        over = Decimal(bounds) / Decimal(truths) - 1 if truths else Decimal(0)
        if over > OVER_MAX and self._bounds_judged:
            self.wrong.append(f"the bounds of {name} rows are {over:.1%} above the truth in sum")
        self.figures[name] = {
            "rows": len(cut),
            "truth_usd": str(Decimal(truths) / PICO),
            "bound_usd": str(Decimal(bounds) / PICO),
            "over_percent": round(float(over) * 100, 2),
            "below_truth": len(below),
        }
        for kind, streamed in (("stream", True), ("unary", False)):
            part = [row for row in cut if row["stream"] is streamed]
            part_pico = sum(truth[row["attempt_id"]] for row in part)
            over = sum(map(_pico, part)) / part_pico - 1 if part_pico else 0.0
            billed = [(row, bill[row["attempt_id"]]) for row in part if row["attempt_id"] in bill]
            self.figures[name][kind] = {
                "rows": len(part),
                "over_percent": round(over * 100, 2),
                "in": [sum(row["tokens_in"] for row, _ in billed), sum(told["tokens_in"] for _, told in billed)],
                "out": [sum(row["tokens_out"] for row, _ in billed), sum(told["tokens_out"] for _, told in billed)],
            }

    def _say(self, count: int, what: str) -> None:
        if count:
            self.wrong.append(f"{count} {what}")


def _pico(row: dict[str, Any]) -> int:
    return int(Decimal(row["cost_usd"]) * PICO)


def run(folder: Path, words: argparse.Namespace) -> dict[str, Any]:
    database_folder = folder / "database"
    database_folder.mkdir()
    folder.chmod(0o755)
    database = Database(database_folder)
    installation = Installation(folder)
    try:
        installation.configure({api: f"{api}/sim-small" for api in PATHS}, store=database.url)
        installation.start(words.workers)
        (made,) = installation.cli("keys", "create", "--name", "abuse", "--budget-usd", str(BUDGET_USD))
        time.sleep(1.0)
        warm(installation, made["key"], words.warm * words.workers, words.seed)
        load = Load(installation, made["key"], words.calls, words.seed)
        began_s = time.monotonic()
        told = uvloop.run(under_load(load, words.parallel, installation, database))
        took_s = time.monotonic() - began_s
        installation.settle_down(30)
        time.sleep(2.0)
        code = installation.stop()
        rows = installation.cli("ledger", "query")
        books = Books(rows, installation.bill(), load.answered, bounds=not words.books_only)
        verified = installation.cli("ledger", "verify")[0]
        with closing(open_store(StateDir(installation.state), Secret(database.url))) as store:
            leased = len(store.leases())
            booked = sum(one.spent for one in store.balances(1) if made["id"] in one.account)
    finally:
        installation.close()
        database.close()
    ledger = sum(map(_pico, rows))
    wrong = [
        *books.wrong,
        *(["it did not stop cleanly"] if code else []),
        *(["the chains do not verify"] if not verified["ok"] else []),
        *(["chains have open attempts"] if any(chain["open"] for chain in verified["chains"]) else []),
        *([f"{leased} leases are left"] if leased else []),
        *([f"{booked} is booked and {ledger} was settled"] if booked != ledger else []),
        *([f"{load.ends['timeout']} calls were never answered"] if load.ends["timeout"] else []),
    ]
    figures = {"calls": load.calls, "ends": dict(load.ends), "disturbed": told, "took_s": round(took_s, 1)}
    return {**figures, **books.figures, "settled_usd": str(Decimal(ledger) / PICO), "seed": words.seed, "wrong": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--warm", type=int, default=WARM_CALLS, help="calls for each worker before it begins")
    parser.add_argument(
        "--books-only",
        action="store_true",
        help="do not judge the bounds: where other work holds up gateway and simulator, both close late",
    )
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="signalbox-abuse-") as folder:
        found = run(Path(folder), words)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
