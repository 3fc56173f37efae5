"""Accuracy and speed of the detectors on labelled data that is not part of this repository.

Run: python -m benchmarks.detectors DATA_DIR [--only PART] [--half HALF] [--rounds N]. DATA_DIR holds the files that
docs/explain/detectors.md lists; a missing one is skipped and said so. A finding counts when it overlaps the labelled
span and its confidence raises labels; Wilson intervals are at 95 %. Halves are drawn by a hash of the text, so that
rules can be written while looking at one (`looked`) and judged on the other (`judged`).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.detectors_speed import adversarial, passes, speed, stream
from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.scan import scan

Row = dict[str, Any]

# Labelled type -> the kinds of finding that are right for it.
PII: dict[str, tuple[str, ...]] = {
    "EMAIL_ADDRESS": ("email",),
    "CORREO_ELECTRONICO": ("email",),
    "CREDIT_CARD": ("cards",),
    "IBAN_CODE": ("bank",),
    "IBAN": ("bank",),
    "IP_ADDRESS": ("ip",),
    "PHONE_NUMBER": ("phone",),
    "NUMERO_TELEFONO": ("phone",),
    "NUMERO_FAX": ("phone",),
    "FAX_NUMBER": ("phone",),
    "US_SSN": ("national_ids",),
    "US_DRIVER_LICENSE": ("national_ids",),
    "SOCIAL_SECURITY_NUMBER": ("national_ids",),
    "PESEL": ("national_ids",),
    "NIP": ("national_ids",),
    "REGON": ("national_ids",),
    "DOWOD": ("national_ids",),
    "PASSPORT": ("national_ids",),
    "ADDRESS": ("addresses",),
    "STREET_ADDRESS": ("addresses",),
    "CALLE": ("addresses",),
    "DOB": ("dates",),
    "PERSON": ("persons",),
    "NOMBRE_SUJETO_ASISTENCIA": ("persons", "health"),
    "NAME": ("persons", "health"),
    "DATE": ("health", "dates"),
    "GEOGRAPHIC_LOCATION": ("health", "addresses"),
    "MEDICAL_RECORD_NUMBER": ("health",),
    "HEALTH_PLAN_BENEFICIARY_NUMBER": ("health",),
    "ID_SUJETO_ASISTENCIA": ("health",),
    "FECHAS": ("health", "dates"),
    "NOMBRE_PERSONAL_SANITARIO": ("persons", "health"),
    "HOSPITAL": ("health",),
    "ID_ASEGURAMIENTO": ("health",),
}
# Detectors whose findings outside any labelled span are counted as wrong, and the types that name their spans.
EXACT = ("email", "cards", "bank", "ip", "phone", "national_ids")
BENIGN_SOURCES = (
    "gsm8k_test",
    "cyberseceval_frr",
    "alpaca_seed",
    "arena_hard_v0.1",
    "bipia_ctx_table",
    "bipia_ctx_email",
    "derived_injecagent_clean",
)


def rows(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def half_of(row: Row) -> str:
    """Which half a text is in: the same on every machine, and the same for equal texts."""
    text = str(row.get("text") or row.get("code"))
    return "judged" if hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] & 1 else "looked"


def raising(text: str) -> list[Found]:
    return [found for found in scan(text) if found.confidence >= RAISES]


def wilson(hits: int, total: int) -> str:
    if total == 0:
        return "–"
    z, p = 1.96, hits / total
    middle = (p + z * z / 2 / total) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / 4 / total / total)
    return f"{p:.3f} [{max(0.0, middle - half):.2f}, {min(1.0, middle + half):.2f}]"


def table(title: str, head: tuple[str, ...], body: Iterable[tuple[object, ...]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for line in body:
        print("| " + " | ".join(str(cell) for cell in line) + " |")


def personal(name: str, data: list[Row], misses: Callable[[str, str], None]) -> None:
    """Recall by labelled type; precision for detectors of exact forms; documents caught."""
    total: dict[str, int] = defaultdict(int)
    caught: dict[str, int] = defaultdict(int)
    right: dict[str, int] = defaultdict(int)
    flagged: dict[str, int] = defaultdict(int)
    for row in data:
        text, found = row["text"], raising(row["text"])
        spans = row["spans"]
        for span in spans:
            wanted = PII.get(span["type"])
            if wanted is None:
                continue
            total[span["type"]] += 1
            if any(f.detector in wanted and f.start < span["end"] and f.end > span["start"] for f in found):
                caught[span["type"]] += 1
            else:
                misses(f"{name} miss {span['type']}", around(text, span["start"], span["end"]))
        for one in found:
            if one.detector in EXACT:
                flagged[one.detector] += 1
                if any(
                    one.detector in PII.get(span["type"], ()) and one.start < span["end"] and one.end > span["start"]
                    for span in spans
                ):
                    right[one.detector] += 1
                else:
                    misses(f"{name} wrong {one.detector}/{one.kind}", around(text, one.start, one.end))
    table(
        f"{name}: recall by labelled type",
        ("type", "n", "recall"),
        ((kind, n, wilson(caught[kind], n)) for kind, n in sorted(total.items(), key=lambda item: -item[1])),
    )
    table(
        f"{name}: precision by detector",
        ("detector", "findings", "precision"),
        ((kind, n, wilson(right[kind], n)) for kind, n in sorted(flagged.items())),
    )


def health(data: list[Row], misses: Callable[[str, str], None]) -> None:
    hits = defaultdict(int)
    count = defaultdict(int)
    for row in data:
        phi = any(found.tag == "phi" for found in raising(row["text"]))
        count[row["has_phi"]] += 1
        hits[row["has_phi"]] += phi
        if phi != row["has_phi"]:
            misses(
                f"health {'miss' if row['has_phi'] else 'wrong'}",
                row["text"]
                + str(
                    [(f.kind, row["text"][f.start : f.end]) for f in raising(row["text"])] if not row["has_phi"] else ""
                ),
            )
    table(
        "Health data (ASQ-PHI, whole prompts)",
        ("prompts", "n", "labelled phi"),
        (
            ("with identifiers", count[True], wilson(hits[True], count[True])),
            ("hard negatives", count[False], wilson(hits[False], count[False])),
        ),
    )


def secrets(data: list[Row], misses: Callable[[str, str], None]) -> None:
    by_category: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    true = wrong = total = negatives = 0
    spent = chars = 0.0
    for row in data:
        secret = row["label"] == 1 and bool(row["gateway_secret"])
        if row["label"] == 1 and not secret:
            continue
        began = time.process_time()
        found = [f for f in raising(row["text"]) if f.tag == "credentials"]
        spent += time.process_time() - began
        chars += len(row["text"])
        hit = any(f.start < row["end"] and f.end > row["start"] for f in found)
        if secret:
            total += 1
            true += hit
            by_category[row["cats"][0]][0] += 1
            by_category[row["cats"][0]][1] += hit
        else:
            negatives += 1
            wrong += hit
        if hit != secret:
            misses(
                f"secrets {'miss' if secret else 'wrong'} {row['cats'][0]}",
                around(row["text"], row["start"], row["end"]),
            )
    precision, recall = true / max(1, true + wrong), true / max(1, total)
    table(
        "Secrets (CredData windows)",
        ("secrets", "non-secrets", "precision", "recall", "F1", "false-positive rate", "µs/KB"),
        (
            (
                total,
                negatives,
                wilson(true, true + wrong),
                wilson(true, total),
                f"{2 * precision * recall / max(1e-9, precision + recall):.3f}",
                wilson(wrong, negatives),
                round(spent * 1e6 / (chars / 1024)),
            ),
        ),
    )
    table(
        "Secrets by category",
        ("category", "n", "recall"),
        (
            (kind, n, wilson(hit, n))
            for kind, (n, hit) in sorted(by_category.items(), key=lambda i: -i[1][0])
            if n >= 10
        ),
    )


def code(data: list[Row], prose: list[str], misses: Callable[[str, str], None]) -> None:
    count: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in data:
        if row["code"].count("\n") < 2:
            continue
        hit = any(f.tag == "source-code" for f in raising(row["code"]))
        count[row["lang"]][0] += 1
        count[row["lang"]][1] += hit
        if not hit:
            misses(f"code miss {row['lang']}", row["code"][:400])
    negatives = [row["prompt"] for row in data if row.get("prompt") and row["lang"] != "python"] + prose
    wrong = 0
    for text in negatives:
        if any(f.tag == "source-code" for f in raising(text)):
            wrong += 1
            misses("code wrong", text[:400])
    table("Source code", ("language", "n", "recall"), ((k, n, wilson(hit, n)) for k, (n, hit) in sorted(count.items())))
    print(f"\nProse taken for code: {wilson(wrong, len(negatives))} of {len(negatives)}")


def benign(data: list[Row], misses: Callable[[str, str], None]) -> None:
    lines: list[tuple[object, ...]] = []
    for source in BENIGN_SOURCES:
        texts = [row["text"] for row in data if row["source"] == source]
        flagged: dict[str, int] = defaultdict(int)
        for text in texts:
            found = raising(text)
            for tag in {f.tag for f in found}:
                flagged[tag] += 1
            for f in found:
                if f.tag != "source-code":
                    misses(f"benign {source} {f.detector}/{f.kind}", around(text, f.start, f.end))
        told = ", ".join(f"{tag} {n}" for tag, n in sorted(flagged.items(), key=lambda item: -item[1]))
        lines.append((source, len(texts), told or "none"))
    table("Labels raised on texts that are nobody's data", ("source", "n", "texts labelled"), lines)


def around(text: str, start: int, end: int) -> str:
    return text[max(0, start - 40) : start] + "⟦" + text[start:end] + "⟧" + text[end : end + 25]


def payloads_of(data: Path) -> dict[str, list[str]]:
    return {path.name: [path.read_text()] for path in sorted((data / "payloads").glob("*.txt"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--misses", help="print what was missed or wrong for headings that begin with this")
    parser.add_argument("--only", help="one of pii, health, secrets, code, benign, speed, passes, stream, adversarial")
    parser.add_argument("--half", choices=("looked", "judged"), help="only the texts of one half")
    parser.add_argument("--rounds", type=int, default=20, help="speed: how often each text is timed, spread over time")
    parser.add_argument(
        "--pause", type=float, default=1.0, help="speed: seconds between rounds; passes: between passes"
    )
    arguments = parser.parse_args()
    seen: dict[str, list[str]] = defaultdict(list)

    def misses(heading: str, text: str) -> None:
        seen[heading].append(text)

    def wanted(part: str) -> bool:
        return arguments.only is None or arguments.only == part

    def load(name: str) -> list[Row]:
        path = arguments.data / f"{name}.jsonl.gz"
        if path.exists():
            return [row for row in rows(path) if arguments.half in (None, half_of(row))]
        print(f"\n{path.name} is not there: skipped.")
        return []

    injection = load("injection_dev") if arguments.only in (None, "code", "benign", "speed", "passes", "stream") else []
    if wanted("pii"):
        for name in (
            "pii_presidio_v2_dev",
            "pii_presidio_large",
            "pii_polish_dev",
            "pii_asq_phi_dev",
            "pii_meddocan_es_dev",
        ):
            personal(name, load(name), misses)
    if wanted("health"):
        health(load("pii_asq_phi_dev"), misses)
    if wanted("secrets"):
        secrets(load("secrets_dev"), misses)
    if wanted("code"):
        code(
            load("code_vs_prose_dev"),
            [r["text"] for r in injection if r["source"] in ("gsm8k_test", "alpaca_seed", "deepset")],
            misses,
        )
    if wanted("benign"):
        benign(injection, misses)
    if wanted("speed"):
        payloads = payloads_of(arguments.data)
        tools = [r["text"] for r in injection if r["source"] == "derived_injecagent_clean"]
        arena = [r["text"] for r in injection if r["source"] == "arena_hard_v0.1"]
        speed(
            {
                **payloads,
                "arena prompts": arena,
                "0.4 KB bodies": [text[:400] for text in arena if len(text) >= 400][:100],
                "grade-school problems": [r["text"] for r in injection if r["source"] == "gsm8k_test"][:300],
                "programs": [r["code"] for r in load("code_vs_prose_dev")][:300],
                "tool calls (JSON)": tools,
                "clinical, Spanish": [r["text"] for r in load("pii_meddocan_es_dev")][:100],
                "official, Polish": [r["text"] for r in load("pii_polish_dev")],
                **{
                    f"100 K tokens of {name}": ["\n".join(texts * 20)[:400_000]]
                    for name, texts in {
                        "mixed prompts": arena,
                        "log lines": payloads.get("core_100kb_sparse.txt", ["-"]),
                        "programs": [r["code"] for r in load("code_vs_prose_dev")],
                        "JSON tool results": [
                            r["text"] for r in injection if r["source"] == "derived_injecagent_clean"
                        ],
                        "clinical Spanish": [r["text"] for r in load("pii_meddocan_es_dev")],
                        "official Polish": [r["text"] for r in load("pii_polish_dev")],
                    }.items()
                },
            },
            arguments.rounds,
            arguments.pause,
        )
    if wanted("passes"):
        kinds = {
            **payloads_of(arguments.data),
            "chat prompts": [r["text"] for r in injection if r["source"] == "arena_hard_v0.1"][:100],
        }
        passes({name: texts for name, texts in kinds.items() if texts}, arguments.rounds, arguments.pause)
    if wanted("stream"):
        logged = payloads_of(arguments.data).get("core_100kb_sparse.txt", ["-"])[0].splitlines()
        kinds = {
            "chat prompts": [r["text"] for r in injection if r["source"] == "arena_hard_v0.1"],
            "grade-school problems": [r["text"] for r in injection if r["source"] == "gsm8k_test"],
            "JSON tool results": [r["text"] for r in injection if r["source"] == "derived_injecagent_clean"],
            "mails": [r["text"] for r in injection if r["source"] == "bipia_ctx_email"],
            "20 lines of a log": ["\n".join(logged[at : at + 20]) for at in range(0, len(logged), 20)],
            "programs": [r["code"] for r in load("code_vs_prose_dev")],
            "clinical, English": [r["text"] for r in load("pii_asq_phi_dev")],
            "clinical, Spanish": [r["text"] for r in load("pii_meddocan_es_dev")],
            "official, Polish": [r["text"] for r in load("pii_polish_dev")],
            "sentences with findings": [r["text"] for r in load("pii_presidio_v2_dev")],
        }
        stream({name: texts[:400] for name, texts in kinds.items() if texts}, arguments.rounds)
    if wanted("adversarial"):
        speed(adversarial(), arguments.rounds, arguments.pause)
    if arguments.misses:
        for heading, texts in sorted(seen.items()):
            if heading.startswith(arguments.misses):
                print(f"\n{heading}: {len(texts)}")
                for text in texts[:60]:
                    print("   ", repr(text))


if __name__ == "__main__":
    main()
