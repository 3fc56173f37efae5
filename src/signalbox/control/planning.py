"""A plan from files: the workload file or the ledger, the rules of signalbox.yaml, the catalogue, prices of the day."""

from __future__ import annotations

from datetime import date

from msgspec import Struct
from msgspec.json import encode
from msgspec.structs import replace

from signalbox.config.declared import Declared
from signalbox.control.plan_rules import (
    Violation,
    compile_options,
    options_declared,
    refused_options,
    violations,
    with_facts,
)
from signalbox.core.errors import ConfigError
from signalbox.core.usage import Rates
from signalbox.planner.calibration import Calibration
from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.plan import Plan, Sources, digest
from signalbox.planner.planning import Inputs, Progress, make_plan
from signalbox.planner.reading import Read, read_plan_file
from signalbox.pricing.catalogue import header, rates


class Planned(Struct, frozen=True):
    """violations: routes that a rule forbids in some state; none in a plan that may be applied. tried: how many route ×
    state were asked."""

    plan: Plan
    violations: tuple[Violation, ...]
    tried: int


class Wanted(Struct, frozen=True):
    """content, name: of the workload file. declared: signalbox.yaml, when there is one. day: ISO date."""

    content: bytes
    name: str
    declared: Declared | None
    catalogue: Catalogue
    calibration: Calibration
    day: str
    seed: int = 1
    draws: int = 1000


def plan_from(wanted: Wanted, progress: Progress) -> Planned:
    """Raises ConfigError with every finding of the workload file."""
    known = frozenset(wanted.declared.config.environments) if wanted.declared is not None else frozenset[str]()
    read = read_plan_file(wanted.content, wanted.name, known_environments=known)
    return plan_of(wanted, read, progress)


def plan_of(wanted: Wanted, read: Read, progress: Progress) -> Planned:
    if not read.file.options:
        fix = "Add `options`: environment, kind, model and a price. `signalbox plan init` shows some"
        raise ConfigError([f"{wanted.name}:1: options: there is nowhere to run. {fix}."])
    options = options_declared(read.file, wanted.declared)
    snapshot = compile_options(read.file, wanted.declared, wanted.day)
    inputs = Inputs(
        read=read,
        refusals=refused_options(snapshot, read.file),
        catalogue=wanted.catalogue,
        calibration=wanted.calibration,
        rates_for=_on(date.fromisoformat(wanted.day)),
        sources=sources_of(wanted),
        seed=wanted.seed,
        draws=wanted.draws,
    )
    plan = make_plan(inputs, progress)
    plan = replace(plan, unplaced=with_facts(plan.unplaced, options.config, snapshot))
    found, tried = violations(snapshot, plan, read.file)
    return Planned(plan, tuple(found), tried)


def sources_of(wanted: Wanted) -> Sources:
    return Sources(
        workloads=digest(wanted.content),
        config=wanted.declared.version if wanted.declared is not None else "",
        catalogue=digest(encode(wanted.catalogue), encode(wanted.calibration)),
        prices=f"{header().source} {header().source_version}",
        day=wanted.day,
    )


class _Rates:
    """Prices on one day, each looked up once."""

    def __init__(self, day: date) -> None:
        self._day = day
        self._known: dict[tuple[str, str], Rates | None] = {}

    def __call__(self, provider: str, model: str) -> Rates | None:
        key = (provider, model)
        if key not in self._known:
            self._known[key] = rates(provider, model, self._day)
        return self._known[key]


def _on(day: date) -> _Rates:
    return _Rates(day)
