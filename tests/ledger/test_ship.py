"""Shipping: every journal record reaches the store once, whatever is killed, and whoever else ships."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalbox.core.attempts import AttemptFilter
from signalbox.core.errors import StoreError
from signalbox.core.ports import Store
from signalbox.core.records import Progress, Refused
from signalbox.ledger.chain import read_lines, segment_path
from signalbox.ledger.journal import Journal
from signalbox.ledger.recover import recover
from signalbox.ledger.ship import Shipper, Shipping
from signalbox.ledger.verify import verify
from signalbox.store import open_store

ALL = AttemptFilter()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(open_store(f"sqlite:{tmp_path}/s.db")) as opened:
        yield opened


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_all_chains_are_shipped_once(store: Store, journals: Path, fill) -> None:
    fill(journals, "a", 1500, segment_bytes_max=64 << 10)
    fill(journals, "b", 3)
    shipping = Shipping(store, journals)
    assert shipping.ship_once().records == 3006
    assert shipping.ship_once().lines == 0
    assert Shipping(store, journals).ship_once().lines == 0
    rows = list(store.attempts(ALL))
    assert len(rows) == 1503
    assert sum(row.cost_pico or 0 for row in rows) == 1503 * 37_500_000
    assert verify(journals, store.shipped_all()).ok


async def test_a_growing_chain_is_followed_across_segments(store: Store, journals: Path, opened, settled) -> None:
    journal = Journal(journals, "a", fsync="off", segment_bytes_max=4096)
    shipping = Shipping(store, journals)
    chance = random.Random(7)
    for number in range(100):
        journal.append(opened(f"x{number}"))
        if chance.random() < 0.3:
            shipping.ship_once()
        journal.append(Progress(time_ms=1, at=((f"x{number}", 1),)))
        journal.append(settled(f"x{number}"))
        if chance.random() < 0.3:
            shipping.ship_once()
    journal.append(opened("open"))
    shipping.ship_once()
    assert len(list(store.attempts(ALL))) == 100
    assert len(list(store.attempts(AttemptFilter(include_open=True)))) == 101
    await journal.close()
    recover(journals, 1)
    shipping.ship_once()
    assert [row.attempt_id for row in store.attempts(AttemptFilter(state="unknown"))] == ["open"]
    assert verify(journals, store.shipped_all()).ok


def test_an_unfinished_line_waits(store: Store, journals: Path, fill) -> None:
    fill(journals, "a", 3, close=False)
    path = journals / "a" / "00000001.log"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    shipping = Shipping(store, journals)
    shipped = shipping.ship_once()
    assert (shipped.lines, shipped.findings) == (6, ())
    assert shipping.ship_once().lines == 0
    path.write_bytes(whole)
    assert shipping.ship_once().lines == 1
    assert len(list(store.attempts(ALL))) == 3


def test_refusals_are_shipped(store: Store, journals: Path) -> None:
    async def main() -> None:
        journal = Journal(journals, "a", fsync="off")
        journal.append(Refused("c1", 5, "acme", "", "k", "chat", ("restricted", "phi"), "no_permitted_placement", "v"))
        await journal.close()

    asyncio.run(main())
    Shipping(store, journals).ship_once()
    (row,) = store.refused(AttemptFilter(tenant="acme", label="phi"))
    assert (row.call_id, row.reason) == ("c1", "no_permitted_placement")
    assert list(store.refused(AttemptFilter(tenant="other"))) == []


def test_tampering_is_told_once_and_the_rest_still_shipped(store: Store, journals: Path, fill) -> None:
    fill(journals, "a", 5)
    path = journals / "a" / "00000001.log"
    content = path.read_bytes()
    path.write_bytes(
        content.replace(
            b'{"k":"settled","attempt_id":"a-2"',
            b'{"k":"settled","attempt_id":77777',
            1,
        )
    )
    shipping = Shipping(store, journals)
    assert {f.kind for f in shipping.ship_once().findings} == {"altered", "unreadable"}
    assert shipping.ship_once().findings == ()
    assert len(list(store.attempts(ALL))) == 4


def test_a_cut_journal_is_told_once(store: Store, journals: Path, fill) -> None:
    fill(journals, "a", 5)
    shipping = Shipping(store, journals)
    shipping.ship_once()
    path = journals / "a" / "00000001.log"
    os.truncate(path, path.stat().st_size // 2)
    again = Shipping(store, journals)
    assert [f.kind for f in again.ship_once().findings] == ["truncated"]
    assert again.ship_once().findings == ()
    assert len(list(store.attempts(ALL))) == 5


SHIP = textwrap.dedent(
    """
    import contextlib, sys
    from pathlib import Path
    from signalbox.ledger import ship
    from signalbox.store import open_store
    ship.BATCH_RECORDS = 50
    directory = Path(sys.argv[1])
    with contextlib.closing(open_store(f"sqlite:{directory}/s.db")) as store:
        print("ready", flush=True)
        ship.Shipping(store, directory / "journal").ship_once()
    """
)


def test_killed_in_the_middle_and_two_at_once(tmp_path: Path, store: Store, journals: Path, fill) -> None:
    fill(journals, "a", 3000)
    chance = random.Random(11)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", SHIP, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.15))
        process.kill()
        process.wait()
        process.stdout.close()
    pair = [subprocess.Popen([sys.executable, "-c", SHIP, str(tmp_path)], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    Shipping(store, journals).ship_once()
    rows = list(store.attempts(ALL))
    assert len(rows) == 3000
    assert sum(row.cost_pico or 0 for row in rows) == 3000 * 37_500_000
    assert verify(journals, store.shipped_all()).ok


async def test_the_shipper_ships_by_itself_and_once_more_at_the_end(tmp_path, store, journals, opened, settled) -> None:
    journal = Journal(journals, "a", fsync="off")
    shipper = Shipper(lambda: open_store(f"sqlite:{tmp_path}/s.db"), journals, 0.02)
    await shipper.start()
    journal.append(opened("one"))
    journal.append(settled("one"))
    for _ in range(200):
        if list(store.attempts(ALL)):
            break
        await asyncio.sleep(0.02)
    assert len(list(store.attempts(ALL))) == 1
    journal.append(opened("two"))
    journal.append(settled("two"))
    await shipper.stop()
    await shipper.stop()
    assert len(list(store.attempts(ALL))) == 2
    assert shipper.stats().failures == 0
    await journal.close()


async def test_a_store_that_is_down_only_adds_lag(tmp_path: Path, journals: Path, fill) -> None:
    await asyncio.to_thread(fill, journals, "a", 3)
    down = True

    def factory() -> Store:
        if down:
            raise StoreError("store is down")
        return open_store(f"sqlite:{tmp_path}/s.db")

    shipper = Shipper(factory, journals, 0.01)
    await shipper.start()
    await asyncio.sleep(0.05)
    assert shipper.stats().error == "store is down"
    down = False
    await shipper.stop()
    assert shipper.stats().records == 6
    assert shipper.stats().error == ""


async def test_findings_are_handed_on(tmp_path: Path, journals: Path, fill) -> None:
    await asyncio.to_thread(fill, journals, "a", 3)
    path = journals / "a" / "00000001.log"
    path.write_bytes(path.read_bytes().replace(b"c0ffee", b"c0ffef", 1))
    told: list[str] = []
    shipper = Shipper(
        lambda: open_store(f"sqlite:{tmp_path}/s.db"), journals, 0.01, lambda found: told.extend(f.kind for f in found)
    )
    await shipper.start()
    await asyncio.sleep(0.1)
    await shipper.stop()
    assert told == ["altered"]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(store: Store, journals: Path, fill) -> None:
    """A file ends anywhere in a write that is under way, and goes on between two reads."""
    fill(journals, "a", 2000)
    written = segment_path(journals / "a", 1).read_bytes()
    live = journals.parent / "live"
    (live / "a").mkdir(parents=True)
    chance = random.Random(7)

    def write() -> None:
        with segment_path(live / "a", 1).open("wb", buffering=0) as file:
            at = 0
            while at < len(written):
                at += file.write(written[at : at + chance.randrange(1, 40)])

    writer = threading.Thread(target=write)
    shipping = Shipping(store, live)
    writer.start()
    while writer.is_alive():
        assert shipping.ship_once().findings == ()
    assert shipping.ship_once().findings == ()
    assert [row.state for row in store.attempts(AttemptFilter(include_open=True))] == ["settled"] * 2000
    assert verify(live, store.shipped_all()).ok


def test_reading_ends_at_a_line_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"whole\nhal")
    lines = read_lines(path)
    assert [next(lines), next(lines)] == [(0, b"whole\n"), (6, b"hal")]
    with path.open("ab") as file:
        file.write(b"f\nnext\n")
    assert list(lines) == []
    assert list(read_lines(path, 6)) == [(6, b"half\n"), (11, b"next\n")]
