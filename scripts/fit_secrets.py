"""Fits the weights of the secret score on labelled windows and writes src/signalbox/detectors/secret_weights.py.

Run: python scripts/fit_secrets.py secrets.jsonl.gz [--leave-one-out]. Rows: text, start, end, label (1 is a secret),
gateway_secret, repo. The letter-pair table comes from the identifiers and words of the standard library's sources.
`--leave-one-out` prints what the model is worth on repositories it has not seen, and writes nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import re
import sys
import sysconfig
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "src" / "signalbox" / "detectors" / "secret_weights.py"
EPOCHS, RATE, DECAY = 80, 0.3, 1e-4

# Log-odds taken from the bias, so that 0.5 stands where precision on unseen repositories passes 0.9 (printed as 0.6).
MARGIN = 0.405

Row = tuple[str, dict[str, float], int]


def bigrams() -> str:
    """For each letter pair how rare it is in English and in code, 0 (common) to 9, as 676 digits."""
    counts: Counter[tuple[int, int]] = Counter()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for word in re.findall(r"[a-z]{2,}", path.read_text("utf-8", "ignore").lower()):
            counts.update(zip(word.encode(), word.encode()[1:], strict=False))
    total = sum(counts.values())
    out: list[str] = []
    for first in range(97, 123):
        for second in range(97, 123):
            rarity = -math.log2((counts[first, second] + 1) / total) - 6
            out.append(str(max(0, min(9, round(rarity * 0.8)))))
    return "".join(out)


def candidates(rows: list[dict[str, Any]]) -> list[Row]:
    """One row of features for every assignment found in a labelled window, on or off the labelled span."""
    from signalbox.detectors.secret_score import features
    from signalbox.detectors.secrets import assignments
    from signalbox.detectors.view import View

    out: list[Row] = []
    for row in rows:
        secret = row["label"] == 1 and bool(row["gateway_secret"])
        if row["label"] == 1 and not secret:
            continue
        for start, end, *rest in assignments(View(row["text"])):
            if start < row["end"] and end > row["start"]:
                out.append((row["repo"], features(*rest), int(secret)))
    return out


def fit(rows: list[Row]) -> tuple[float, dict[str, float]]:
    """Logistic regression by stochastic gradient with per-feature rates; repositories weigh the root of their size."""
    sizes = Counter(repo for repo, _, _ in rows)
    weights: dict[str, float] = defaultdict(float)
    grown: dict[str, float] = defaultdict(lambda: 1e-6)
    bias, chance = 0.0, random.Random(7)
    order = list(rows)
    for _ in range(EPOCHS):
        chance.shuffle(order)
        for repo, row, label in order:
            total = bias + sum(weights[name] * amount for name, amount in row.items() if amount)
            slope = (1 / (1 + math.exp(-max(-30, min(30, total)))) - label) * (30 / sizes[repo]) ** 0.5
            bias -= 0.02 * slope
            for name, amount in row.items():
                if amount:
                    step = slope * amount + DECAY * weights[name]
                    grown[name] += step * step
                    weights[name] -= RATE * step / grown[name] ** 0.5
    return bias, dict(weights)


def probability(bias: float, weights: dict[str, float], row: dict[str, float]) -> float:
    total = bias + sum(weights.get(name, 0.0) * amount for name, amount in row.items())
    return 1 / (1 + math.exp(-max(-30, min(30, total))))


def report(scored: list[tuple[float, int]]) -> None:
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7):
        hits = sum(label for p, label in scored if p >= threshold)
        flagged = sum(p >= threshold for p, _ in scored)
        secrets = sum(label for _, label in scored)
        sys.stdout.write(
            f"{threshold}: precision {hits / max(1, flagged):.3f} recall {hits / max(1, secrets):.3f} of {secrets}\n"
        )


def write(bias: float, weights: dict[str, float], pairs: str) -> None:
    lines = "\n".join(f'    "{name}": {weight:.3f},' for name, weight in sorted(weights.items()))
    split = "\n".join(f'        "{pairs[i : i + 104]}"' for i in range(0, len(pairs), 104))
    TARGET.write_text(
        '"""Weights of the secret score, fitted by scripts/fit_secrets.py; change them by running it."""\n\n'
        f"BIAS = {bias:.3f}\n\nWEIGHTS: dict[str, float] = {{\n{lines}\n}}\n\n"
        "# Rarity of each letter pair aa..zz in English and in code, 0 (common) to 9.\n"
        f"BIGRAMS: tuple[int, ...] = tuple(\n    map(\n        int,\n{split},\n    )\n)\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--leave-one-out", action="store_true")
    arguments = parser.parse_args()
    pairs = bigrams()
    if not TARGET.exists():
        write(0.0, {}, pairs)
    with gzip.open(arguments.data) as lines:
        rows = candidates([json.loads(line) for line in lines])
    sys.stdout.write(f"{len(rows)} candidates, {sum(label for *_, label in rows)} secrets\n")
    if arguments.leave_one_out:
        scored: list[tuple[float, int]] = []
        for left_out in sorted({repo for repo, _, _ in rows}):
            bias, weights = fit([row for row in rows if row[0] != left_out])
            scored += [(probability(bias, weights, row), label) for repo, row, label in rows if repo == left_out]
        report(scored)
        return
    bias, weights = fit(rows)
    report([(probability(bias, weights, row), label) for _, row, label in rows])
    write(bias - MARGIN, weights, pairs)


if __name__ == "__main__":
    main()
