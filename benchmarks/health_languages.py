"""Health data in seven languages: sentences of our own, about somebody's health or not, and how many are labelled.

Run: python -m benchmarks.health_languages [--set NAME] [--half looked|judged] [--misses]. The first was written before
the words it is judged by. The second and the third were written when words stood, with other illnesses and
names, and counted before any was added; then their misses were looked at. The fourth was only counted.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from benchmarks.detectors import half_of, table, wilson
from signalbox.detectors.scan import classify, scan

_SENTENCES = Path(__file__).with_name("health_languages.tsv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=("first", "second", "third", "fourth"), help="only the sentences of one set")
    parser.add_argument("--half", choices=("looked", "judged"), help="only the sentences of one half")
    parser.add_argument("--misses", action="store_true", help="print what was missed or wrong")
    arguments = parser.parse_args()
    total: dict[tuple[str, str], int] = defaultdict(int)
    labelled: dict[tuple[str, str], int] = defaultdict(int)
    for line in _SENTENCES.read_text(encoding="utf-8").splitlines():
        of, language, kind, text = line.split("\t")
        if arguments.set not in (None, of):
            continue
        if arguments.half not in (None, half_of({"text": text})):
            continue
        total[language, kind] += 1
        is_health = "phi" in classify(text).names()
        labelled[language, kind] += is_health
        if arguments.misses and is_health != (kind == "+"):
            found = [(one.kind, text[one.start : one.end]) for one in scan(text) if one.tag == "phi"]
            print(language, kind, text, found)
    languages = sorted({language for language, _ in total})

    def row(name: str, of: list[str]) -> tuple[object, ...]:
        counts = [(sum(labelled[one, kind] for one in of), sum(total[one, kind] for one in of)) for kind in "+-"]
        return name, counts[0][1], wilson(*counts[0]), counts[1][1], wilson(*counts[1])

    table(
        "Health data by language",
        ("language", "somebody's", "labelled", "nobody's", "labelled"),
        [*(row(one, [one]) for one in languages), row("all", languages)],
    )


if __name__ == "__main__":
    main()
