"""The difficulty router beside the 40 nearest rows by a sentence encoder, and what blends of both would be worth.

Run: python -m benchmarks.routing_encoder DIR --encoder FOLDER [--set NAME …] [--keep FOLDER]. DIR is as in
benchmarks/routing.py, FOLDER what scripts/build_encoder.py wrote; needs the extras plan and embed. --keep: where
vectors are kept from one run to the next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from benchmarks import routing
from signalbox.embedding.encoder import Encoder, built_in
from signalbox.routing.answer_rows import Row, compared, taught
from signalbox.routing.difficulty.features import Asked
from signalbox.routing.difficulty.fit import fit_head, solve
from signalbox.routing.difficulty.fit_near import Meanings
from signalbox.routing.difficulty.measure import Floats, apgr
from signalbox.routing.difficulty.normalise import normalise
from signalbox.routing.difficulty.rows import Labelled
from signalbox.routing.difficulty.scorer import Scorer

# Of the neighbours in a blend with the own head; and the cosine above which two rows are the same question.
SHARES = (0.25, 0.5, 0.75)
DUPLICATE = 0.98

SETS: dict[str, tuple[str, str, str]] = {
    "MMLU": ("routellm_mmlu", "weak", "strong"),
    "GSM8K": ("routellm_gsm8k", "weak", "strong"),
    "Mixed traffic": ("llmrouter_mixed", *routing.MIXED_PAIR),
    "MMLU-Pro": ("mmlupro_multimodel", *routing.PRO_PAIR),
}


def beside_encoder(folder: Path, sets: list[str], encoder: Encoder, keep: Path | None) -> Iterator[str]:
    """The own head, the neighbours, and what both together would be worth, which takes the encoder for every call."""
    yield from ["", f"### Beside kNN-40 by {encoder.id}", ""]
    yield "| set, judged rows | router | APGR | CPT50 | CPT80 | beside kNN-40 | |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name in sets:
        file, weak_name, strong_name = SETS[name]
        task = routing.Task(folder, file, weak_name, strong_name)
        near = by_meaning(task, encoder, keep)
        mixed = {f"{share:.0%} neighbours": blend(task.score, near, share) for share in SHARES}
        for router, score in (("kNN-40", near), ("**own head**", task.score), *mixed.items()):
            versus = None if score is near else near
            yield routing.line(f"{name}, {len(score)} | {router}", score, task.weak, task.strong, versus)
        both, made = with_neighbours(task, encoder, keep)
        told = f"{name}, {len(both)} | **head with `encoder: true`, {made['near_share']:.0%} neighbours**"
        yield routing.line(told, both, task.weak, task.strong, near)
        if "subject" in task.judged[0]:
            clean = np.array([row["subject"] not in routing.ARTEFACTS for row in task.judged])
            for router, score in (("kNN-40", near), ("**head with `encoder: true`**", both)):
                versus = None if score is near else near[clean]
                told = f"{name}, clean slice, {int(clean.sum())} | {router}"
                yield routing.line(told, score[clean], task.weak[clean], task.strong[clean], versus)
            yield from in_halves(name, task, encoder, keep)
        if "weak_response" in task.judged[0]:
            yield from cascades(name, task, encoder, near)
        known, weak = left_out(task, encoder, keep), task.of(task.fit, task.weak_name)
        worth = {share: apgr(blend(task.before, known, share), weak, weak + task.gain) for share in (0.0, *SHARES, 1.0)}
        told = ", ".join(f"{share:.0%}: {one:.3f}" for share, one in worth.items())
        yield f"<!-- by share of neighbours on the labelled rows, each left out: {told} -->"


def with_neighbours(task: routing.Task, encoder: Encoder, keep: Path | None) -> tuple[Floats, dict[str, float]]:
    """The product's own head that compares questions by meaning, its share of neighbours chosen on the rows to fit on;
    and what the fit measured."""
    outcomes = task.of(task.fit, task.weak_name), task.of(task.fit, task.strong_name)
    rows = [
        Labelled(Asked(routing.prompt(row)), (float(weak), float(strong)), 1.0, cal=False, vector=vector)
        for row, weak, strong, vector in zip(
            task.fit, *outcomes, vectors(task, "fit", encoder, keep, as_read=True), strict=True
        )
    ]
    head = fit_head((task.weak_name, task.strong_name), rows, encoder=encoder.id)
    scorer = Scorer(head)
    asked = zip(task.asked, vectors(task, "judged", encoder, keep, as_read=True), strict=True)
    return np.array([scorer.score(replace(one, vector=vector)) for one, vector in asked]), head.made


def cascades(name: str, task: routing.Task, encoder: Encoder, near: Floats) -> Iterator[str]:
    """The product's scorer of answers that compares questions by meaning: once on the judged rows; on all rows, each
    third judged by what the other two teach; and on the rows to fit on alone, which is where it was designed."""

    def doubts(learnt: list[Row], kept: list[Row]) -> Floats:
        _, taught_by, asked = compared(learnt, kept, known)
        head = taught(taught_by)
        return np.array([1 - head.trust(row.features()) for row in asked])

    known = Once(encoder)
    learnt, judged = (
        [
            Row(
                prompt=row["prompt"],
                answer=row["weak_response"],
                good=bool(row["weak"]),
                strong_good=bool(row["strong"]),
            )
            for row in rows
        ]
        for rows in (task.fit, task.judged)
    )
    told = f"{name}, {len(judged)} | **cascade with `encoder: true`**"
    yield routing.line(told, doubts(learnt, judged), task.weak, task.strong, near)
    told = f"{name}, all {len(learnt) + len(judged)} | cascade with `encoder: true`, in thirds"
    yield in_parts(told, [*learnt, *judged], 3, doubts)
    yield in_parts(f"{name}, the labelled {len(learnt)} | cascade with `encoder: true`, in fifths", learnt, 5, doubts)


def in_parts(name: str, rows: list[Row], parts: int, doubts: Callable[[list[Row], list[Row]], Floats]) -> str:
    """Each part is judged by what the others teach. doubts: in the latter rows by what the former teach."""
    listed = np.array(rows, dtype=object)
    weak, strong = (np.array([float(getattr(row, kind)) for row in rows]) for kind in ("good", "strong_good"))
    drawn: list[Floats] = []
    for seed in range(routing.TURNS):
        part = np.random.default_rng(seed).permutation(len(rows)) % parts
        doubt = np.zeros(len(rows))
        for number in range(parts):
            doubt[part == number] = doubts(list(listed[part != number]), list(listed[part == number]))
        drawn.append(doubt)
    return routing.turns(name, drawn, weak, strong, "≥ 0.75 / 17 / 42")


def in_halves(name: str, task: routing.Task, encoder: Encoder, keep: Path | None) -> Iterator[str]:
    """The own head and the neighbours on all rows, each half judged by what the other one teaches: twice the rows to
    judge on, by about as many labels. Near duplicates are in one half."""
    rows, found = [*task.fit, *task.judged], [*task.known, *task.asked]
    meant = np.concatenate([vectors(task, part, encoder, keep) for part in ("fit", "judged")])
    weak, strong = task.of(rows, task.weak_name), task.of(rows, task.strong_name)
    gain, meanings = strong - weak, Meanings(list(meant))
    drawn: dict[str, list[Floats]] = {"kNN-40": [], "own head": []}
    for seed in range(routing.TURNS):
        half = meanings.folds(2, seed)
        near, own = np.zeros(len(rows)), np.zeros(len(rows))
        for number in range(2):
            others, asked = np.flatnonzero(half != number), np.flatnonzero(half == number)
            near[asked] = nearest(meant[asked], meant[others], gain[others])
            scorer = solve([found[at] for at in others], gain[others], np.ones(len(others))).scorer()
            own[asked] = routing.scores(scorer, [found[at] for at in asked])
        drawn["kNN-40"].append(near)
        drawn["own head"].append(own)
    clean = np.array([row.get("subject") not in routing.ARTEFACTS for row in rows])
    for router, scored in drawn.items():
        told = f"{name}, all {len(rows)} | {router}, in halves"
        yield routing.turns(told, scored, weak, strong, "≥ 0.63 / 33 / 66")
        told = f"{name}, clean slice, all {int(clean.sum())} | {router}, in halves"
        yield routing.turns(told, [one[clean] for one in scored], weak[clean], strong[clean], "≥ 0.56")


class Once:
    """An encoder that remembers what it was asked."""

    def __init__(self, encoder: Encoder) -> None:
        self.id, self.dimensions = encoder.id, encoder.dimensions
        self.encode = cache(encoder.encode)


def blend(own: Floats, near: Floats, share: float) -> Floats:
    return (1 - share) * routing.standard(own) + share * routing.standard(near)


def left_out(task: routing.Task, encoder: Encoder, keep: Path | None) -> Floats:
    """The same mean for each row to fit on, which neither itself nor its near duplicates have a part in."""
    known = vectors(task, "fit", encoder, keep)
    near = known @ known.T
    near[near > DUPLICATE] = -1.0
    nearest = np.argpartition(-near, routing.NEIGHBOURS, axis=1)[:, : routing.NEIGHBOURS]
    return task.gain[nearest].mean(axis=1) + 1e-6 * np.take_along_axis(near, nearest, axis=1).mean(axis=1)


def by_meaning(task: routing.Task, encoder: Encoder, keep: Path | None) -> Floats:
    """Mean gain of the 40 rows that are nearest in meaning."""
    known, asked = (vectors(task, part, encoder, keep) for part in ("fit", "judged"))
    return nearest(asked, known, task.gain)


def nearest(asked: Floats, known: Floats, gain: Floats) -> Floats:
    near = asked @ known.T
    rows = np.argpartition(-near, routing.NEIGHBOURS, axis=1)[:, : routing.NEIGHBOURS]
    return gain[rows].mean(axis=1) + 1e-6 * np.take_along_axis(near, rows, axis=1).mean(axis=1)


def vectors(task: routing.Task, part: str, encoder: Encoder, keep: Path | None, *, as_read: bool = False) -> Floats:
    """as_read: of texts as the router reads them, instead of as they are."""
    rows = task.fit if part == "fit" else task.judged
    name = f"{task.name}-{part}-{len(rows)}{'-read' if as_read else ''}-{encoder.id}.npy"
    path = None if keep is None else keep / name
    if path is not None and path.exists():
        return np.load(path)
    texts = (normalise(routing.prompt(row))[0] if as_read else routing.prompt(row) for row in rows)
    made = np.array([encoder.encode(text) for text in texts])
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, made)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--set", nargs="+", choices=tuple(SETS), default=list(SETS))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    for told in beside_encoder(options.data, options.set, built_in(options.encoder), options.keep):
        sys.stdout.write(told + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
