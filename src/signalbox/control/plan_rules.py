"""Which options of a plan the rules permit: the compiled rules of the gateway itself, asked about options as if they
were deployments. And every route of a plan, in every state of the world, asked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import combinations
from typing import Any, cast

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from signalbox.config.declared import Declared
from signalbox.config.load import load_text
from signalbox.config.schema import Config
from signalbox.config.schema_places import Environment
from signalbox.config.schema_rules import Predicate, Rule, When
from signalbox.core.labels import RESTRICTED, Labels, labels_of
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import Rates
from signalbox.planner.outlook import Relaxation
from signalbox.planner.plan import Plan
from signalbox.planner.routes import Refusals
from signalbox.planner.workload_file import PlanFile
from signalbox.policy.compiling import compile_snapshot
from signalbox.policy.relax import relaxation
from signalbox.policy.rules import permitted, refusals

RESIDENCY, OFFLINE = "plan.residency", "plan.offline"
# Calls come by chat; attestations that cover other interfaces only do not count.
API = "chat"
# Nothing is sent from here: an address that no provider has.
NOWHERE = "http://127.0.0.1:9/v1"
# Workloads that nothing serves of which it is asked which facts would open a place, and ways told of each.
EXPLAINED_MAX, WAYS_TOLD = 20, 2


class Violation(Struct, frozen=True):
    """A route that leads where a rule does not allow, in one state of the world. gone: environments that are down."""

    workload: str
    option: str
    gone: tuple[str, ...]
    rules: tuple[str, ...]


def compile_options(file: PlanFile, declared: Declared | None, day: str) -> Snapshot:
    """The snapshot that the gateway would read, were each option a deployment. Raises ConfigError with all findings."""
    return compile_snapshot(options_declared(file, declared), 1, day, _unpriced)


def options_declared(file: PlanFile, declared: Declared | None) -> Declared:
    """The configuration in which each option is a deployment. Raises ConfigError with all findings."""
    text = yaml.safe_dump(_as_config(file, declared), sort_keys=False, allow_unicode=True)
    return load_text(text, "(options of the plan)", {})


def with_facts(unplaced: tuple[Relaxation, ...], config: Config, snapshot: Snapshot) -> tuple[Relaxation, ...]:
    """The same, and where rules stand in the way which facts of a place would satisfy them: a contract is often nearer
    than a law given up."""
    told: list[Relaxation] = []
    for change in unplaced[:EXPLAINED_MAX]:
        workload = snapshot.workloads.get(change.workload)
        if workload is not None and any(each.startswith("give up rule ") for each in change.change):
            ways = relaxation(config, snapshot, workload, workload.labels, False, API).facts[:WAYS_TOLD]
            facts = tuple(
                f"or: environment {way.environment!r} with {' and '.join(way.change)} satisfies the rules"
                for way in ways
            )
            change = replace(change, because=(*change.because, *facts))
        told.append(change)
    return (*told, *unplaced[EXPLAINED_MAX:])


def _unpriced(provider: str, model: str, day: date) -> Rates | None:
    return None


def _as_config(file: PlanFile, declared: Declared | None) -> dict[str, Any]:
    """The facts that rules ask for, of signalbox.yaml and of the plan together; the plan's own name wins."""
    own = declared.config if declared is not None else None
    environments: dict[str, Environment] = {**(own.environments if own else {}), **file.environments}
    packs = list(dict.fromkeys([*(own.packs if own else []), *file.packs]))
    ids = {rule.id for rule in file.rules}
    rules = [*file.rules, *(rule for rule in (own.rules if own else []) if rule.id not in ids), *_own_rules(file)]
    # Rules may name workloads and teams that are no part of this plan.
    workloads = {name: _workload(name, file, declared) for name in file.workloads}
    named = {name for rule in rules for name in rule.when.workloads} - set(workloads)
    teams = sorted({name for rule in rules for name in rule.when.teams})
    return {
        "packs": packs,
        "environments": {name: _plain(each) for name, each in environments.items()},
        "vendors": {name: _plain(each) for name, each in {**(own.vendors if own else {}), **file.vendors}.items()},
        "deployments": {
            name: {
                "environment": option.environment,
                "protocol": "openai",
                "base_url": NOWHERE,
                "model": option.model,
                "allow_private": True,
                "price": "free",
            }
            for name, option in file.options.items()
        },
        "workloads": {**workloads, **{name: {} for name in sorted(named)}},
        "teams": {name: {} for name in teams},
        "rules": [_plain(rule) for rule in rules],
    }


def _workload(name: str, file: PlanFile, declared: Declared | None) -> dict[str, Any]:
    """Data classes and regulations of the plan and, where signalbox.yaml has the workload too, of both."""
    workload = file.workloads[name]
    held = declared.config.workloads.get(name) if declared is not None else None
    return {
        "data": list(dict.fromkeys([*workload.data, *(held.data if held else [])])),
        "regulations": list(dict.fromkeys([*workload.regulations, *(held.regulations if held else [])])),
    }


def _own_rules(file: PlanFile) -> list[Rule]:
    """Residency and offline work of the workload file, as rules like any other."""
    rules: list[Rule] = []
    for name, workload in file.workloads.items():
        when = When(workloads=[name])
        if workload.residency:
            allow = Predicate(region=list(workload.residency))
            rules.append(Rule(f"{RESIDENCY}.{name}", allow, when, "allow", source="residency of the workload"))
        if workload.offline:
            allow = Predicate(kind=["on-prem", "edge"])
            rules.append(Rule(f"{OFFLINE}.{name}", allow, when, "allow", source="it works without a connection"))
    return rules


def _plain(value: Struct) -> Any:
    """As a file would say it: without what was left out, so that no default is stated as a fact."""
    return _without_defaults(msgspec.to_builtins(value), value)


def _without_defaults(plain: Any, value: Any) -> Any:
    if isinstance(value, Struct):
        info = msgspec.inspect.type_info(type(value))
        assert isinstance(info, msgspec.inspect.StructType)
        kept: dict[str, Any] = {}
        for field in info.fields:
            own = getattr(value, field.name)
            default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
            if field.required or own != default:
                kept[field.encode_name] = _without_defaults(plain[field.encode_name], own)
        return kept
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_without_defaults(each, own) for each, own in zip(plain, items, strict=True)]
    return plain


def refused_options(snapshot: Snapshot, file: PlanFile) -> Refusals:
    """For each workload, the options that its rules refuse, with the rules."""
    found: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {}
    for name in file.workloads:
        workload = snapshot.workloads[name]
        told = refusals(snapshot, workload, workload.labels, False, API)
        found[name] = {option: tuple(reasons) for option, reasons in told.items()}
    return found


def violations(snapshot: Snapshot, plan: Plan, file: PlanFile) -> tuple[list[Violation], int]:
    """Every route of the plan in every state: primary, overflow, escalation, retry, and each set of environments that
    may be gone, for the declared labels and for raised ones. Returns what a rule forbids, and how many were tried.

    The plan's order is filtered by the permitted set for the labels of the call, as the gateway does for each call; so
    what is tried here is whether a target that is left is one that every applying rule, asked alone, allows."""
    found: list[Violation] = []
    tried = 0
    for name, row in plan.routing.items():
        workload = snapshot.workloads[name]
        targets = [*row.order, *([row.escalates_to] if row.escalates_to else [])]
        for labels in _raised(workload.labels):
            open_ = permitted(snapshot, workload, labels, False, API)
            why = refusals(snapshot, workload, labels, False, API)
            for gone in _states(targets, file):
                for target in _reached(targets, gone, file):
                    tried += 1
                    declared_only = labels == workload.labels
                    sends = declared_only or bool(open_ >> snapshot.deployment_by_name[target].index & 1)
                    if sends and target in why:
                        found.append(Violation(name, target, gone, tuple(rule for rule, _ in why[target])))
    return found, tried


def _raised(labels: Labels) -> Iterator[Labels]:
    """The declared labels and every higher level, as detection may raise them."""
    yield labels
    for level in range(labels.level + 1, RESTRICTED + 1):
        yield labels | Labels(level)
    yield labels | labels_of(("phi", "pci", "credentials", "personal", "special-category"))


def _states(targets: Sequence[str], file: PlanFile) -> Iterator[tuple[str, ...]]:
    places = sorted({file.options[target].environment for target in targets})
    for size in range(len(places) + 1):
        yield from combinations(places, size)


def _reached(targets: Sequence[str], gone: tuple[str, ...], file: PlanFile) -> list[str]:
    """Where calls may end up: any target that is not gone, be it first, overflow, escalation or a retry."""
    return [target for target in targets if file.options[target].environment not in gone]
