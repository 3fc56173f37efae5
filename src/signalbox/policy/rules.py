"""Rules as bitsets: compiled once from what was declared, then an AND for each rule that applies. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta

from signalbox.config import schema
from signalbox.config.declared import Declared, Target
from signalbox.config.targets import rates_of
from signalbox.core.labels import LEVELS, TAG_BIT, Labels, labels_of
from signalbox.core.snapshot import (
    APIS,
    Attestation,
    CompiledRule,
    Deployment,
    Environment,
    Snapshot,
    Workload,
)
from signalbox.core.usage import Rates
from signalbox.policy.predicates import Judge
from signalbox.pricing.cost import FREE

# The rates of a provider's model on a day (UTC), or None when nobody knows them.
RatesFor = Callable[[str, str, date], Rates | None]

DEFAULT_WORKLOAD = "default"
SELF = "self"
PLACEMENTS = "placements"
MEMO_MAX = 4096

_OWN_KINDS = frozenset(("on-prem", "edge"))
_API_INDEX = {api: index for index, api in enumerate(APIS)}


# --- on the hot path ---


def permitted(
    snapshot: Snapshot, workload: Workload, labels: Labels, onward: bool, api: str, *, placed: bool = True
) -> int:
    """The bitset of deployments that may take content with `labels` for `workload`.

    placed False: whatever the workload's placements are, for a caller who named a deployment and was granted it.

    onward: the call carries content further than the model. api: the client's; where a deployment would be reached
    through another one by translation, attestations have to cover every one it could be.
    The workload's own labels always count, whether or not `labels` holds them.
    """
    key = (workload.name, labels, onward, api, placed)
    found = snapshot.permitted.get(key)
    if found is None:
        found = _evaluate(snapshot, workload, labels, onward, api, placed)
        if len(snapshot.permitted) >= MEMO_MAX:
            snapshot.permitted.clear()
        snapshot.permitted[key] = found
    return found


def _evaluate(snapshot: Snapshot, workload: Workload, labels: Labels, onward: bool, api: str, placed: bool) -> int:
    index = _API_INDEX[api]
    allowed = _placements(snapshot, workload) if placed else (1 << len(snapshot.deployments)) - 1
    for rule in applying(snapshot, workload, labels):
        allowed &= rule.onward_by_api[index] if onward else rule.allow_by_api[index]
    return allowed


def applying(snapshot: Snapshot, workload: Workload, labels: Labels) -> list[CompiledRule]:
    """The rules that apply to content with `labels` of `workload`."""
    labels |= workload.labels
    level, tags, name, regulations = labels.level, labels.tags, workload.name, workload.regulations
    return [
        rule
        for rule in snapshot.rules
        if level >= rule.level
        and (not rule.tags or rule.tags & tags)
        and (not rule.regulations or not rule.regulations.isdisjoint(regulations))
        and (not rule.workloads or name in rule.workloads)
    ]


def _placements(snapshot: Snapshot, workload: Workload) -> int:
    if not workload.placements:
        return (1 << len(snapshot.deployments)) - 1
    return sum(1 << index for index in workload.placements)


def refusals(
    snapshot: Snapshot, workload: Workload, labels: Labels, onward: bool, api: str
) -> dict[str, list[tuple[str, str]]]:
    """Why each deployment that is not permitted is not: (rule id, source), in the order of the file.

    One that the workload does not list has the id `placements`.
    """
    index = _API_INDEX[api]
    listed = _placements(snapshot, workload)
    rules = applying(snapshot, workload, labels)
    found: dict[str, list[tuple[str, str]]] = {}
    for deployment in snapshot.deployments:
        bit = 1 << deployment.index
        reasons = [] if listed & bit else [(PLACEMENTS, f"workload {workload.name} does not list it")]
        reasons += [
            (rule.id, rule.source)
            for rule in rules
            if not (rule.onward_by_api[index] if onward else rule.allow_by_api[index]) & bit
        ]
        if reasons:
            found[deployment.name] = reasons
    return found


# --- at config load ---


def compile_snapshot(declared: Declared, generation: int, now_date: str, rates_for: RatesFor) -> Snapshot:
    """The snapshot that requests read. now_date: today in UTC, ISO: what lapsed before it does not count."""
    today = date.fromisoformat(now_date)
    config = declared.config
    environments = {name: _environment(name, entry) for name, entry in config.environments.items()}
    deployments = tuple(
        _deployment(index, name, target, environments[target.environment], today, rates_for)
        for index, (name, target) in enumerate(declared.deployments.items())
    )
    by_name = {deployment.name: deployment for deployment in deployments}
    judge = Judge(deployments, today)
    workloads = {name: _workload(name, entry, by_name) for name, entry in config.workloads.items()}
    if not workloads:
        workloads[DEFAULT_WORKLOAD] = _workload(DEFAULT_WORKLOAD, schema.Workload(), by_name)
    names = dict.fromkeys(config.aliases, "alias") | dict.fromkeys(by_name, "deployment")
    return Snapshot(
        version=declared.version,
        generation=generation,
        environments=tuple(environments.values()),
        deployments=deployments,
        workloads=workloads,
        default_workload=config.default_workload or next(iter(workloads)),
        names=names | dict.fromkeys(workloads, "workload"),
        deployment_by_name=by_name,
        rules=tuple(_rule(rule, judge) for rule in config.rules),
        body_bytes_max=config.server.body_bytes_max,
        heartbeat_after_s=config.server.heartbeat_after_s,
        aliases=dict(config.aliases),
        teams={name: frozenset(team.workloads) for name, team in config.teams.items()},
        stale_on=_stale_on(environments.values(), today),
    )


def _environment(name: str, entry: schema.Environment) -> Environment:
    own = entry.kind in _OWN_KINDS
    return Environment(
        name=name,
        kind=entry.kind,
        region=entry.region or "",
        storage_region=entry.storage_region or entry.region or "",
        operator=entry.operator or (SELF if own else ""),
        jurisdiction=entry.jurisdiction or "",
        attests=tuple(
            Attestation(held)
            if isinstance(held, str)
            else Attestation(held.name, held.until, held.evidence, tuple(held.covers))
            for held in entry.attests
        ),
    )


def _deployment(
    index: int, name: str, target: Target, environment: Environment, today: date, rates_for: RatesFor
) -> Deployment:
    return Deployment(
        index=index,
        name=name,
        environment=environment,
        protocol=target.protocol,
        model=target.model,
        replicas=target.replicas,
        auth=target.auth,
        apis=target.apis,
        headers=target.headers,
        timeouts=target.timeouts,
        rates=_rates(target, today, rates_for),
        context_tokens=target.context_tokens,
        concurrency=target.concurrency,
        tools=target.tools,
        images=target.images,
        json_schema=target.json_schema,
        prefill=target.prefill,
        stream_usage=target.stream_usage,
        fine_tune_of=target.fine_tune_of,
    )


def _rates(target: Target, today: date, rates_for: RatesFor) -> Rates:
    """Never zero in silence: what nobody priced says so."""
    if isinstance(target.price, schema.Price):
        return rates_of(target.price, target.protocol)
    if target.price == "free":
        return FREE
    found = rates_for(target.catalogue, target.model, today) if target.price and target.catalogue else None
    return found or Rates(priced=False)


def _workload(name: str, entry: schema.Workload, by_name: Mapping[str, Deployment]) -> Workload:
    return Workload(
        name=name,
        labels=labels_of(entry.data),
        regulations=frozenset(entry.regulations),
        placements=tuple(by_name[placement].index for placement in entry.placements),
        strategy=entry.strategy,
        max_attempts=entry.retries.max_attempts,
        opaque=labels_of(entry.opaque),
        strict=entry.strict,
        quality_min=entry.quality_min,
        ttft_p95_ms=entry.ttft_p95_ms,
        max_tokens_default=entry.defaults.max_tokens,
    )


def _stale_on(environments: Iterable[Environment], today: date) -> str | None:
    """The day after the first attestation lapses."""
    ends = [
        date.fromisoformat(held.until)
        for environment in environments
        for held in environment.attests
        if held.until is not None
    ]
    coming = [end for end in ends if today <= end < date.max]
    return (min(coming) + timedelta(days=1)).isoformat() if coming else None


def _rule(rule: schema.Rule, judge: Judge) -> CompiledRule:
    allow = tuple(judge.certain(rule.allow, api) for api in APIS)
    if isinstance(rule.onward, schema.Predicate):
        onward = tuple(here & judge.certain(rule.onward, api) for here, api in zip(allow, APIS, strict=True))
    else:
        onward = allow if rule.onward == "allow" else (0,) * len(APIS)
    tags = 0
    for tag in rule.when.data:
        tags |= TAG_BIT[tag]
    return CompiledRule(
        id=rule.id,
        level=LEVELS.index(rule.when.level) if rule.when.level else 0,
        tags=tags,
        regulations=frozenset(rule.when.regulations),
        workloads=frozenset(rule.when.workloads),
        allow=_common(allow),
        onward=_common(onward),
        source=rule.source or "",
        allow_by_api=allow,
        onward_by_api=onward,
    )


def _common(sets: tuple[int, ...]) -> int:
    common = sets[0]
    for one in sets:
        common &= one
    return common
