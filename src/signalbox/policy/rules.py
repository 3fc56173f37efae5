"""Rules as bitsets: compiled once from what was declared, then an AND for each rule that applies. Pure.

A predicate is judged twice: whether it certainly holds, and whether it possibly does. They differ where a fact is
unknown, too coarse, or true of processing but not of storage. `allow` demands certainty, and `not` of something is
certain only where that thing is not even possible; so nothing unknown ever opens a way.
"""

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
from signalbox.pricing.cost import FREE

# The rates of a provider's model on a day (UTC), or None when nobody knows them.
RatesFor = Callable[[str, str, date], Rates | None]

DEFAULT_WORKLOAD = "default"
SELF = "self"
PLACEMENTS = "placements"
MEMO_MAX = 4096

# One of the deployments that no predicate can tell apart, and the bits of all of them.
_Group = tuple[Deployment, int]

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
        rules=_compile_rules(config.rules, deployments, today),
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


def _compile_rules(
    rules: list[schema.Rule], deployments: tuple[Deployment, ...], today: date
) -> tuple[CompiledRule, ...]:
    alike: dict[tuple[str, frozenset[str]], list[Deployment]] = {}
    for deployment in deployments:
        alike.setdefault((deployment.environment.name, deployment.apis), []).append(deployment)
    groups = [(members[0], sum(1 << member.index for member in members)) for members in alike.values()]
    by_api = {held.name for deployment in deployments for held in deployment.environment.attests if held.covers}
    return tuple(_rule(rule, groups, by_api, today) for rule in rules)


def _rule(rule: schema.Rule, groups: list[_Group], by_api: set[str], today: date) -> CompiledRule:
    allow = _bits_by_api(rule.allow, groups, by_api, today)
    if isinstance(rule.onward, schema.Predicate):
        further = _bits_by_api(rule.onward, groups, by_api, today)
        onward = tuple(here & there for here, there in zip(allow, further, strict=True))
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


def _bits_by_api(predicate: schema.Predicate, groups: list[_Group], by_api: set[str], today: date) -> tuple[int, ...]:
    """Judged once where no attestation in it depends on the API: that is the rule, and six times cheaper."""
    if by_api.isdisjoint(_attestations(predicate)):
        return (_bits(predicate, groups, APIS[0], today),) * len(APIS)
    return tuple(_bits(predicate, groups, api, today) for api in APIS)


def _attestations(predicate: schema.Predicate) -> set[str]:
    found = set(predicate.attests)
    for part in (*predicate.any, *predicate.all, *((predicate.not_,) if predicate.not_ else ())):
        found |= _attestations(part)
    return found


def _bits(predicate: schema.Predicate, groups: list[_Group], api: str, today: date) -> int:
    bits = 0
    for deployment, members in groups:
        if _judge(predicate, deployment, api, today)[0]:
            bits |= members
    return bits


def _judge(predicate: schema.Predicate, deployment: Deployment, api: str, today: date) -> tuple[bool, bool]:
    """(certainly, possibly) of all conditions of one predicate together."""
    parts = [_judge_fact(predicate, key, deployment, api, today) for key in _FACTS if getattr(predicate, key)]
    if predicate.any:
        inner = [_judge(part, deployment, api, today) for part in predicate.any]
        parts.append((any(sure for sure, _ in inner), any(maybe for _, maybe in inner)))
    parts += [_judge(part, deployment, api, today) for part in predicate.all]
    if predicate.not_ is not None:
        sure, maybe = _judge(predicate.not_, deployment, api, today)
        parts.append((not maybe, not sure))
    return all(sure for sure, _ in parts), all(maybe for _, maybe in parts)


_FACTS = ("kind", "region", "storage_region", "jurisdiction", "operator", "attests")


def _judge_fact(
    predicate: schema.Predicate, key: str, deployment: Deployment, api: str, today: date
) -> tuple[bool, bool]:
    place = deployment.environment
    match key:
        case "kind":
            holds = place.kind in predicate.kind
            return holds, holds
        case "operator":
            holds = place.operator.casefold() in {name.casefold() for name in predicate.operator}
            return holds, holds or not place.operator
        case "region":
            here, stored = _within(place.region, predicate.region), _within(place.storage_region, predicate.region)
            return here[0] and stored[0], here[1] or stored[1]
        case "storage_region":
            return _within(place.storage_region, predicate.storage_region)
        case "jurisdiction":
            return _within(place.jurisdiction, predicate.jurisdiction)
        case _:
            names = predicate.attests
            return (
                all(_attested(name, deployment, api, today) for name in names),
                {held.name for held in place.attests}.issuperset(names),
            )


def _within(place: str, wanted: list[str]) -> tuple[bool, bool]:
    """(certainly, possibly) in one of the wanted regions. A place told more coarsely than wanted may be in it."""
    if not place:
        return False, True
    inside = any(place == region or place.startswith(f"{region}/") for region in wanted)
    return inside, inside or any(region.startswith(f"{place}/") for region in wanted)


def _attested(name: str, deployment: Deployment, api: str, today: date) -> bool:
    """Whether an attestation holds today for the API in use."""
    return any(
        held.name == name
        and (held.until is None or today <= date.fromisoformat(held.until))
        and (not held.covers or _covered(held, deployment, api))
        for held in deployment.environment.attests
    )


def _covered(held: Attestation, deployment: Deployment, api: str) -> bool:
    """Whether whatever carries the call is covered: the API itself, or each that could stand in for it."""
    if api in deployment.apis:
        return api in held.covers
    return deployment.apis.issubset(held.covers)
