"""Fits the head that ships with signalbox and writes src/signalbox/routing/difficulty/shipped.head.

Run: python scripts/train_router.py DIR [--evaluate]. DIR holds outcomes of several models on the same questions,
gzipped JSON lines: routellm_mmlu_dev and routellm_gsm8k_dev (lm-sys/RouteLLM, Apache-2.0), mmlupro_multimodel_dev
(TIGER-AI-Lab/MMLU-Pro, Apache-2.0), zeroeval_crux_dev and zeroeval_math-l5_dev (WildEval/ZeroEval, Apache-2.0),
llmrouter_mixed_dev (ulab-uiuc/LLMRouter, MIT). Only rows of the splits gold and train are fitted on; rows of split cal
give the ranks. Questions of MMLU that MMLU-Pro took over are left out, so that the head knows none of MMLU's test.
`--evaluate` prints what the head is worth on each source when it was fitted on all others, and writes nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signalbox.core.tiering import RANKS, write_head
from signalbox.routing.difficulty.features import Asked, Features, features
from signalbox.routing.difficulty.fit import Weights, solve
from signalbox.routing.difficulty.measure import Floats, apgr
from signalbox.routing.difficulty.shipped import SHIPPED

# So many hashed features are kept: a small file, and little is lost.
FEATURES_MAX = 60_000
# Cheap and strong models of each source; a gain is the mean of the strong ones less that of the cheap ones.
PAIRS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "llmrouter_mixed": (
        ("qwen2.5-7b-instruct", "llama-3.1-8b-instruct", "mistral-7b-instruct-v0.3", "gemma-2-9b-it"),
        ("llama-3.1-nemotron-51b-instruct", "llama-3.3-nemotron-super-49b-v1"),
    ),
    "mmlupro_multimodel": (
        ("Meta-Llama-3_1-8B-Instruct", "Meta-Llama-3-8B", "gemma-7b", "Qwen1.5-7B-Chat", "Phi-3-mini-4k-instruct"),
        ("gemini-1.5-pro-002", "Meta-Llama-3_1-70B-Instruct", "gemini-1.5-flash-002"),
    ),
    "zeroeval_crux": (
        ("Meta-Llama-3.1-8B-Instruct", "Qwen2.5-7B-Instruct", "gemma-2-9b-it"),
        ("gpt-4o-2024-08-06", "claude-3-5-sonnet-20241022", "Qwen2.5-72B-Instruct"),
    ),
    "zeroeval_math-l5": (
        ("Meta-Llama-3.1-8B-Instruct", "Qwen2.5-7B-Instruct", "gemma-2-9b-it"),
        ("gpt-4o-2024-08-06", "claude-3-5-sonnet-20241022", "Qwen2.5-72B-Instruct"),
    ),
    "routellm_mmlu": (("weak",), ("strong",)),
    "routellm_gsm8k": (("weak",), ("strong",)),
}


class Source:
    """One file: features, mean outcomes of cheap and strong models, and which rows are fitted on."""

    def __init__(self, name: str, rows: list[dict[str, Any]]) -> None:
        weak, strong = PAIRS[name]
        self.name = name
        rows = [row for row in rows if not str(row.get("src", "")).startswith("ori_mmlu")]
        rows = [row for row in rows if all(model in _outcomes(row) for model in (*weak, *strong))]
        self.found: list[Features] = [features(Asked(_prompt(row))) for row in rows]
        self.weak: Floats = np.array([[_outcomes(row)[model] for model in weak] for row in rows]).mean(axis=1)
        self.strong: Floats = np.array([[_outcomes(row)[model] for model in strong] for row in rows]).mean(axis=1)
        self.fitted = np.array([row["split"] in ("gold", "train") for row in rows])

    def target(self) -> Floats:
        """Gains and failures of the cheap models, half and half, as they differ within the source: what two sources
        differ by is their models. Gains alone carry over worse to sources that were not fitted on, and call questions
        easy that are too hard for all."""
        gain, failed = (_standard(each, self.fitted) for each in (self.strong - self.weak, 1 - self.weak))
        return gain + failed


def _standard(values: Floats, fitted: NDArray[np.bool_]) -> Floats:
    return (values - values[fitted].mean()) / values[fitted].std()


def _outcomes(row: dict[str, Any]) -> dict[str, float]:
    return row.get("correct", row)


def _prompt(row: dict[str, Any]) -> str:
    if "options" not in row:
        return row["prompt"]
    letters = (f"{chr(65 + at)}. {option}" for at, option in enumerate(row["options"]))
    return "\n".join((row["question"], *letters, "Answer:"))


def fit(sources: list[Source]) -> Weights:
    """All sources weigh the root of their size."""
    found = [one for source in sources for one, use in zip(source.found, source.fitted, strict=True) if use]
    target = np.concatenate([source.target()[source.fitted] for source in sources])
    weight = np.concatenate([np.full(int(source.fitted.sum()), 1 / np.sqrt(source.fitted.sum())) for source in sources])
    return solve(found, target, weight / weight.mean())


def scores(weights: Weights, found: list[Features]) -> Floats:
    scorer = weights.scorer()
    return np.array([scorer.score(one) for one in found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--evaluate", action="store_true")
    arguments = parser.parse_args()
    sources: list[Source] = []
    for name in PAIRS:
        with gzip.open(arguments.data / f"{name}_dev.jsonl.gz") as lines:
            sources.append(Source(name, [json.loads(line) for line in lines]))
    if arguments.evaluate:
        for source in sources:
            got = scores(fit([other for other in sources if other is not source]), source.found)
            sys.stdout.write(f"{source.name}: {len(got)} rows, APGR {apgr(got, source.weak, source.strong):.3f}\n")
        return
    weights = fit(sources).pruned(FEATURES_MAX)
    cal = [one for source in sources for one, used in zip(source.found, source.fitted, strict=True) if not used]
    ranks = [float(score) for score in np.quantile(scores(weights, cal), np.linspace(0, 1, RANKS))]
    rows = sum(int(source.fitted.sum()) for source in sources)
    made = {"rows_fit": float(rows), "rows_cal": float(len(cal))}
    SHIPPED.write_bytes(write_head(weights.head((), rows, ranks, made=made)))
    sys.stdout.write(f"{SHIPPED.name}: {SHIPPED.stat().st_size} bytes from {rows} rows\n")


if __name__ == "__main__":
    main()
