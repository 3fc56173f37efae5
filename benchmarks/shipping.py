"""What a row costs the shipper: `python -m benchmarks.shipping [--keys 10000] [--deployments 200]`.

Ships attempts of random keys and deployments into a fresh SQLite store, batch by batch as the shipper does, and prints
the CPU of this thread a row, in the best and in the median batch of the second half, when names have mostly been met:
the store's part. With `--journal STATE_DIR/journal` it ships a copy of what a gateway has written instead, from reading
and checking the lines to the last commit, twice under other ids, and prints the second time, in the best and in the
median of `--rounds`.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median

import msgspec

from benchmarks.ledger_scale import attempt
from signalbox.bootstrap.shipper import GC_THRESHOLDS
from signalbox.core.ports import ShipMark
from signalbox.core.records import Opened, Record
from signalbox.ledger.chain import (
    GENESIS,
    HEAD_START,
    chain_names,
    read_lines,
    seal_line,
    segment_numbers,
    segment_path,
    split_line,
)
from signalbox.ledger.ship import BATCH_RECORDS, Shipping
from signalbox.store import open_store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--deployments", type=int, default=200)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    with tempfile.TemporaryDirectory(prefix="signalbox-shipping-") as folder:
        if words.journal is None:
            spent_us = of_store(Path(folder), words.rows, words.keys, words.deployments)
        else:
            spent_us = [of_journal(words.journal, Path(folder) / f"{number}") for number in range(words.rounds)]
    sys.stdout.write(
        json.dumps({"best_us_a_row": round(min(spent_us), 1), "median_us_a_row": round(median(spent_us), 1)}) + "\n"
    )
    return 0


def of_store(folder: Path, count: int, keys: int, deployments: int) -> list[float]:
    """CPU of each late batch, µs a row."""
    chance = Random(1)
    spent_us: list[float] = []
    rows = BATCH_RECORDS // 2
    store = open_store(f"sqlite:{folder / 'shipping.db'}")
    mark: ShipMark | None = None
    for start in range(0, count, rows):
        records: list[Record] = []
        for number in range(start, start + rows):
            opened, settled, *_ = attempt(number, count)
            assert isinstance(opened, Opened)
            key, deployment = chance.randrange(keys), chance.randrange(deployments)
            named = {"key_id": f"k{key:011d}", "deployment": f"model-{deployment:03d}", "workload": "chat"}
            records += [msgspec.structs.replace(opened, user="", session="", tags=(), **named), settled]
        after = ShipMark("bench", 1, start + 1, start + 1, "0" * 64)
        began = time.thread_time()
        store.ship(mark, after, records)
        spent_us.append((time.thread_time() - began) / rows * 1e6)
        mark = after
    store.close()
    return spent_us[len(spent_us) // 2 :]


def of_journal(journal: Path, folder: Path) -> float:
    """CPU of shipping it a second time, µs a row."""
    copy(journal, folder / "journal", "1st")
    store = open_store(f"sqlite:{folder / 'shipping.db'}")
    shipping = Shipping(store, folder / "journal")
    shipping.ship_once()
    copy(journal, folder / "journal", "2nd")
    began = time.thread_time()
    shipped = shipping.ship_once()
    spent_s = time.thread_time() - began
    store.close()
    assert not shipped.finding_count
    return spent_s / (shipped.records / 2) * 1e6


def copy(journal: Path, to: Path, mark: str) -> None:
    """The chains of a journal, as one segment each, with ids of their own."""
    for chain in chain_names(journal):
        name = f"{mark}-{chain}"
        (to / name).mkdir(parents=True)
        digest, lines = GENESIS, list[bytes]()
        for number in segment_numbers(journal / chain):
            for _, line in read_lines(segment_path(journal / chain, number)):
                parts = split_line(line)
                if parts is None or (lines and parts[0].startswith(HEAD_START)):
                    continue
                json_of = parts[0].replace(chain.encode(), name.encode()).replace(b'"req_', b'"req_' + mark.encode())
                sealed, digest = seal_line(digest, json_of)
                lines.append(sealed)
        segment_path(to / name, 1).write_bytes(b"".join(lines))


if __name__ == "__main__":
    sys.exit(main())
