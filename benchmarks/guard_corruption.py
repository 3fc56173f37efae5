"""How many harmless answers of source code the filters of answers change: python -m benchmarks.guard_corruption DIR.

DIR holds `code_vs_prose_dev.jsonl.gz`, public code that is not part of this repository. Each text is an answer in
pieces of 24 characters, and the same in a tool call's JSON, which has to stay JSON. Nothing is taken as said in
the request, so real addresses in comments count as changes.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path

from tests.guard.streams import called
from tests.guard.test_guard_seams import snapshot_of

from benchmarks.injection import wilson
from signalbox.core.guards import Channel, Guarded
from signalbox.guard.room import GuardRoom
from signalbox.guard.screen import Screen

PIECE_CHARS = 24


def texts_of(folder: Path) -> list[str]:
    with gzip.open(folder / "code_vs_prose_dev.jsonl.gz", "rt") as rows:
        return [json.loads(line)["code"] for line in rows]


def told(guards: str, text: str, kind: str) -> tuple[str, Counter[str]]:
    snapshot = snapshot_of(guards)
    call = called(snapshot, "g", "chat")
    call.guarded = record = Guarded()
    screen, channel = Screen(GuardRoom(snapshot).of("g"), call, record), Channel(kind)
    pieces = [text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS)]
    out = "".join([screen.feed(channel, piece) for piece in pieces]) + screen.end(channel)
    return out, Counter(record.counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    texts = texts_of(parser.parse_args().folder)
    print("| guard | changed as text | changed in JSON | no JSON any more | found |\n|---|---|---|---|---|")
    for guard in ("no-secrets", "no-personal-data"):
        changed = changed_json = broken = 0
        why: Counter[str] = Counter()
        for text in texts:
            out, counts = told(guard, text, "text")
            changed += out != text
            why += counts
            out, _ = told(guard, json.dumps({"content": text}), "tool")
            try:
                changed_json += json.loads(out) != {"content": text}
            except ValueError:
                broken += 1
        found = ", ".join(f"{rule} {count}" for rule, count in why.most_common(4))
        shares = f"{wilson(changed, len(texts))} | {wilson(changed_json, len(texts))}"
        print(f"| {guard}, {len(texts)} texts | {shares} | {broken} | {found} |", flush=True)


if __name__ == "__main__":
    main()
