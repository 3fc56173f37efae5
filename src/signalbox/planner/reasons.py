"""Why an option is or is not for a workload: stable codes, each with the sentence that people read."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

REASONS: dict[str, str] = {
    "forbidden-by-rule": "a rule does not permit it",
    "not-listed": "the workload does not list it",
    "quality-unknown": "nobody has scored it in the workload's evaluation; unknown evidence does not count",
    "quality-below": "it scores below the workload's minimum",
    "latency-unknown": "nobody has measured its latency; unknown evidence does not count",
    "too-slow": "it misses the workload's latency targets",
    "unavailable": "it answers for a smaller share of the time than the workload needs",
    "does-not-fit": "the model does not fit on the hardware",
    "context-too-short": "calls are longer than its context",
    "model-unknown": "the catalogue does not know the model",
    "gpu-unknown": "the catalogue does not know the accelerator",
    "price-missing": "nobody knows its price",
    "cannot-wait": "a batch API answers within a day, and the workload cannot wait that long",
    "commitment-too-long": "it is only to be had with a longer commitment than the organisation makes",
    "permitted": "it may be used",
    "serving-impossible": "the hardware cannot serve the model that way",
    "chosen": "the plan uses it",
    "dearer": "it may be used, and costs more than what the plan uses",
}


class Verdict(Struct, frozen=True):
    """What became of one option for one workload. code: of REASONS. detail: names and numbers. usd_per_month: what all
    of the workload would cost there alone, P10, P50 and P90, where that can be said. fix: what to add and where."""

    workload: str
    option: str
    code: str
    detail: str = ""
    usd_per_month: tuple[float, float, float] | None = None
    rules: tuple[str, ...] = ()
    fix: str = ""

    def sentence(self) -> str:
        return f"{self.option}: {REASONS[self.code]}{f' ({self.detail})' if self.detail else ''}"


# Verdicts that somebody can change by saying what is not known.
MISSING = frozenset(("price-missing", "model-unknown", "gpu-unknown", "quality-unknown", "latency-unknown"))
MISSING_MAX = 200


class Missing(Struct, frozen=True):
    """An option that is left out because something about it is not known. fix: what to add, and where."""

    option: str
    code: str
    detail: str
    fix: str
    workloads: tuple[str, ...]

    def sentence(self) -> str:
        who = self.workloads[0] if len(self.workloads) == 1 else f"{len(self.workloads)} workloads"
        why = f"{REASONS[self.code]}{f' ({self.detail})' if self.detail else ''}"
        return f"{self.option} is left out for {who}: {why}{f'. {self.fix}' if self.fix else ''}"


def missing(verdicts: Iterable[Verdict]) -> tuple[Missing, ...]:
    """Each thing that is not known once, with the workloads that it keeps out."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for each in verdicts:
        if each.code in MISSING:
            found.setdefault((each.option, each.code, each.detail, each.fix), []).append(each.workload)
    rows = [Missing(*what, tuple(workloads)) for what, workloads in found.items()]
    return tuple(sorted(rows, key=lambda each: -len(each.workloads))[:MISSING_MAX])
