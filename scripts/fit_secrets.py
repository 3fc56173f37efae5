"""Fits the weights of the secret score on labelled windows and writes src/signalbox/detectors/secret_weights.py.

Run: python scripts/fit_secrets.py secrets.jsonl.gz [--leave-one-out]. Rows: text, start, end, label (1 is a secret),
gateway_secret, repo. The letter-pair table comes from the identifiers and words of the standard library's sources.
`--leave-one-out` prints what the model is worth on repositories it has not seen, alone and together with the forms that
need no model, and writes nothing. Needs numpy (the extra `plan`).
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import re
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).parent.parent / "src" / "signalbox" / "detectors" / "secret_weights.py"
# How strongly weights are held near nothing: what one repository alone would teach is forgotten.
HELD = 5.0
# So many times as often as its size says does a small repository count, up to this size.
EVEN_SIZE = 30

# Log-odds taken from the bias: 0.5 stands where this leaves precision on unseen repositories above 0.9 (printed as
# 0.47).
MARGIN = math.log(0.47 / 0.53)

# Repository, number of the window, features, whether it is a secret.
Row = tuple[str, int, dict[str, float], int]
Vector = NDArray[np.float64]


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


def windows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that are judged: what is no secret, and secrets that a gateway should know."""
    return [row for row in rows if row["label"] != 1 or row["gateway_secret"]]


def candidates(rows: list[dict[str, Any]]) -> list[Row]:
    """One row of features for every assignment found in a labelled window, on or off the labelled span."""
    from signalbox.detectors.scan import EVERYTHING
    from signalbox.detectors.secret_score import features
    from signalbox.detectors.secrets import assignments

    out: list[Row] = []
    for at, row in enumerate(rows):
        for start, end, name, separator, quoted, value, after in assignments(EVERYTHING.gate(row["text"])[0]):
            if start < row["end"] and end > row["start"]:
                seen = features(name, separator, quoted, value, after)
                out.append((row["repo"], at, seen, int(row["label"] == 1)))
    return out


def formed(row: dict[str, Any]) -> bool:
    """Whether a form that needs no model tells the labelled span."""
    from signalbox.detectors.scan import scan

    return any(
        found.tag == "credentials" and found.confidence >= 0.5 and found.kind != "assigned"
        and found.start < row["end"] and found.end > row["start"]
        for found in scan(row["text"])
    )  # fmt: skip


def table(rows: list[Row], names: list[str]) -> Vector:
    """One line of numbers for each row, the last of them 1 for the bias."""
    places = {name: at for at, name in enumerate(names)}
    out = np.zeros((len(rows), len(names) + 1))
    out[:, -1] = 1.0
    for line, (_, _, seen, _) in zip(out, rows, strict=True):
        for name, amount in seen.items():
            line[places[name]] = amount
    return out


def fit(lines: Vector, labels: Vector, repos: list[str]) -> Vector:
    """Logistic regression, held near nothing, by Newton's method; repositories weigh the root of their size."""
    sizes = Counter(repos)
    counts = np.array([(EVEN_SIZE / sizes[repo]) ** 0.5 for repo in repos])
    held = np.full(lines.shape[1], HELD)
    held[-1] = 1e-6
    weights = np.zeros(lines.shape[1])
    for _ in range(30):
        chance = probability(weights, lines)
        slope = lines.T @ (counts * (chance - labels)) + held * weights
        curve = (lines * (counts * chance * (1 - chance))[:, None]).T @ lines + np.diag(held)
        step = np.linalg.solve(curve, slope)
        weights -= step
        if float(np.abs(step).max()) < 1e-6:
            break
    return weights


def probability(weights: Vector, lines: Vector) -> Vector:
    return 1 / (1 + np.exp(-np.clip(lines @ weights, -30, 30)))


def report(title: str, scored: list[tuple[float, int]]) -> None:
    sys.stdout.write(f"{title}\n")
    for threshold in (0.3, 0.4, 0.44, 0.47, 0.5, 0.6, 0.7):
        hits = sum(label for p, label in scored if p >= threshold)
        flagged = sum(p >= threshold for p, _ in scored)
        secrets = sum(label for _, label in scored)
        sys.stdout.write(
            f"{threshold}: precision {hits / max(1, flagged):.3f} recall {hits / max(1, secrets):.3f} of {secrets}\n"
        )


def whole(rows: list[dict[str, Any]], found: list[Row], chances: Vector) -> list[tuple[float, int]]:
    """The score of each window, 1 where a form tells it."""
    best = [1.0 if formed(row) else 0.0 for row in rows]
    for (_, at, _, _), chance in zip(found, chances, strict=True):
        best[at] = max(best[at], float(chance))
    return [(score, int(row["label"] == 1)) for score, row in zip(best, rows, strict=True)]


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
    with gzip.open(arguments.data) as rows:
        judged = windows([json.loads(row) for row in rows])
    found = candidates(judged)
    names = sorted({name for _, _, seen, _ in found for name in seen})
    lines, repos = table(found, names), [repo for repo, *_ in found]
    labels = np.array([float(label) for *_, label in found])
    sys.stdout.write(f"{len(found)} candidates, {int(labels.sum())} secrets\n")
    if arguments.leave_one_out:
        chances = np.zeros(len(found))
        for left_out in sorted(set(repos)):
            others = np.array([repo != left_out for repo in repos])
            weights = fit(lines[others], labels[others], [repo for repo in repos if repo != left_out])
            chances[~others] = probability(weights, lines[~others])
        report("Announced values:", [(float(p), int(label)) for p, label in zip(chances, labels, strict=True)])
        report("All windows, with the forms that need no model:", whole(judged, found, chances))
        return
    weights = fit(lines, labels, repos)
    report("Announced values:", [(float(p), int(x)) for p, x in zip(probability(weights, lines), labels, strict=True)])
    write(float(weights[-1]) - MARGIN, dict(zip(names, map(float, weights[:-1]), strict=True)), pairs)


if __name__ == "__main__":
    main()
