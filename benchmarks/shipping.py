"""What a row costs the shipper's store: `python -m benchmarks.shipping [--keys 10000] [--deployments 200]`.

Ships attempts of random keys and deployments into a fresh SQLite store, batch by batch as the shipper does, and prints
the CPU of this thread a row, in the best and in the median batch of the second half, when names have mostly been met.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median

import msgspec

from benchmarks.ledger_scale import attempt
from signalbox.core.ports import ShipMark
from signalbox.core.records import Opened, Record
from signalbox.ledger.ship import BATCH_RECORDS
from signalbox.store import open_store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--deployments", type=int, default=200)
    words = parser.parse_args()
    chance = Random(1)
    spent_us: list[float] = []
    rows = BATCH_RECORDS // 2
    with tempfile.TemporaryDirectory(prefix="signalbox-shipping-") as folder:
        store = open_store(f"sqlite:{Path(folder) / 'shipping.db'}")
        mark: ShipMark | None = None
        for start in range(0, words.rows, rows):
            records: list[Record] = []
            for number in range(start, start + rows):
                opened, settled, *_ = attempt(number, words.rows)
                assert isinstance(opened, Opened)
                key, deployment = chance.randrange(words.keys), chance.randrange(words.deployments)
                named = {"key_id": f"k{key:011d}", "deployment": f"model-{deployment:03d}", "workload": "chat"}
                records += [msgspec.structs.replace(opened, user="", session="", tags=(), **named), settled]
            after = ShipMark("bench", 1, start + 1, start + 1, "0" * 64)
            began = time.thread_time()
            store.ship(mark, after, records)
            spent_us.append((time.thread_time() - began) / rows * 1e6)
            mark = after
        store.close()
    late = spent_us[len(spent_us) // 2 :]
    sys.stdout.write(
        json.dumps({"best_us_a_row": round(min(late), 1), "median_us_a_row": round(median(late), 1)}) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
