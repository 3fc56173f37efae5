"""A plan as a change of signalbox.yaml: placements, strategies and thresholds, shown before they are written."""

from __future__ import annotations

from typing import Any, get_args

from signalbox.config.declared import Declared
from signalbox.config.load import load_text
from signalbox.config.schema_choosing import Cascade
from signalbox.config.schema_workloads import Strategy
from signalbox.control.versions import Change
from signalbox.control.yaml_edit import CannotEdit, set_value
from signalbox.core.errors import ConfigError
from signalbox.planner.plan import Plan, RoutingRow, fingerprint


def stale(plan: Plan, declared: Declared) -> str:
    """Why a plan may not be applied any more, empty when it may."""
    if fingerprint(plan.sources, plan.routing) != plan.fingerprint:
        return "the plan was changed after it was made. Plan again"
    if plan.sources.config != declared.version:
        made = plan.sources.config or "no configuration"
        return f"the plan was made for {made}, and {declared.name} is now {declared.version}. Plan again with --config"
    if plan.checked or plan.status == "infeasible":
        return "the plan breaks its own limits. Plan again"
    return ""


def change_of(plan: Plan, declared: Declared, text: str) -> Change:
    """Raises ConfigError when the plan is stale, or the file cannot be changed so that it means what is planned."""
    why = stale(plan, declared)
    if why:
        raise ConfigError([f"plan: {why}."])
    missing: list[str] = []
    names = _deployments(plan, declared, missing)
    wanted: dict[str, tuple[list[str], str]] = {}
    after = text
    try:
        for name in dict.fromkeys(option for row in plan.routing.values() for option in row.order):
            after = _declare(after, name, plan, declared, names)
        for workload, row in plan.routing.items():
            placements = [names[option] for option in _order(row) if option in names]
            if not placements:
                continue
            strategy = _strategy(row, names)
            wanted[workload] = (placements, strategy)
            after = set_value(after, ("workloads", workload, "placements"), placements)
            after = set_value(after, ("workloads", workload, "strategy"), strategy)
            if strategy == "cascade":
                after = set_value(after, ("workloads", workload, "cascade"), _cascade(placements, declared, workload))
            if row.budget_usd and _unbudgeted(declared, workload):
                budget = {"usd_per_month": row.budget_usd, "hard": False}
                after = set_value(after, ("workloads", workload, "budget"), budget)
            if row.concurrency and wanted[workload][1] == "overflow":
                path = ("deployments", placements[0], "saturation", "in_flight_max")
                after = set_value(after, path, row.concurrency)
    except CannotEdit as error:
        raise ConfigError([f"{declared.name}: {error}: it cannot be edited here. Write it by hand."]) from None
    _agrees(after, declared, wanted)
    return Change(text, after, tuple(dict.fromkeys(missing)))


def _order(row: RoutingRow) -> tuple[str, ...]:
    """The options in the order of placements; whoever a cascade escalates to comes second."""
    if row.escalates_to is None:
        return row.order
    return tuple(dict.fromkeys((row.order[0], row.escalates_to, *row.order)))


def _strategy(row: RoutingRow, names: dict[str, str]) -> str:
    """What the gateway has for it. A cascade of which one model is no deployment yet is the order of what is left."""
    if row.strategy == "cascade":
        pair = (row.order[0], row.escalates_to)
        return "cascade" if pair[0] != pair[1] and all(one in names for one in pair) else "fixed"
    return row.strategy if row.strategy in get_args(Strategy) else "fixed"


def _cascade(placements: list[str], declared: Declared, workload: str) -> dict[str, Any]:
    """The pair as planned, with what the file says besides. The plan has reckoned what both cost, people and machines
    included, so prices by the token are not asked again whether it is worth it."""
    entry = declared.config.workloads.get(workload)
    stated = entry.cascade if entry is not None and entry.cascade is not None else Cascade()
    kept = {"threshold": stated.threshold, "streams": stated.streams}
    return {"weak": placements[0], "strong": placements[1], **kept, "price_ratio_min": 0}


def _unbudgeted(declared: Declared, workload: str) -> bool:
    """Whether nobody has said yet what it may cost: a soft budget then tells when it costs more than was planned."""
    entry = declared.config.workloads.get(workload)
    return entry is None or entry.budget is None


def _deployments(plan: Plan, declared: Declared, missing: list[str]) -> dict[str, str]:
    """Options by the name of their deployment; those that are none yet and cannot be made one are missing."""
    names: dict[str, str] = {}
    for option, place in plan.places.items():
        name = place.deployment or option
        used = any(option in row.order for row in plan.routing.values())
        if name in declared.deployments or (
            place.base_url is not None and place.environment in declared.config.environments
        ):
            names[option] = name
        elif used:
            missing.append(f"{option}: is no deployment yet. Declare it, or give the option `deployment` or `base_url`")
    return names


def _declare(text: str, option: str, plan: Plan, declared: Declared, names: dict[str, str]) -> str:
    place = plan.places[option]
    name = names.get(option)
    if name is None or name in declared.deployments or place.base_url is None:
        return text
    entry: dict[str, Any] = {"environment": place.environment, "model": place.model, "base_url": place.base_url}
    entry |= {"preset": place.preset} if place.preset else {"protocol": "openai"}
    return set_value(text, ("deployments", name), entry)


def _agrees(after: str, declared: Declared, wanted: dict[str, tuple[list[str], str]]) -> None:
    """The changed text read by the gateway's own reader: it says what is planned, and nothing else has changed."""
    new = load_text(after, declared.name).config
    wrong = [
        workload
        for workload, (placements, strategy) in wanted.items()
        if (new.workloads[workload].placements, new.workloads[workload].strategy) != (placements, strategy)
    ]
    wrong += [
        name
        for name, entry in declared.config.workloads.items()
        if name not in wanted and new.workloads.get(name) != entry
    ]
    same = ("environments", "rules", "packs", "vendors", "teams", "aliases")
    wrong += [name for name in same if getattr(new, name) != getattr(declared.config, name)]
    if wrong:
        raise ConfigError([f"{declared.name}: the change would not mean what was planned at {', '.join(wrong)}."])
