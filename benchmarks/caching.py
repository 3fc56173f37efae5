"""Caches: hits and errors among them on streams of paraphrases, look-alike pairs, and time.

    python -m benchmarks.caching DIR --encoder FOLDER [--keep FOLDER] [--rows N] [--part streams|pairs|time]

DIR holds banking77_train.csv.gz (BANKING77, CC BY 4.0: text,category) and clinc150_train.json.gz (CLINC150, CC BY 3.0).
Questions come in random order; two of the same intent have the same answer. Only what was asked is known from then on,
as in service: everything but the models is the product's own code. --encoder: what scripts/build_encoder.py wrote;
without it the encoder that compares spellings. --keep: where vectors are kept from one run to the next.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.caching_pairs import pairs
from signalbox.cache.entry import BODY, Entry
from signalbox.cache.exact import KeptAnswers
from signalbox.cache.neighbours import Known, Neighbours
from signalbox.cache.risk import Risk, wilson
from signalbox.cache.scope import Name
from signalbox.cache.verify import REWORDED, compare, read
from signalbox.embedding.encoder import Encoder, built_in

AUDIT_SHARE = 0.05
FOREVER_MS = 1 << 60
NO_ANSWER = Entry(BODY, b"", "", "", None, 0, FOREVER_MS)
NOTHING_READ = read("")


def streams(folder: Path) -> dict[str, list[tuple[str, str]]]:
    with gzip.open(folder / "banking77_train.csv.gz", "rt") as file:
        banking = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    with gzip.open(folder / "clinc150_train.json.gz") as file:
        clinc = [(text, intent) for text, intent in json.load(file)["train"]]
    found = {"BANKING77": banking, "CLINC150": clinc}
    for rows in found.values():
        random.Random(1).shuffle(rows)
    return found


def vectors(name: str, rows: list[tuple[str, str]], encoder: Encoder, keep: Path | None) -> np.ndarray:
    path = None if keep is None else keep / f"{name}-{encoder.id}.npy"
    if path is not None and path.exists() and len(kept := np.load(path)) >= len(rows):
        return kept[: len(rows)]
    made = np.array([encoder.encode(text) for text, _ in rows], dtype="float32")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, made)
    return made


def stream(name: str, rows: list[tuple[str, str]], made: np.ndarray, limit: float, seed: int) -> dict[str, object]:
    """One pass over a stream; figures of its second half."""
    order = list(range(len(rows)))
    chance = random.Random(seed)
    if seed:
        chance.shuffle(order)
    risk = Risk(limit)
    known, intents = Neighbours(made.shape[1]), dict[str, int]()
    asked = hits = wrong = 0
    for place, row in enumerate(order):
        text, intent = rows[row]
        group, reading = intents.setdefault(intent, len(intents)), read(text)
        found = known.find(made[row], reading, 0)
        late = place >= len(rows) // 2
        asked += late
        if found is not None:
            right = found.known.group == group
            risk.see(found.relation, found.score)
            if risk.trusts(found.relation, found.score) and chance.random() >= AUDIT_SHARE:
                hits += late
                wrong += late and not right
                continue
            risk.observe(found.relation, found.score, right=right)
        known.add(made[row], Known(reading, NO_ANSWER, NOTHING_READ, group))
    error = wrong / hits if hits else 0.0
    return {
        "stream": name,
        "limit": limit,
        "seed": seed,
        "questions": len(rows),
        "hit_share": round(hits / asked, 4),
        "errors_among_hits": round(error, 4),
        "at_most": round(wilson(error, hits), 4) if hits else None,
    }


def look_alikes() -> dict[str, object]:
    relations = Counter((pair.kind, compare(read(pair.one), read(pair.other))) for pair in pairs())
    total = sum(relations.values())
    passed = sum(count for (_, relation), count in relations.items() if relation == REWORDED)
    shown = {f"{kind} {relation}": count for (kind, relation), count in sorted(relations.items())}
    return {"pairs": total, "false_hits": passed, "at_most": round(3 / total, 6) if not passed else None, **shown}


def exact_time(looks: int = 20_000, entries: int = 5_000) -> dict[str, object]:
    """Look-ups that hit in memory, that hit on the disk only, and that miss; microseconds of this thread's CPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        kept = KeptAnswers(path, b"s" * 32, lambda: 1)
        kept.resize(64 << 20, 512 << 20)
        names = [Name(number.to_bytes(32, "big"), (1 << 200 | number).to_bytes(32, "big")) for number in range(entries)]
        mark = kept.mark()
        for name in names:
            kept.keep(name, Entry(BODY, b"x" * 2000, "d", "a", 1, 1, FOREVER_MS), mark)
            time.sleep(0.0002)
        kept.close()
        found: dict[str, object] = {}
        for kind in ("disk", "memory", "miss"):
            if kind == "disk":
                kept = KeptAnswers(path, b"s" * 32, lambda: 1)
                kept.resize(64 << 20, 512 << 20)
            tried = names if kind != "miss" else [Name(b"?" * 24 + name.key[24:], name.seal) for name in names]
            taken: list[float] = []
            hits = 0
            for look in range(min(looks, 4 * len(tried)) if kind != "disk" else len(tried)):
                began = time.thread_time()
                hits += kept.find(tried[look % len(tried)]) is not None
                taken.append((time.thread_time() - began) * 1e6)
            found[kind] = {"hits": hits, **quantiles(taken)}
        kept.close()
        return {"exact_us": found}


def semantic_time(encoder: Encoder, questions: int = 50_000, looks: int = 100, runs: int = 10) -> dict[str, object]:
    """One look-up among so many questions of one scope, 64 tokens or fewer; milliseconds of this thread's CPU, and of
    the clock on the wall for all of it. Over all runs and of the quietest, because whoever shares the processor's
    caches and clock is in them too."""
    chance = np.random.default_rng(1)
    known = Neighbours(encoder.dimensions)
    reading = read("How long may a parcel be on its way until it counts as lost?")
    for start in range(0, questions, 5000):
        for vector in chance.standard_normal((5000, encoder.dimensions)).astype("float32"):
            known.add(vector / np.sqrt(vector @ vector), Known(reading, NO_ANSWER, NOTHING_READ, start))
    text = "I sent two parcels to my sister three weeks ago and one has still not arrived, what can I do now? " * 2
    every = [look_ups(encoder, known, text, looks) for _ in range(runs)]
    quietest = min(every, key=lambda taken: quantiles(taken["all"])["p95"])
    together = {name: [value for taken in every for value in taken[name]] for name in quietest}
    shown = {"of all runs": together, "of the quietest": quietest}
    found = {name: {part: quantiles(values) for part, values in taken.items()} for name, taken in shown.items()}
    return {"semantic_ms": found, "questions": questions}


def look_ups(encoder: Encoder, known: Neighbours, text: str, looks: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {"encode": [], "read": [], "find": [], "all": [], "wall": []}
    for look in range(looks):
        began, since = time.thread_time(), time.perf_counter()
        vector = encoder.encode(f"{look} {text[:200]}")
        encoded = time.thread_time()
        reading = read(text[:200])
        words = time.thread_time()
        known.find(vector, reading, 0)
        ended = time.thread_time()
        spans = (encoded - began, words - encoded, ended - words, ended - began, time.perf_counter() - since)
        for values, seconds in zip(taken.values(), spans, strict=True):
            values.append(seconds * 1e3)
    return taken


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{share}": round(ordered[(len(ordered) - 1) * share // 100], 3) for share in (50, 95, 99)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--rows", type=int, default=1 << 30)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=float, action="append", default=[])
    parser.add_argument("--part", action="append", choices=("streams", "pairs", "time"), default=[])
    options = parser.parse_args()
    parts = options.part or ["streams", "pairs", "time"]
    encoder = built_in(options.encoder)
    print(json.dumps({"encoder": encoder.id, "dimensions": encoder.dimensions}))
    if "pairs" in parts:
        print(json.dumps(look_alikes()), flush=True)
    if "time" in parts:
        print(json.dumps(exact_time()), flush=True)
        print(json.dumps(semantic_time(encoder)), flush=True)
    if "streams" in parts:
        for name, rows in streams(options.data).items():
            used = rows[: options.rows]
            made = vectors(name, used, encoder, options.keep)
            for limit in options.limit or [0.02]:
                for seed in range(options.seeds):
                    print(json.dumps(stream(name, used, made, limit, seed)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
