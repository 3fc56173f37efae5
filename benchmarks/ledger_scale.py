"""How large ledger rows are and how long questions take: `python -m benchmarks.ledger_scale [--rows 10000000]`.

Fills SQLite and PostgreSQL with thirty days of attempts and prints one JSON object a store: bytes a row, rows shipped a
second, the slowest of three runs of each spend query, page and reading of the console, and what it costs to drop a day.
The first hour is shipped as the shipper ships; the other hours and days are copies of it, made in the database.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.abuse import Database
from signalbox.bootstrap.compiling import compile_declared
from signalbox.config.load import load_text
from signalbox.control.breakers import Breakers
from signalbox.control.explain import Explainer
from signalbox.control.in_force import InForce
from signalbox.control.readings import compliance, deployments, overview, recent, requests, spend, workloads
from signalbox.control.readings.facts import Facts
from signalbox.control.readings.scope import Scope
from signalbox.core.attempts import DIMENSIONS, AttemptFilter, Mark
from signalbox.core.days import DAY_MS, HOUR_MS
from signalbox.core.ports import Retention, ShipMark, Store
from signalbox.core.records import Opened, Record, Refused, Settled
from signalbox.core.usage import Usage
from signalbox.store import open_store
from signalbox.store.cubes import CUBES, DAYS, HOURS, IN_SESSION_DAYS, SESSION_HOURS, WHOM_DAYS
from signalbox.store.names import KINDS, SESSION
from signalbox.store.postgres import PostgresStore
from signalbox.store.rollups import SUMS
from signalbox.store.rows import ATTEMPT_COLUMNS, REFUSED_COLUMNS
from signalbox.store.sql import SqlStore
from signalbox.store.summing import settle
from signalbox.telemetry.metrics import Metrics

BATCH = 1000
DAY_COUNT = 30
FIRST_DAY = 20_700
ENVIRONMENTS = ("openai-us", "azure-fra", "dc-fra", "branch")
LABELS = (("internal",), ("confidential", "personal"), ("restricted", "phi"), ("public",))
RUNS = 3
USERS, CALLS_A_SESSION, TAGS = 2000, 20, 12
# After so many attempts keys, workloads and deployments come together in the same way.
COMBINATIONS = 600


def attempt(number: int, an_hour: int) -> list[Record]:
    """Of the first hour; the number decides everything."""
    time_ms = FIRST_DAY * DAY_MS + number * HOUR_MS // an_hour
    identity = f"req_6912ab34c0ffee11{number:08x}-1"
    labels = LABELS[number % 4]
    opened = Opened(
        attempt_id=identity, call_id=identity[:-2], time_ms=time_ms, tenant="default", team=f"team-{number % 12}",
        key_id=f"k{number % 200:011d}", workload=f"workload-{number % 40}", deployment=f"model-{number % 8}",
        environment=ENVIRONMENTS[number % 4], model="gpt-5-mini-2025-08-07", api="chat", labels=labels,
        reason="fixed", config="c0ffee12", user=f"user-{number % USERS:05d}",
        session=f"session-{number // (COMBINATIONS * CALLS_A_SESSION):04x}-{number % COMBINATIONS:04x}",
        tags=(f"project-{number % TAGS}",),
    )  # fmt: skip
    usage = Usage(tokens_in=800 + number % 500, cache_read=1024, tokens_out=100 + number % 90, reasoning=64)
    state = "failed" if number % 50 == 0 else "settled"
    told: list[Record] = [
        opened,
        Settled(identity, time_ms + 900, state, usage, "provider", 123_456_789 + number, 200, "", 210, 900),
    ]
    if number % 100 == 0:
        told.append(
            Refused(
                f"req_no{number:08x}", time_ms, "default", "team-1", "k1", "workload-1", labels,
                "no_permitted_placement", "c0ffee12",
            )
        )  # fmt: skip
    return told


def fill(store: SqlStore, rows: int) -> float:
    """Rows shipped a second."""
    an_hour = rows // DAY_COUNT // 24
    mark: ShipMark | None = None
    spent_s = 0.0
    for start in range(0, an_hour, BATCH):
        records = [one for number in range(start, min(start + BATCH, an_hour)) for one in attempt(number, an_hour)]
        after = ShipMark("bench", 1, start + 1, start + 1, "0" * 64)
        began = time.perf_counter()
        store.ship(mark, after, records)
        spent_s += time.perf_counter() - began
        mark = after
    with store._transaction() as connection:
        # Times of long ago: all of it is where it stays before it is multiplied.
        while settle(connection, FIRST_DAY * DAY_MS + DAY_MS):
            pass
    for hour in range(1, 24):
        hourly = ("attempt_days", "refused", HOURS.table, SESSION_HOURS.table)
        copy(store, hourly, f"h{hour:02d}", hour * HOUR_MS)
    with store._transaction() as connection:
        for cube in (DAYS, WHOM_DAYS, IN_SESSION_DAYS):
            connection.execute(f"UPDATE {cube.table} SET {', '.join(f'{name} = {name} * 24' for name in SUMS)}")
    for day in range(1, DAY_COUNT):
        copy(store, tuple(COLUMNS), f"d{day:02d}", day * DAY_MS)
    return an_hour / spent_s


COLUMNS: dict[str, tuple[str, ...]] = {
    "attempt_days": (*ATTEMPT_COLUMNS, "summed"),
    "refused": REFUSED_COLUMNS,
    **{cube.table: ("time_ms", *(kind.column for kind in cube.kinds), *SUMS) for cube in CUBES},
}


def copy(store: SqlStore, tables: tuple[str, ...], mark: str, later_ms: int) -> None:
    """What there is of the first hour, or of the first day, once more at another time, as other calls and sessions."""
    span_ms = DAY_MS if later_ms % DAY_MS == 0 else HOUR_MS
    begin_ms = FIRST_DAY * DAY_MS
    with store._transaction() as connection:
        if isinstance(store, PostgresStore):
            connection.execute("SET LOCAL statement_timeout = 0")
        store._room(connection, {(begin_ms + later_ms) // DAY_MS})
        others = "NOT LIKE '%-h__'" if span_ms == HOUR_MS else "NOT LIKE '%-d__'"
        connection.execute(
            f"INSERT INTO {SESSION.table} (session, last_ms)"
            f" SELECT session || '-{mark}', last_ms + {later_ms // DAY_MS * DAY_MS} FROM {SESSION.table}"
            f" WHERE session {others}"
        )
        for table in tables:
            changed = {"session": f"session || '-{mark}'", "time_ms": f"time_ms + {later_ms}"}
            which = f"time_ms < {begin_ms + span_ms}"
            if table == SESSION_HOURS.table:
                which += f" AND session IN (SELECT id FROM {SESSION.table} WHERE session {others})"
                changed["session"] = (
                    f"(SELECT other.id FROM {SESSION.table} AS one JOIN {SESSION.table} AS other"
                    f" ON other.session = one.session || '-{mark}' WHERE one.id = {table}.session)"
                )
            if table == "attempt_days":
                changed["attempt_id"] = f"substr(attempt_id, 1, 20) || '{mark}' || substr(attempt_id, 21)"
            names = COLUMNS[table]
            columns, values = ", ".join(names), ", ".join(changed.get(name, name) for name in names)
            if table == "refused":
                columns, values = f"chain, position, place, {columns}", f"'{mark}' || chain, position, place, {values}"
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE {which}")


def questions(store: Store, now_ms: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is asked, with its name."""
    month = AttemptFilter()
    week = AttemptFilter(since_ms=now_ms - 7 * DAY_MS, until_ms=now_ms)
    day = AttemptFilter(since_ms=now_ms - DAY_MS, until_ms=now_ms)
    for span, where in (("all", month), ("7 days to the minute", week), ("24 hours to the minute", day)):
        for dimension in DIMENSIONS:
            yield f"spend by {dimension}, {span}", lambda w=where, d=dimension: store.sum_top(w, d, 500)
    yield "every group of spend by user, all", lambda: store.sum_attempts(month, "user")
    labelled = AttemptFilter(label="phi", workload="workload-2")
    yield "spend by user, restricted of one workload", lambda: store.sum_attempts(labelled, "user")
    yield "spend by day and team", lambda: store.sum_grid(month, ("day", "team"))
    yield "page of attempts, first", lambda: store.attempts_page(month, None, 50)
    deep = Mark((FIRST_DAY + 3) * DAY_MS, "")
    yield "page of attempts, deep", lambda: store.attempts_page(month, deep, 50)
    yield "page of attempts, nothing matches", lambda: store.attempts_page(AttemptFilter(team="nobody"), None, 50)
    yield "page of refusals, deep", lambda: store.refused_page(month, deep, 50)
    yield "attempts of one call", lambda: store.attempts_of("req_6912ab34c0ffee11d2900000040")
    in_force = _in_force()
    facts = Facts(now_ms, "v", 1, 1, 1, 0, "", (), Metrics(), (), "signalbox.yaml", (), Breakers(lambda: now_ms))
    scope, team = Scope(), Scope("default", tuple(f"k{number:011d}" for number in range(20)))
    page = requests.read_asked({"workload": "workload-3", "label": "phi"})
    yield "console: overview", lambda: overview.overview(store, in_force, scope, now_ms)
    yield "console: overview of a developer", lambda: overview.overview(store, in_force, team, now_ms)
    yield "console: workloads", lambda: workloads.workloads(store, in_force, scope, (), now_ms)
    yield "console: one workload", lambda: workloads.one_workload(store, in_force, scope, (), now_ms, "workload-1")
    yield "console: deployments", lambda: deployments.deployments(store, in_force, facts, scope)
    yield "console: paces", lambda: recent.paces(store, scope, "deployment")
    yield "console: requests, filtered", lambda: requests.requests(store, page, scope)
    yield (
        "console: one call",
        lambda: requests.one_call(store, in_force, scope, "req_6912ab34c0ffee11d2900000040", None),
    )
    yield "console: compliance", lambda: compliance.compliance(store, in_force, scope, "restricted", 30, now_ms)
    today = time.strftime("%Y-%m-%d", time.gmtime(now_ms / 1000))
    for by in ("workload", "key_id", "user", "tag", "session"):
        asked = spend.read_asked({"by": by, "until": today}, spend.date.fromisoformat(today))
        yield f"console: spend by {by}", lambda a=asked: spend.spend(store, a, scope, now_ms)


def _in_force() -> InForce:
    config = {
        "environments": {name: {"kind": "on-prem", "region": "eu/de"} for name in ENVIRONMENTS},
        "deployments": {
            f"model-{number}": {
                "environment": ENVIRONMENTS[number % 4], "protocol": "openai", "model": "m", "price": "free",
                "base_url": "http://127.0.0.1:9/v1", "allow_private": True,
            }
            for number in range(8)
        },
        "workloads": {f"workload-{number}": {} for number in range(40)},
    }  # fmt: skip
    compiled = compile_declared(load_text(json.dumps(config).encode(), "signalbox.yaml"), 1)
    return InForce(1, compiled.declared, compiled.snapshot, Explainer(compiled.declared, compiled.snapshot))


def sizes(store: SqlStore, path: Path, rows: int) -> dict[str, int]:
    """Bytes a row: the table, its indexes, and all that is summed up."""
    if isinstance(store, PostgresStore):
        with store._transaction() as connection:
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("ANALYZE")
            found = connection.execute(
                "SELECT SUM(pg_table_size(inhrelid)), SUM(pg_indexes_size(inhrelid)) FROM pg_inherits"
                " WHERE inhparent = to_regclass('attempt_days')"
            ).fetchone()
            assert found is not None
            summed = [
                connection.execute("SELECT pg_total_relation_size(to_regclass(?))", (one.table,)).fetchone()
                for one in (*CUBES, *KINDS)
            ]
        table, indexes = int(found[0]), int(found[1])
        sums = sum(int(one[0]) for one in summed if one is not None)
    else:
        with sqlite3.connect(path) as database:
            pages = dict(database.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name").fetchall())
        table, indexes = pages["attempt_days"], pages["attempt_days_id"]
        sums = sum(pages[one.table] for one in (*CUBES, *KINDS))
    return {
        "bytes_a_row": round(table / rows),
        "bytes_of_indexes_a_row": round(indexes / rows),
        "bytes_of_sums_a_row": round(sums / rows),
    }


def drop_a_day(store: Store) -> dict[str, float]:
    """How long the oldest day takes to go, and the longest step of it, which is how long others wait."""
    steps: list[float] = []
    while True:
        began = time.perf_counter()
        more = store.tidy((FIRST_DAY + DAY_COUNT) * DAY_MS, Retention(attempts_days=DAY_COUNT - 1))
        steps.append(time.perf_counter() - began)
        if not more:
            return {"whole_s": round(sum(steps), 3), "longest_step_s": round(max(steps), 4)}


def slowest(ask: Callable[[], Any]) -> float:
    spent: list[float] = []
    for _ in range(RUNS):
        began = time.perf_counter()
        ask()
        spent.append(time.perf_counter() - began)
    return round(max(spent), 4)


def measure(name: str, url: str, path: Path, rows: int) -> dict[str, Any]:
    store = open_store(url)
    assert isinstance(store, SqlStore)
    try:
        began = time.perf_counter()
        shipped = fill(store, rows)
        filled_s = time.perf_counter() - began
        now_ms = (FIRST_DAY + DAY_COUNT) * DAY_MS - 5 * HOUR_MS - 1234
        told = {
            "store": name,
            "rows": store.sum_attempts(AttemptFilter(), None)[0].attempts,
            "filled_s": round(filled_s),
            **sizes(store, path, rows),
            "rows_shipped_a_second": round(shipped),
            "slowest_s": {asked: slowest(ask) for asked, ask in questions(store, now_ms)},
            "drop_a_day": drop_a_day(store),
        }
    finally:
        store.close()
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    words = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="signalbox-scale-"))
    try:
        if words.store != "postgresql":
            path = folder / "scale.db"
            told = measure("sqlite", f"sqlite:{path}", path, words.rows)
            sys.stdout.write(json.dumps(told, indent=2) + "\n")
            sys.stdout.flush()
            shutil.rmtree(folder)
            folder.mkdir()
        if words.store != "sqlite":
            database = Database(folder)
            try:
                told = measure("postgresql", database.url, folder, words.rows)
            finally:
                database.close()
            sys.stdout.write(json.dumps(told, indent=2) + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
