"""How much harmless code, logs and tool calls guards change: python -m benchmarks.guard_corruption DIR.

DIR holds `code_vs_prose_dev.jsonl.gz`, `injection_dev.jsonl.gz` and `payloads/core_100kb_sparse.txt`, public data that
are not part of this repository; --logs adds files of log lines. Code and logs are answers in pieces of 24 characters;
code and the results of tools are told in the JSON of a tool call as well, which has to stay JSON. Logs are taken 20
lines at a time.

Nothing is taken as said in the request. So what is replaced may be somebody's address or a key: a text is counted as
changed wherever anything is, and apart from those, where that is nothing of a form that speaks for itself (GENUINE).
Pseudonyms go out and come back: counted are texts that are not as they were, and those that left with tokens in them.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import gzip
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.guard.streams import called
from tests.guard.test_guard_seams import snapshot_of

from benchmarks.injection import wilson
from signalbox.core.guards import Channel, Guarded
from signalbox.guard.contract import Outgoing
from signalbox.guard.room import GuardRoom
from signalbox.guard.screen import Screen
from signalbox.guard.vault import FileVault

PIECE_CHARS = 24
LOG_LINES = 20
# What nobody needs to look at twice: addresses, numbers with a country or an area code, two names in a row, and keys
# whose provider gave them a form of their own.
GENUINE = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+|\+\d[\d -]{8,}|\(?\d{3}\)?[ -]\d{3}-\d{4}|[A-Z][a-z]+ [A-Z][a-z]+|"
    r"AIza[\w-]{35}|ya29\.[\w-]{8,}"
)


def code_of(folder: Path) -> list[str]:
    with gzip.open(folder / "code_vs_prose_dev.jsonl.gz", "rt") as rows:
        return [json.loads(line)["code"] for line in rows]


def results_of(folder: Path) -> list[str]:
    """Clean results of tools."""
    with gzip.open(folder / "injection_dev.jsonl.gz", "rt") as rows:
        read: Iterable[dict[str, Any]] = (json.loads(line) for line in rows)
        return [row["text"] for row in read if row["source"] == "derived_injecagent_clean"]


def logs_of(files: Iterable[Path]) -> list[str]:
    found: list[str] = []
    for file in files:
        lines = file.read_text("utf-8", "replace").splitlines()
        found += ["\n".join(lines[at : at + LOG_LINES]) for at in range(0, len(lines), LOG_LINES)]
    return found


def told(room: GuardRoom, snapshot: Any, text: str, kind: str) -> tuple[str, Counter[str]]:
    call = called(snapshot, "g", "chat")
    call.guarded = record = Guarded()
    return streamed(Screen(room.of("g"), call, record), Channel(kind), text), Counter(record.counts)


def streamed(screen: Screen, channel: Channel, text: str) -> str:
    pieces = [text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS)]
    return "".join([screen.feed(channel, piece) for piece in pieces]) + screen.end(channel)


def taken(before: str, after: str) -> list[str]:
    """What stood where the marks are."""
    pieces = re.split(r"\[[a-z0-9-]+ removed\]|\bnull\b", after)
    pattern = "(.*?)".join(map(re.escape, pieces))
    match = re.fullmatch(pattern, before, re.DOTALL)
    if match is not None:
        return [one for one in match.groups() if one]
    said = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [before[a:b] for what, a, b, _, _ in said if what in ("replace", "delete")]


def filtered(guard: str, sets: dict[str, tuple[list[str], str]], show: bool) -> None:
    snapshot = snapshot_of(guard)
    room = GuardRoom(snapshot)
    for name, (texts, kind) in sets.items():
        changed = otherwise = broken = 0
        why: Counter[str] = Counter()
        for text in texts:
            said = json.dumps({"content": text}) if kind == "tool" else text
            out, counts = told(room, snapshot, said, kind)
            why += counts
            if kind == "tool":
                try:
                    out = json.loads(out)["content"]
                except (ValueError, KeyError):
                    broken += 1
                    continue
            if out != text:
                changed += 1
                other = [one for one in taken(text, str(out)) if GENUINE.search(one) is None]
                otherwise += bool(other)
                if show:
                    print(f"    {name}: {other or 'genuine'}")
        found = ", ".join(f"{rule.partition('.')[2]} {count}" for rule, count in why.most_common(4))
        shares = f"{wilson(changed, len(texts))} | {wilson(otherwise, len(texts))}"
        print(f"| {guard} | {name}, {len(texts)} | {shares} | {broken} | {found} |", flush=True)


async def pseudonymised(sets: dict[str, tuple[list[str], str]]) -> None:
    """There and back: what a model that repeats the request says, as the client gets it."""
    snapshot = snapshot_of({"name": "pseudonymise", "where": "always"})
    with tempfile.TemporaryDirectory() as folder:
        room = GuardRoom(snapshot, FileVault(Path(folder) / "v", b"k" * 32))
        chosen = room.of("g")
        for name, (texts, kind) in sets.items():
            hidden = wrong = 0
            for number, text in enumerate(texts):
                said = json.dumps({"content": text}) if kind == "tool" else text
                call = called(snapshot, "g", "chat")
                call.doc = {"messages": [{"role": "user", "content": said}]}
                call.guarded = Guarded()
                body = json.dumps(call.doc).encode()
                sent = Outgoing(call, snapshot.deployments[0], "chat", body, call.doc,
                                conversation=f"{name} {number}".encode())  # fmt: skip
                screened = await chosen.requests[0][1].screen(sent)
                repeated = json.loads(screened.body or body)["messages"][0]["content"]
                hidden += repeated != said
                back = streamed(Screen(chosen, call, call.guarded), Channel(kind), repeated)
                same = json.loads(back) == {"content": text} if kind == "tool" else back == said
                wrong += not same
            print(f"| pseudonymise | {name}, {len(texts)} | {wilson(wrong, len(texts))} | left with tokens: "
                  f"{wilson(hidden, len(texts))} | | |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--logs", type=Path, nargs="*", default=[])
    parser.add_argument("--show", action="store_true", help="what was taken out of each text")
    asked = parser.parse_args()
    code, results = code_of(asked.folder), results_of(asked.folder)
    logs = logs_of([asked.folder / "payloads" / "core_100kb_sparse.txt", *asked.logs])
    sets = {
        "code": (code, "text"),
        "code in a tool call": (code, "tool"),
        "logs": (logs, "text"),
        "tool calls": (results, "tool"),
    }
    print("| guard | texts | changed | changed where nothing genuine stood | no JSON any more | found |")
    print("|---|---|---|---|---|---|")
    for guard in ("no-secrets", "no-personal-data"):
        filtered(guard, sets, asked.show)
    asyncio.run(pseudonymised(sets))


if __name__ == "__main__":
    main()
