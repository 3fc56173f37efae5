"""A plan as it is written down: what runs where, at what cost, why, and what it was made from."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from signalbox.planner.crossover import Crossover
from signalbox.planner.futures import Futures
from signalbox.planner.levers import Lever
from signalbox.planner.outlook import ConstraintPrice, Relaxation, Scale, Strategy
from signalbox.planner.reading import Contradiction
from signalbox.planner.reasons import Missing, Verdict
from signalbox.planner.recipe import Recipe
from signalbox.planner.stress import Stress

FORMAT = 1


class Sources(Struct, frozen=True):
    """What a plan was made from, as hashes and dates. config: the version of signalbox.yaml, empty without one."""

    workloads: str
    config: str
    catalogue: str
    prices: str
    day: str


class Placed(Struct, frozen=True):
    """Part of a workload on one route. options: in order of escalation. kept: share of its calls that stay on the first
    one; the rest goes to `spill`. usd_per_month: tokens paid by use, and its part of the pool."""

    workload: str
    options: tuple[str, ...]
    share: float
    usd_per_month: float
    kept: float = 1.0
    spill: str | None = None
    pattern: str = "all"
    quality: float | None = None
    must: bool = False


class OpenPool(Struct, frozen=True):
    """An option with lots that the plan opens. used: mean load over what it could carry at its knee. duration: load by
    hour of the week over capacity, highest first. ttft_ms: band at the knee, P10, P50, P90."""

    option: str
    environment: str
    lots: dict[str, int]
    gpus: int
    usd_per_month: float
    people_fte: float
    capex_usd: float
    used: float
    spare: int
    duration: tuple[float, ...] = ()
    ttft_ms: tuple[float, float, float] | None = None
    concurrency: int = 0


class RoutingRow(Struct, frozen=True):
    """What the gateway will do with a workload: options in the order they are tried. strategy: fixed, overflow,
    cascade or edge-first, in words; `concurrency` is where overflow begins on the first one, 0 for no limit.
    budget_usd: a month's cost as planned and a quarter, in whole dollars; 0 where it costs nothing."""

    order: tuple[str, ...]
    strategy: str
    escalates_to: str | None = None
    concurrency: int = 0
    budget_usd: int = 0


class OptionPlace(Struct, frozen=True):
    """An option as signalbox.yaml would declare it. deployment: its name there, when it is there already."""

    environment: str
    model: str
    deployment: str | None = None
    base_url: str | None = None
    preset: str | None = None


class PhaseStep(Struct, frozen=True):
    """One step of the playbook for a workload."""

    workload: str
    step: str
    what: str


class WorkloadFacts(Struct, frozen=True):
    """What the plan assumed of a workload, for the comparison with the ledger. escalated: share of calls that a cascade
    hands on, 0 without one."""

    requests_per_day: float
    input_tokens: float
    output_tokens: float
    cacheable: float
    tokens_per_day: float
    usd_per_call: dict[str, float]
    escalated: float = 0.0


class Plan(Struct, frozen=True):
    """status: optimal, time-limit or infeasible. gap: of the solver's bound. unplaced: workloads that nothing serves,
    each with the smallest change that would. deployments: of signalbox.yaml, to the options that they are. places: what
    `apply` needs to declare the options of the routing. checked: exact re-check, empty when all limits hold."""

    name: str
    fingerprint: str
    sources: Sources
    status: str
    usd_per_month: float
    gap: float
    solver_s: float
    placed: tuple[Placed, ...]
    pools: tuple[OpenPool, ...]
    routing: dict[str, RoutingRow]
    verdicts: tuple[Verdict, ...]
    facts: dict[str, WorkloadFacts]
    people_fte: float = 0.0
    capex_usd: float = 0.0
    unplaced: tuple[Relaxation, ...] = ()
    checked: tuple[str, ...] = ()
    futures: Futures | None = None
    stress: Stress | None = None
    scales: tuple[Scale, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    no_regret: tuple[str, ...] | None = None
    crossovers: tuple[Crossover, ...] = ()
    constraints: tuple[ConstraintPrice, ...] = ()
    levers: tuple[Lever, ...] = ()
    recipes: tuple[Recipe, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    missing: tuple[Missing, ...] = ()
    playbook: tuple[PhaseStep, ...] = ()
    answers: dict[str, str] = {}
    regions: dict[str, float] = {}
    deployments: dict[str, str] = {}
    places: dict[str, OptionPlace] = {}
    format: int = FORMAT


def digest(*parts: bytes | str) -> str:
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        whole.update(len(content).to_bytes(8, "big"))
        whole.update(content)
    return whole.hexdigest()


def fingerprint(sources: Sources, routing: dict[str, RoutingRow]) -> str:
    """Of what a plan was made from and of what it would change: stale when either is no longer so."""
    content = msgspec.json.encode((sources.workloads, sources.config, sources.catalogue, routing), order="sorted")
    return hashlib.sha256(content).hexdigest()[:32]


def encode(plan: Plan) -> bytes:
    return msgspec.json.format(msgspec.json.encode(plan, enc_hook=_number), indent=1) + b"\n"


def _number(value: object) -> float:
    """The arrays' own kind of float, which is one."""
    if isinstance(value, float):
        return float(value)
    raise NotImplementedError


def decode(content: bytes) -> Plan:
    """Raises msgspec.DecodeError and ValidationError, both ValueErrors."""
    return msgspec.json.decode(content, type=Plan)
