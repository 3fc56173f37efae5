"""What second opinions of small models are worth to GSM8K's cascade, and how far a judge of weak answers could come.

Run: python -m benchmarks.routing_opinions DIR --gpt3 FILE --llama FILE [--judge]. DIR is as in benchmarks/routing.py.
Both files are published answers of small models to GSM8K's questions, one each: example_model_solutions.jsonl of
openai/grade-school-math (MIT; of its four the 6B model without a verifier is taken) and
output_torch.float32_bs1/gen_datas.jsonl of Haskely/gsm8k-rft-llama7b-u13b_evaluation. Nothing but the text is read,
so neither the right answers that they hold nor who was right. --judge: on the judged rows as well.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import routing
from benchmarks.routing_encoder import in_parts
from signalbox.routing import answer_fit
from signalbox.routing.answer_rows import Row
from signalbox.routing.difficulty.measure import Floats, apgr, cpt, recovered

# What the weak model costs as a share of the strong one: $0.24 and $24.7 a million tokens (arXiv 2406.18665). A second
# opinion is counted as dear as the weak answer, though its model is half as large.
PRICE = 0.24 / 24.7
STEPS = 2001

Opinions = dict[str, str]


def measured(folder: Path, opinions: dict[str, Opinions], *, judge: bool) -> Iterator[str]:
    task = routing.Task(folder, "routellm_gsm8k", "weak", "strong")
    yield from ("| rows | cascade | APGR | CPT50 | CPT80 | | |", "| --- | --- | --- | --- | --- | --- | --- |")
    ways = [[], *([name] for name in opinions), list(opinions)]
    for names in ways:
        told = f"with {', '.join(names)}" if names else "the weak answer alone"
        learnt = rows(task.fit, [opinions[name] for name in names])
        yield in_parts(f"the labelled {len(learnt)} | {told}, in fifths", learnt, 5, doubts)
    if judge:
        kept = rows(task.judged, [])
        alone = doubts(rows(task.fit, []), kept)
        for names in ([], list(opinions)):
            others = [opinions[name] for name in names]
            known, asked = rows(task.fit, others), rows(task.judged, others)
            score = doubts(known, asked)
            told = f"with {', '.join(names)}" if names else "the weak answer alone"
            versus = alone if names else None
            yield routing.line(f"the judged {len(asked)} | {told}", score, task.weak, task.strong, versus)
            calls = 1 + len(names)
            yield f"<!-- its {calls} cheap calls paid for: {paid(score, task.weak, task.strong, calls):.3f} -->"
            yield in_parts(f"all {len(known) + len(asked)} | {told}, in thirds", [*known, *asked], 3, doubts)
    for told, some in (("labelled", task.fit), ("judged", task.judged), ("all", [*task.fit, *task.judged])):
        yield ceiling(told, *(task.of(some, name) for name in ("weak", "strong")))


def ceiling(told: str, weak: Floats, strong: Floats) -> str:
    """What a judge would have that knows of each weak answer whether it is right, and one that knows the gain too."""
    known = [
        f"{apgr(score, weak, strong):.3f} | {cpt(score, weak, strong, 0.5):.1f} | {cpt(score, weak, strong, 0.8):.1f}"
        for score in (-weak, strong - weak)
    ]
    return "\n".join(
        f"| {told} {len(weak)} | {kind} | {one} | | |"
        for kind, one in zip(("knowing the weak outcome", "knowing both outcomes"), known, strict=True)
    )


def paid(score: Floats, weak: Floats, strong: Floats, calls: int) -> float:
    """APGR over what is spent, from always weak to always strong: nothing is recovered before the cheap calls of a
    cascade, which every question needs, are paid for."""
    curve = recovered(score, weak, strong)
    spent = np.linspace(PRICE, 1.0, STEPS)
    got = np.interp(spent - calls * PRICE, np.linspace(0.0, 1.0, len(curve)), curve)
    return float(np.trapezoid(got, dx=1.0 / (STEPS - 1)))


def rows(read: list[routing.Row], opinions: list[Opinions]) -> list[Row]:
    return [
        Row(
            prompt=row["prompt"],
            answer=row["weak_response"],
            good=bool(row["weak"]),
            strong_good=bool(row["strong"]),
            others=[one[row["prompt"].strip()] for one in opinions],
        )
        for row in read
    ]


def doubts(learnt: list[Row], kept: list[Row]) -> Floats:
    """In the latter answers, by what the former teach."""
    head = answer_fit.fit([row.features() for row in learnt], [row.good for row in learnt], ridge=routing.ANSWER_RIDGE)
    return np.array([1 - head.trust(row.features()) for row in kept])


def gpt3(path: Path) -> Opinions:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["question"].strip(): row["6b_finetuning"]["solution"] for row in found}


def llama(path: Path) -> Opinions:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["gsm8k_data"]["question"].strip(): row["output_str"] for row in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--gpt3", type=Path, required=True)
    parser.add_argument("--llama", type=Path, required=True)
    parser.add_argument("--judge", action="store_true")
    options = parser.parse_args()
    opinions = {"GPT-3 6B": gpt3(options.gpt3), "LLaMA 7B": llama(options.llama)}
    for told in measured(options.data, opinions, judge=options.judge):
        sys.stdout.write(told + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
