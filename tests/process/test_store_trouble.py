"""The database locked, slow, cut off in the middle: calls go on as if nothing were, and each is in the ledger once."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
from installation import PATHS, Served, body_of, until

import postgres
from signalbox.core.attempts import AttemptFilter
from signalbox.store import open_store

CALLS = 12
CHAT = PATHS["chat"]
Trouble = Callable[[str], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def locked_sqlite(url: str) -> Generator[None]:
    """Somebody else writes, and does not end."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def slow_sqlite(url: str) -> Generator[None]:
    """Somebody else writes nearly all the time, so that every turn has to be waited for."""
    over = threading.Event()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:"), timeout=30, isolation_level=None)) as one:
            while not over.is_set():
                one.execute("BEGIN IMMEDIATE")
                time.sleep(0.2)
                one.execute("ROLLBACK")
                time.sleep(0.01)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _sql(url: str) -> Any:
    import psycopg

    return psycopg.connect(url, autocommit=True)


@contextlib.contextmanager
def locked_postgres(url: str) -> Generator[None]:
    from psycopg.errors import DeadlockDetected

    with _sql(url) as other:
        while True:
            other.execute("BEGIN")
            try:
                other.execute("LOCK TABLE attempts, attempt_days, shipped IN ACCESS EXCLUSIVE MODE")
                break
            except DeadlockDetected:  # somebody held one and waited for another, and the server ended this one
                other.execute("ROLLBACK")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def slow_postgres(url: str) -> Generator[None]:
    """Every batch takes a second and a half."""
    with _sql(url) as other:
        other.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END $$"
        )
        other.execute("CREATE TRIGGER slow BEFORE INSERT ON shipped FOR EACH ROW EXECUTE FUNCTION slow()")
        yield
        other.execute("DROP TRIGGER slow ON shipped")


@contextlib.contextmanager
def cut_postgres(url: str) -> Generator[None]:
    """Every connection to it is cut, again and again, as a server does that goes down."""
    over = threading.Event()

    def cut() -> None:
        with _sql(url) as other:
            while not over.wait(0.1):
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


TROUBLES: dict[str, Trouble] = {
    "sqlite locked": locked_sqlite,
    "sqlite slow": slow_sqlite,
    "postgresql locked": locked_postgres,
    "postgresql slow": slow_postgres,
    "postgresql cut off": cut_postgres,
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_nothing_is_lost_or_doubled_and_no_call_waits(served: Served, trouble: str) -> None:
    url = postgres.fresh_url() if trouble.startswith("postgresql") else f"sqlite:{served.state.database}"
    if trouble.startswith("postgresql"):
        served.config["store"] = url
    await served.start()

    def stored() -> list[tuple[str, str, int | None]]:
        with contextlib.closing(open_store(url)) as store:
            return [(row.attempt_id, row.state, row.cost_pico) for row in store.attempts(AttemptFilter())]

    await served.request(CHAT, body_of("chat", "w-chat", "before"))
    await until(lambda: len(stored()) == 1, "the first call in the store", 60)
    with TROUBLES[trouble](url):
        for number in range(CALLS):
            answer = await served.request(CHAT, body_of("chat", "w-chat", f"meanwhile {number}"))
            assert answer.status == 200
        # All of them are answered, and whoever holds the database up still does.
        if trouble == "postgresql locked":
            assert (await served.request("/readyz")).status == 200
    await until(lambda: len(stored()) >= CALLS + 1, "all calls in the store", 90)
    bill = served.bill()
    assert sorted(stored()) == sorted((identity, "settled", bill[identity].cost_pico) for identity in bill)
    served.signal(signal.SIGTERM)
    assert await served.exit_code(90) == 0
    assert served.cli("ledger", "verify", "--config", str(served.file))[0]["ok"]
