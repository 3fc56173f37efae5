"""Reads a workload file: strictly, with every finding, and with numbers that contradict each other side by side."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import msgspec
from msgspec import Struct

from signalbox.config.consistency import check_rule
from signalbox.config.problems import Path, Problems, did_you_mean
from signalbox.config.reference import DIALECT
from signalbox.config.references import References
from signalbox.config.schema import PACKS
from signalbox.config.shape import Shape
from signalbox.config.yaml12 import parse
from signalbox.core.labels import LEVELS, TAGS
from signalbox.planner.demand import demand_of, stated_tokens_per_day
from signalbox.planner.quantity import Quantity, as_json_schema, lift, plain
from signalbox.planner.workload_file import Option, PlanFile, PlanWorkload

# Two numbers for one thing that differ by more than this are shown side by side.
CONTRADICTION_SHARE = 0.05
HOURS_PER_WEEK = 168


class Contradiction(Struct, frozen=True):
    """Two numbers of a file for the same thing. used: the one that the plan goes by."""

    where: str
    what: str
    stated: float
    follows: float
    used: str

    def sentence(self) -> str:
        return (
            f"{self.where}: {self.what} is stated as {plain(self.stated)}, but the rest of it gives "
            f"{plain(self.follows)} ({self.follows / self.stated:.2f}x). The plan uses {self.used}."
        )


class Read(Struct, frozen=True):
    """A file that can be planned with."""

    file: PlanFile
    contradictions: tuple[Contradiction, ...]


def read_plan_file(content: bytes, name: str, *, known_environments: frozenset[str] = frozenset()) -> Read:
    """Raises ConfigError with every finding. known_environments: those that signalbox.yaml declares."""
    problems = Problems(name)
    tree = lift(parse(content, name), PlanFile, problems)
    file = Shape(problems, References({}, FilePath(name).parent)).read(tree, PlanFile)
    _check(file, known_environments, problems)
    problems.raise_if_any()
    return Read(file, tuple(contradictions(file)))


def contradictions(file: PlanFile) -> list[Contradiction]:
    found: list[Contradiction] = []
    for name, workload in file.workloads.items():
        stated = workload.volume.tokens_per_day
        if stated is None or stated.value <= 0:
            continue
        follows = stated_tokens_per_day(workload.volume)
        if follows > 0 and abs(follows - stated.value) > CONTRADICTION_SHARE * stated.value:
            where = f"workloads.{name}.volume"
            used = "the calls and their tokens, without history sent again"
            found.append(Contradiction(where, "tokens_per_day", stated.value, follows, used))
    return found


def plan_json_schema() -> dict[str, Any]:
    """JSON Schema of a workload file."""
    schema = as_json_schema(msgspec.json.schema(PlanFile))
    return {"$schema": DIALECT, "title": "signalbox plan workloads", **schema}


def _check(file: PlanFile, known: frozenset[str], problems: Problems) -> None:
    if not file.workloads and problems.clean(("workloads",)):
        problems.add((), "has no workloads", "Add `workloads`, or start with `signalbox plan init`")
    for position, pack in enumerate(file.packs):
        if pack not in PACKS:
            problems.add(("packs", position), f"there is no rule pack {pack[:64]!r}", did_you_mean(pack, PACKS))
    for position, rule in enumerate(file.rules):
        check_rule(("rules", position), rule, problems)
    for name, workload in file.workloads.items():
        _check_workload(("workloads", name), workload, file, problems)
    environments = known | frozenset(file.environments)
    for name, option in file.options.items():
        if option.environment not in environments:
            at: Path = ("options", name, "environment")
            what = f"there is no environment {option.environment!r}"
            problems.add(at, what, did_you_mean(option.environment, environments))
        _check_option(("options", name), option, problems)


def _check_workload(path: Path, workload: PlanWorkload, file: PlanFile, problems: Problems) -> None:
    volume = workload.volume
    counted = (volume.conversations_per_day, volume.requests_per_day, volume.tokens_per_day)
    if counted == (None, None, None) and problems.clean((*path, "volume")):
        problems.add(
            (*path, "volume"),
            "does not say how much is done",
            "Add `conversations_per_day` with `turns`, or `requests_per_day`",
        )
    if volume.conversations_per_day is not None and volume.requests_per_day is not None:
        problems.add((*path, "volume"), "gives conversations and requests", "Give one of the two")
    for position, label in enumerate(workload.data):
        if label not in TAGS and label not in LEVELS:
            known = (*LEVELS, *TAGS)
            problems.add((*path, "data", position), f"there is no data class {label!r}", did_you_mean(label, known))
    for position, option in enumerate(workload.options):
        if option not in file.options:
            at = (*path, "options", position)
            problems.add(at, f"there is no option {option!r}", did_you_mean(option, file.options))
    if volume.turns.value < 1:
        problems.add((*path, "volume", "turns"), f"is {volume.turns.value:g}", "A conversation has 1 turn or more")
    peak = workload.arrival.peak_to_mean
    if peak is not None and not 1 <= peak.value <= HOURS_PER_WEEK:
        what = "1 is flat, and 168 is all of a week in one hour"
        problems.add((*path, "arrival", "peak_to_mean"), f"is {peak.value:g}", what)
    profile = workload.arrival.profile
    if isinstance(profile, list) and (len(profile) != 168 or not sum(profile) > 0):
        problems.add((*path, "arrival", "profile"), f"has {len(profile)} weights", "Write 168, not all of them 0")
    if not workload.growth.p10 <= workload.growth.p50 <= workload.growth.p90:
        problems.add((*path, "growth"), "is not in order", "p10 is at most p50, and p50 at most p90")
    for key, share in (("cacheable", volume.cacheable), ("escalation_share", workload.quality.escalation_share)):
        section = "volume" if key == "cacheable" else "quality"
        if share is not None and share.value > 1:
            problems.add((*path, section, key), f"is {share.value:g}", "Write a share between 0 and 1, or a percentage")
    _check_ranges(path, volume, problems)
    clean = problems.clean((*path, "volume")) and problems.clean((*path, "arrival"))
    if clean and not demand_of(workload).requests_per_day > 0:
        problems.add(
            (*path, "volume"), "comes to no requests at all", "Leave the workload out, or say how much it does"
        )
    elif not volume.prompt_tokens.value + volume.input_tokens.value + volume.output_tokens.value > 0:
        problems.add((*path, "volume"), "comes to no tokens at all", "Say how long calls and answers are")


def _check_ranges(path: Path, volume: Struct, problems: Problems) -> None:
    for name in volume.__struct_fields__:
        found = getattr(volume, name)
        if isinstance(found, Quantity):
            low = found.value if found.p10 is None else found.p10
            high = found.value if found.p90 is None else found.p90
            if not low <= found.value <= high:
                problems.add((*path, "volume", name), "is not in order", "p10 is at most value, value at most p90")


_NEEDED: dict[str, tuple[tuple[str, ...], str]] = {
    "rented": (("gpu_usd_per_hour", "gpu_usd_per_hour_1y", "gpu_usd_per_hour_3y"), "Say what one GPU costs an hour"),
    "owned": (("gpu_usd",), "Say what one GPU costs with its share of the server"),
    "edge": (("gpu_usd",), "Say what one device costs"),
}


def _check_option(path: Path, option: Option, problems: Problems) -> None:
    if not problems.clean(path):
        return
    if option.kind in ("cloud-api", "batch-api") and option.price is None and option.provider is None:
        problems.add(path, "has no price", "Add `price`, or `provider` for the catalogue's")
    if (
        option.kind == "managed"
        and option.price is None
        and option.provider is None
        and option.unit_usd_per_hour is None
    ):
        problems.add(path, "has no price", "Add `price`, `provider`, or `unit_usd_per_hour` with `unit_tokens_per_s`")
    if (option.unit_usd_per_hour is None) != (option.unit_tokens_per_s is None):
        problems.add(path, "prices units by half", "Give `unit_usd_per_hour` and `unit_tokens_per_s` together")
    needed = _NEEDED.get(option.kind)
    if needed is not None:
        names, fix = needed
        if all(getattr(option, name) is None for name in names):
            problems.add(path, "has no price", f"{fix}: `{'`, `'.join(names)}`")
        if option.gpu is None and option.requests_per_s is None:
            problems.add(path, "names no accelerator", "Add `gpu`, or `requests_per_s` as measured")
    for evaluation, score in option.quality.items():
        if score.value > 1:
            problems.add((*path, "quality", evaluation), f"is {score.value:g}", "Write a score between 0 and 1")
