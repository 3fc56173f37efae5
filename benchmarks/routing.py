"""What the difficulty router is worth on outcomes of real models, beside random, prompt length, a task table, kNN-40.

Run: python -m benchmarks.routing DIR [--only NAME …] [--write]. DIR holds the files that scripts/train_router.py
describes. Heads are fitted on the rows of splits gold and train, and judged on those of split test where a file has
any, otherwise of split cal; no label of a data set (subject, category) is looked at by a router. Intervals are 95 %
bootstraps over the judged rows, and of differences paired. --write puts the tables into docs/benchmarks-routing.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from signalbox.core.tiering import RANKS, Head, Judged
from signalbox.routing import answer_fit, answer_rows, answers
from signalbox.routing.difficulty.bounds import safe_score
from signalbox.routing.difficulty.features import Asked, Features, features
from signalbox.routing.difficulty.fit import held_out, solve
from signalbox.routing.difficulty.measure import Floats, apgr, cpt, strong_share_at
from signalbox.routing.difficulty.scorer import Scorer
from signalbox.routing.difficulty.shipped import shipped
from signalbox.routing.standing import Recent

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-routing.md"
BOOTSTRAPS = 300
NEIGHBOURS = 40
TURNS = 6
# How long a budget is watched.
CALLS = 300
# Some hundred judged answers carry about as many features: they are held back more than the usual 30.
ANSWER_RIDGE = 100.0
ARTEFACTS = frozenset(("high_school_mathematics", "world_religions", "moral_scenarios"))
MIXED_PAIR = ("qwen2.5-7b-instruct", "llama-3.1-nemotron-51b-instruct")
# What the cheap model costs as a share of the strong one, by their sizes.
MIXED_COST = 7 / 51
PRO_PAIR = ("Meta-Llama-3_1-8B-Instruct", "gemini-1.5-pro-002")
PRO_HELPERS = ("Phi-3-mini-4k-instruct", "mathstral-7B")
ZERO_PAIR = ("Meta-Llama-3.1-8B-Instruct", "gpt-4o-2024-08-06")
ZERO_HELPERS = ("Qwen2.5-7B-Instruct", "gemma-2-9b-it")

Row = dict[str, Any]
chance = np.random.default_rng(7)


class Task:
    """One file: rows to fit on and rows to judge on, for one pair of models."""

    def __init__(self, folder: Path, name: str, weak: str, strong: str) -> None:
        self.name, self.weak_name, self.strong_name = name, weak, strong
        rows: list[Row] = []
        for path in sorted(folder.glob(f"{name}*.jsonl.gz")):
            with gzip.open(path) as lines:
                rows += [json.loads(line) for line in lines]
        rows = [row for row in rows if weak in outcomes(row) and strong in outcomes(row)]
        self.fit = [row for row in rows if row["split"] in ("gold", "train")]
        self.judged = [row for row in rows if row["split"] == "test"] or [row for row in rows if row["split"] == "cal"]
        self.split = self.judged[0]["split"] if self.judged else "none"
        self.known, self.asked = featured(self.fit), featured(self.judged)
        self.gain = self.of(self.fit, strong) - self.of(self.fit, weak)
        self.weak, self.strong = self.of(self.judged, weak), self.of(self.judged, strong)

    @cached_property
    def before(self) -> Floats:
        """The score of each row to fit on, by heads that do not know it."""
        return held_out(self.known, self.gain)

    @cached_property
    def score(self) -> Floats:
        """The score of each judged row by the head of all rows to fit on."""
        return scores(self.own(), self.asked)

    def of(self, rows: list[Row], model: str) -> Floats:
        return np.array([float(outcomes(row)[model]) for row in rows])

    def own(self, among: Sequence[int] | None = None) -> Scorer:
        chosen = range(len(self.known)) if among is None else among
        found = [self.known[at] for at in chosen]
        return solve(found, self.gain[list(chosen)], np.ones(len(found))).scorer()


def outcomes(row: Row) -> Row:
    return row.get("correct", row)


def prompt(row: Row) -> str:
    if "options" not in row:
        return row["prompt"]
    return "\n".join([row["question"], *(f"{chr(65 + at)}. {one}" for at, one in enumerate(row["options"])), "Answer:"])


def featured(rows: list[Row]) -> list[Features]:
    return [features(Asked(prompt(row))) for row in rows]


def scores(scorer: Scorer, found: list[Features]) -> Floats:
    return np.array([scorer.score(one) for one in found])


# --- baselines ---


def by_length(task: Task) -> Floats:
    return np.array([float(len(prompt(row))) for row in task.judged])


def by_task(task: Task, tag: str) -> Floats:
    """The mean gain of the rows with the same label: what a router could do that is told the task."""
    sums: dict[str, list[float]] = defaultdict(list)
    for row, gain in zip(task.fit, task.gain, strict=True):
        sums[row[tag]].append(float(gain))
    usual = float(task.gain.mean())
    return np.array([(sum(sums[row[tag]]) + 5 * usual) / (len(sums[row[tag]]) + 5) for row in task.judged])


def by_neighbours(known: list[Features], gain: Floats, asked: list[Features]) -> Floats:
    """Mean gain of the 40 nearest rows by cosine of TF-IDF over this router's own hashed words."""
    holders: dict[int, list[int]] = defaultdict(list)
    for at, one in enumerate(known):
        for word in one.words:
            holders[word].append(at)
    rarity = {word: math.log((1 + len(known)) / (1 + len(at))) ** 2 for word, at in holders.items()}
    lengths = np.array([math.sqrt(sum(rarity[word] for word in one.words)) or 1.0 for one in known])
    found: list[float] = []
    for one in asked:
        near = np.zeros(len(known))
        for word in one.words:
            if word in holders:
                near[holders[word]] += rarity[word]
        near /= lengths
        nearest = np.argpartition(-near, min(NEIGHBOURS, len(near) - 1))[:NEIGHBOURS]
        found.append(float(gain[nearest].mean()) + 1e-6 * float(near[nearest].mean()))
    return np.array(found)


# --- tables ---


def interval(measure: Callable[[Any], float], rows: int) -> tuple[float, float]:
    drawn = [measure(chance.integers(0, rows, rows)) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def line(name: str, score: Floats, weak: Floats, strong: Floats, versus: Floats | None = None, gate: str = "") -> str:
    got = apgr(score, weak, strong)
    low, high = interval(lambda at: apgr(score[at], weak[at], strong[at]), len(score))
    against = ""
    if versus is not None:
        least, _ = interval(
            lambda at: apgr(score[at], weak[at], strong[at]) - apgr(versus[at], weak[at], strong[at]), len(score)
        )
        against = f"{got - apgr(versus, weak, strong):+.3f} (≥ {least:+.3f})"
    halves = f"{cpt(score, weak, strong, 0.5):.1f} | {cpt(score, weak, strong, 0.8):.1f}"
    return f"| {name} | {got:.3f} [{low:.3f}, {high:.3f}] | {halves} | {against} | {gate} |"


def head(title: str, task: Task, rows: int) -> list[str]:
    return [
        "",
        f"### {title}",
        "",
        f"{task.weak_name} ({task.weak.mean():.3f}) to {task.strong_name} ({task.strong.mean():.3f}); {rows} labelled "
        f"rows, judged on {len(task.judged)} of split {task.split}.",
        "",
        "| router | APGR | CPT50 | CPT80 | beside kNN-40 | published, or gate |",
        "| --- | --- | --- | --- | --- | --- |",
    ]


def baselines(task: Task, neighbours: Floats, tag: str = "") -> list[str]:
    weak, strong = task.weak, task.strong
    told = ["| random | 0.500 | 50.0 | 80.0 |  |  |", line("prompt length", by_length(task), weak, strong)]
    if tag:
        told.append(line(f"table by `{tag}` (told the task)", by_task(task, tag), weak, strong))
    told.append(line("kNN-40, TF-IDF of hashed words", neighbours, weak, strong))
    told.append(line("shipped head, no labels", scores(Scorer(shipped()), task.asked), weak, strong, neighbours))
    return told


# --- the sets ---


def mmlu(folder: Path) -> Iterator[str]:
    task = Task(folder, "routellm_mmlu", "weak", "strong")
    own, near = task.score, by_neighbours(task.known, task.gain, task.asked)
    yield from head("MMLU, all", task, len(task.fit))
    yield from baselines(task, near, "subject")
    yield line("**own head**", own, task.weak, task.strong, near, "RouteLLM 0.603 / 35.4 / 70.3; ≥ 0.63 / 33 / 66")
    clean = np.array([row["subject"] not in ARTEFACTS for row in task.judged])
    weak, strong = task.weak[clean], task.strong[clean]
    yield from ["", f"Clean slice, {int(clean.sum())} rows:", "", *head("", task, 0)[-2:]]
    yield line("kNN-40, TF-IDF of hashed words", near[clean], weak, strong)
    yield line("**own head**", own[clean], weak, strong, near[clean], "≥ 0.56")


def gsm8k(folder: Path) -> Iterator[str]:
    task = Task(folder, "routellm_gsm8k", "weak", "strong")
    own, near = task.score, by_neighbours(task.known, task.gain, task.asked)
    yield from head("GSM8K", task, len(task.fit))
    yield from baselines(task, near)
    gate = "RouteLLM 0.622 / 33.6 / 63.3; ≥ 0.64 / 33.6 / 60"
    yield line("**own head**", own, task.weak, task.strong, near, gate)
    doubt = after_answer(task, own)
    yield line("**cascade, scorer of answers**", doubt, task.weak, task.strong, near, "≥ 0.75 / 17 / 42")
    yield in_turn(task)


def in_turn(task: Task) -> str:
    """The scorer of answers on all rows, each third judged by what the other two teach: more rows to judge on."""
    rows = [*task.fit, *task.judged]
    weak, strong = task.of(rows, task.weak_name), task.of(rows, task.strong_name)
    seen = np.array([seen_of(row, 0.0) for row in rows])
    drawn: list[Floats] = []
    for _ in range(TURNS):
        part = chance.permutation(len(rows)) % 3
        doubt = np.zeros(len(rows))
        for number in range(3):
            others = part != number
            head = answer_fit.fit(seen[others].tolist(), weak[others].tolist(), ridge=ANSWER_RIDGE)
            doubt[part == number] = [1 - head.trust(one) for one in seen[part == number].tolist()]
        drawn.append(doubt)
    told = f"cascade, all {len(rows)} rows in thirds, mean of {TURNS} draws"
    return turns(told, drawn, weak, strong, "≥ 0.75 / 17 / 42")


def turns(name: str, drawn: list[Floats], weak: Floats, strong: Floats, gate: str) -> str:
    """A line for scores of the same rows by heads of several draws."""
    worth = float(np.mean([apgr(one, weak, strong) for one in drawn]))
    low, high = interval(lambda at: float(np.mean([apgr(one[at], weak[at], strong[at]) for one in drawn])), len(weak))
    halves = [float(np.mean([cpt(one, weak, strong, share) for one in drawn])) for share in (0.5, 0.8)]
    return f"| {name} | {worth:.3f} [{low:.3f}, {high:.3f}] | {halves[0]:.1f} | {halves[1]:.1f} |  | {gate} |"


def seen_of(row: Row, difficulty: float) -> tuple[float, ...]:
    """What is seen of a weak answer's text; difficulty: how hard its question looked."""
    asked = answers.Asked(prompt=row["prompt"], difficulty=difficulty)
    return answers.features(asked, answers.Answered(text=row["weak_response"]))


def standard(values: Floats) -> Floats:
    return (values - values.mean()) / values.std()


def after_answer(task: Task, own: Floats) -> Floats:
    """Doubt in the weak answer, from its text alone and from how hard the question looked."""

    def seen(rows: list[Row], hard: Floats) -> list[tuple[float, ...]]:
        ranks = np.argsort(np.argsort(hard)) / len(hard)
        return [seen_of(row, float(rank)) for row, rank in zip(rows, ranks, strict=True)]

    good = [bool(row["weak"]) for row in task.fit]
    fitted = answer_fit.fit(seen(task.fit, task.before), good, ridge=ANSWER_RIDGE)
    return np.array([1 - fitted.trust(one) for one in seen(task.judged, own)])


def mixed(folder: Path) -> Iterator[str]:
    task = Task(folder, "llmrouter_mixed", *MIXED_PAIR)
    weak, strong = task.weak, task.strong
    near = by_neighbours(task.known, task.gain, task.asked)
    yield from head("Mixed traffic", task, len(task.fit))
    yield from baselines(task, near)
    for labels, draws, gate in ((100, 10, "≥ 0.76"), (1000, 3, "≥ 0.78")):
        drawn = [chance.choice(len(task.fit), labels, replace=False) for _ in range(draws)]
        got = [scores(task.own(at), task.asked) for at in drawn]
        beside = [by_neighbours([task.known[i] for i in at], task.gain[at], task.asked) for at in drawn]
        mean = float(np.mean([apgr(one, weak, strong) for one in got]))
        knn = float(np.mean([apgr(one, weak, strong) for one in beside]))
        halves = [float(np.mean([cpt(one, weak, strong, share) for one in got])) for share in (0.5, 0.8)]
        share = float(np.mean([strong_share_at(one, weak, strong, 0.95) for one in got]))
        name = f"**own head, {labels} labels** (mean of {draws} draws; kNN {knn:.3f})"
        cost = share + (1 - share) * MIXED_COST
        told = f"{gate}; 95 % of strong quality at {cost:.2f} of its cost"
        yield f"| {name} | {mean:.3f} | {halves[0]:.1f} | {halves[1]:.1f} | {mean - knn:+.3f} | {told} |"
    yield line(f"**own head, {len(task.fit)} labels**", task.score, weak, strong, near)


def mmlu_pro(folder: Path) -> Iterator[str]:
    task = Task(folder, "mmlupro_multimodel", *PRO_PAIR)
    own, near = task.score, by_neighbours(task.known, task.gain, task.asked)
    yield from head("MMLU-Pro", task, len(task.fit))
    yield from baselines(task, near, "category")
    yield line("**own head**", own, task.weak, task.strong, near, "≥ 0.56")
    for count in (1, 2):
        doubt = by_opinions(task, own, PRO_HELPERS[:count])
        name = f"**cascade, agreement with {', '.join(PRO_HELPERS[:count])}**"
        yield line(name, doubt, task.weak, task.strong, near, "≥ 0.66" if count == 2 else "")


def zero_eval(folder: Path) -> Iterator[str]:
    names = sorted({path.name.split(".")[0].rsplit("_", 1)[0] for path in folder.glob("zeroeval_*.jsonl.gz")})
    for name in names:
        task = Task(folder, name, *ZERO_PAIR)
        if not task.judged or not task.fit:
            continue
        own, near = task.score, by_neighbours(task.known, task.gain, task.asked)
        yield from head(f"ZeroEval {name.removeprefix('zeroeval_')}", task, len(task.fit))
        yield from baselines(task, near)
        yield line("**own head**", own, task.weak, task.strong, near)
        for count in (1, 2):
            doubt = by_opinions(task, own, ZERO_HELPERS[:count])
            gate = "≥ 0.92 / – / 14" if "gsm" in name and count == 2 else ""
            told = f"**cascade, agreement with {', '.join(ZERO_HELPERS[:count])}**"
            yield line(told, doubt, task.weak, task.strong, near, gate)


def by_opinions(task: Task, own: Floats, helpers: tuple[str, ...]) -> Floats:
    """Doubt in the weak answer by the product's scorer of answers, with what other cheap models concluded. Of answers
    the data tells the conclusion and the length; each is replayed as a text of that length that ends in it."""

    def told(row: Row, model: str) -> str:
        found = row["pred"].get(model)
        end = "I do not know." if found is None else f"The answer is ({str(found).strip()})."
        return f"{'.' * max(0, (row['chars'].get(model) or 0) - len(end) - 1)}\n{end}"

    def seen(rows: list[Row], hard: Floats) -> list[answer_rows.Row]:
        ranks = np.argsort(np.argsort(hard)) / len(hard)
        return [
            answer_rows.Row(
                prompt=prompt(row),
                answer=told(row, task.weak_name),
                others=[told(row, one) for one in helpers],
                good=bool(outcomes(row)[task.weak_name]),
                strong_good=bool(outcomes(row)[task.strong_name]),
                difficulty=float(rank),
            )
            for row, rank in zip(rows, ranks, strict=True)
        ]

    known = seen(task.fit, task.before)
    head = answer_fit.fit([row.features() for row in known], answer_rows.worth(known))
    return np.array([1 - head.trust(row.features()) for row in seen(task.judged, own)])


# --- promises ---


def promises(folder: Path) -> Iterator[str]:
    yield from ["", "### Promises of thresholds", "", "| promise | rows | kept | gate |", "| --- | --- | --- | --- |"]
    for name, weak, strong in (("routellm_mmlu", "weak", "strong"), ("llmrouter_mixed", *MIXED_PAIR)):
        task = Task(folder, name, weak, strong)
        score = task.score
        lost = (task.strong > task.weak).astype(int)
        for rows, gate in ((100, ""), (300, "≥ 90 %"), (1000, "≥ 98 %")):
            alone, held = np.mean([budget_kept(score, rows) for _ in range(400)], axis=0)
            told = f"{held:.1%} of draws (by the quantile alone {alone:.1%})"
            yield f"| {name}: strong share within 5 points | {rows} | {told} | {gate} |"
        for rows in (100, 300):
            drawn = [bound_kept(score, lost, rows) for _ in range(200)]
            broken = np.mean([over for over, _ in drawn])
            strong_share = np.mean([share for _, share in drawn])
            told = f"broken in {broken:.1%} of 200 draws, {strong_share:.0%} to the strong tier"
            yield f"| {name}: at most 5 % lost, confidence 0.9 | {rows} | {told} | ≤ 10 % (+ 4) |"


def budget_kept(score: Floats, rows: int) -> tuple[bool, bool]:
    """Whether the share of strong calls comes within five points of the one that was asked for: by the quantile of so
    many rows alone, and as the product holds it, which counts every call. Of all judged rows, drawn with replacement,
    so that what is measured has no other error than the quantile's own."""
    wanted = float(chance.uniform(0.1, 0.9))
    seen, calls = chance.choice(score, rows), chance.choice(score, CALLS)
    alone = float((score > np.quantile(seen, 1 - wanted)).mean())
    recent = Recent(weightless(seen))
    for one in seen:
        recent.take(float(one))
    strong = 0
    for one in calls:
        (least,) = recent.thresholds((wanted,))
        place = int(recent.rank(float(one)) > least)
        recent.book((wanted,), place)
        strong += place
    return abs(alone - wanted) <= 0.05, abs(strong / CALLS - wanted) <= 0.05


def weightless(seen: Floats) -> Head:
    """A head that knows nothing but how scores are spread."""
    ranks = tuple(float(one) for one in np.quantile(seen, np.linspace(0, 1, RANKS)))
    return Head(1, (), len(seen), 0.0, (), b"", b"", b"", b"", ranks)


def bound_kept(score: Floats, lost: Any, rows: int) -> tuple[bool, float]:
    """Proven on rows drawn with replacement, judged on all: what is promised is promised of the traffic that rows were
    drawn from, and the rows that happen to be left are not that."""
    judged = tuple(Judged(float(score[at]), int(lost[at])) for at in chance.integers(0, len(score), rows))
    upto = safe_score(judged, 0, 0.05, 0.1)
    stays = score <= (upto if upto is not None else -np.inf)
    return float((stays & (lost > 0)).mean()) > 0.05, 1 - float(stays.mean())


def robustness(folder: Path) -> Iterator[str]:
    yield from ["", "### Robustness", "", "Decisions that flip at a strong share of 50 %; gate ≤ 6 %.", ""]
    changes: dict[str, Callable[[str], str]] = {
        "upper case": str.upper,
        "double blanks": lambda text: text.replace(" ", "  "),
        "typos, 2 % of letters": typos,
        "greeting before": lambda text: f"Hi there! {text}",
        "thanks after": lambda text: f"{text}\n\nThanks a lot in advance!",
    }
    yield f"| set | {' | '.join(changes)} |"
    yield "| --- " * (len(changes) + 1) + "|"
    for name, weak, strong in (("routellm_mmlu", "weak", "strong"), ("llmrouter_mixed", *MIXED_PAIR)):
        task = Task(folder, name, weak, strong)
        scorer = task.own()
        before = scores(scorer, task.asked)
        middle = float(np.median(before))
        told = [name]
        for change in changes.values():
            after = np.array([scorer.score(features(Asked(change(prompt(row))))) for row in task.judged])
            told.append(f"{float(((before > middle) != (after > middle)).mean()):.1%}")
        yield f"| {' | '.join(told)} |"


def typos(text: str) -> str:
    drawn = random.Random(text)
    return "".join(drawn.choice("abcdefghijklmnopqrstuvwxyz") if drawn.random() < 0.02 else one for one in text)


def latency(folder: Path) -> Iterator[str]:
    task = Task(folder, "llmrouter_mixed", *MIXED_PAIR)
    texts = [prompt(row) for row in task.judged]
    scorer = Scorer(shipped())
    long = ["\n".join(texts[at : at + 120])[:10_000] for at in range(0, len(texts) - 120, 8)]
    yield from ["", "### Latency", "", "Features and score, thread CPU time, pure Python; gate p99 ≤ 2 ms.", ""]
    yield "| prompts | p50 ms | p99 ms |"
    yield "| --- | --- | --- |"
    for name, some in (("of this set", texts), ("of 10,000 characters", long * 10)):
        took: list[float] = []
        for text in some:
            began = time.thread_time_ns()
            scorer.score(features(Asked(text)))
            took.append((time.thread_time_ns() - began) / 1e6)
        yield f"| {name} | {np.quantile(took, 0.5):.2f} | {np.quantile(took, 0.99):.2f} |"


PARTS: dict[str, Callable[[Path], Iterator[str]]] = {
    "mmlu": mmlu,
    "gsm8k": gsm8k,
    "mixed": mixed,
    "mmlu-pro": mmlu_pro,
    "zeroeval": zero_eval,
    "promises": promises,
    "robustness": robustness,
    "latency": latency,
}
MARK = "<!-- below: written by benchmarks/routing.py -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines: list[str] = []
    for name in options.only:
        for told in PARTS[name](options.data):
            lines.append(told)
            sys.stdout.write(told + "\n")
            sys.stdout.flush()
    if options.write:
        text = PAGE.read_text().partition(MARK)[0]
        PAGE.write_text(text + MARK + "\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
