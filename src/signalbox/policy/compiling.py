"""What was declared, compiled into the snapshot that requests read: places, workloads, and rules as bitsets. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

import msgspec

from signalbox.config import schema, schema_loops, schema_places, schema_rules, schema_workloads
from signalbox.config.certificates import holders_of
from signalbox.config.declared import Declared, Target, operator_of
from signalbox.config.issuers import issuers_of
from signalbox.config.schema_guards import GuardSetting, settings_of
from signalbox.core.choosing import Scorer
from signalbox.core.guards import GuardUse
from signalbox.core.labels import LEVELS, TAG_BIT, labels_of
from signalbox.core.loops import Loops
from signalbox.core.snapshot import (
    APIS,
    INFRA,
    Attestation,
    Classify,
    CompiledRule,
    CustomClass,
    Deployment,
    Environment,
    Rescue,
    Retries,
    Snapshot,
    Workload,
)
from signalbox.core.tiering import Head
from signalbox.core.usage import PICO, Rates, Tariff
from signalbox.policy import rule_index
from signalbox.policy.allowances import declared_budgets
from signalbox.policy.caching import caching
from signalbox.policy.choosing import cascade_of, check_prices_of_cascades, choosing_of, shadow_of, tiered_of
from signalbox.policy.limits import CRITICALITIES
from signalbox.policy.packs import SourcedRule, pack, rules_of
from signalbox.policy.predicates import Judge
from signalbox.policy.prices import ChangesAfter, RatesFor, TariffFor, never, next_change, nothing_more, price_of
from signalbox.policy.register import Register, stale_on

DEFAULT_WORKLOAD = "default"


def compile_snapshot(
    declared: Declared,
    generation: int,
    now_date: str,
    rates_for: RatesFor,
    tariff_for: TariffFor = nothing_more,
    changes_after: ChangesAfter = never,
) -> Snapshot:
    """The snapshot that requests read. now_date: today in UTC, ISO: what lapsed before it does not count."""
    today = date.fromisoformat(now_date)
    config = declared.config
    register = Register(config)
    environments = {name: _environment(name, entry, register) for name, entry in config.environments.items()}
    deployments = tuple(
        _deployment(
            index,
            name,
            target,
            environments[target.environment],
            price_of(name, target, config, today, rates_for, tariff_for),
        )
        for index, (name, target) in enumerate(declared.deployments.items())
    )
    by_name = {deployment.name: deployment for deployment in deployments}
    rules = _rules(config, deployments, today)
    quality = {name: one.quality for name, one in config.deployments.items() if one.quality is not None}
    workloads = {
        name: _workload(name, entry, by_name, quality, declared.heads, declared.scorers)
        for name, entry in config.workloads.items()
    }
    if not workloads:
        workloads[DEFAULT_WORKLOAD] = _workload(DEFAULT_WORKLOAD, schema_workloads.Workload(), by_name, quality)
    check_prices_of_cascades(declared, workloads, deployments)
    infra = _workload(INFRA, schema_workloads.Workload(), by_name, quality)
    names = dict.fromkeys(config.aliases, "alias") | dict.fromkeys(by_name, "deployment")
    return Snapshot(
        version=_version(declared),
        generation=generation,
        environments=tuple(environments.values()),
        deployments=deployments,
        workloads=workloads,
        default_workload=config.default_workload or next(iter(workloads)),
        names=names | dict.fromkeys(workloads, "workload"),
        deployment_by_name=by_name,
        rules=rules,
        index=rule_index.index_of(rules, {**workloads, INFRA: infra}, len(deployments)),
        body_bytes_max=config.server.body_bytes_max,
        heartbeat_after_s=config.server.heartbeat_after_s,
        aliases=dict(config.aliases),
        conversation_lifetime_s=max(1, round(config.conversations.lifetime_s)),
        issuers=issuers_of(config),
        certificates=holders_of(config),
        trusted_proxies=tuple(config.server.trusted_proxies),
        share_provider_state=config.conversations.share_provider_state,
        teams={name: frozenset(team.workloads) for name, team in config.teams.items()},
        budgets=declared_budgets(config),
        stale_on=_first(stale_on(config, today), next_change(declared, today, changes_after)),
        day=now_date,
        infra=infra,
    )


def without_lapsed(snapshot: Snapshot, config: schema.Config, generation: int, now_date: str) -> Snapshot:
    """A snapshot of this configuration with its rules as of another day: what lapsed before it counts as absent. All
    else stays, prices of an earlier day among it, so that nothing can keep it from being made."""
    today = date.fromisoformat(now_date)
    rules = _rules(config, snapshot.deployments, today)
    return msgspec.structs.replace(
        snapshot,
        generation=generation,
        rules=rules,
        index=rule_index.index_of(rules, {**snapshot.workloads, INFRA: snapshot.infra}, len(snapshot.deployments)),
        stale_on=stale_on(config, today),
        day=now_date,
        permitted={},
    )


def _rules(config: schema.Config, deployments: tuple[Deployment, ...], today: date) -> tuple[CompiledRule, ...]:
    judge = Judge(deployments, today)
    return tuple(
        _rule(sourced, sourced.rule.allow, judge) for sourced in rules_of(config) if sourced.rule.allow is not None
    )


def _version(declared: Declared) -> str:
    """A hash of what is in force: the file's own where nothing else is, packs included where it names any."""
    if not declared.config.packs:
        return declared.version
    parts = [declared.version, *(pack(name).digest for name in declared.config.packs)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[: len(declared.version)]


def _environment(name: str, entry: schema_places.Environment, register: Register) -> Environment:
    return Environment(
        name=name,
        kind=entry.kind,
        region=entry.region or "",
        storage_region=entry.storage_region or entry.region or "",
        operator=operator_of(entry),
        jurisdiction=entry.jurisdiction or "",
        attests=tuple(
            Attestation(held.name, held.until, held.evidence, tuple(held.covers)) for held in register.attests(name)
        ),
    )


def _first(lapse: str | None, change: date | None) -> str | None:
    days = [day for day in (lapse, change.isoformat() if change is not None else None) if day is not None]
    return min(days, default=None)


def _deployment(
    index: int, name: str, target: Target, environment: Environment, price: tuple[Rates, Tariff | None]
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
        rates=price[0],
        tariff=price[1],
        context_tokens=target.context_tokens,
        concurrency=target.concurrency,
        shares=target.shares,
        tools=target.tools,
        images=target.images,
        json_schema=target.json_schema,
        prefill=target.prefill,
        betas=target.betas,
        cache_salt=target.cache_salt,
        no_store=target.no_store,
        stream_usage=target.stream_usage,
        fine_tune_of=target.fine_tune_of,
        health=target.health,
        saturation=target.saturation,
        wake_hold_ns=target.wake_hold_ns,
    )


def _workload(
    name: str,
    entry: schema_workloads.Workload,
    by_name: Mapping[str, Deployment],
    quality: Mapping[str, float],
    heads: Mapping[str, Head] = {},
    scorers: Mapping[str, Scorer] = {},
) -> Workload:
    workload = Workload(
        name=name,
        labels=labels_of(entry.data),
        regulations=frozenset(entry.regulations),
        placements=tuple(by_name[placement].index for placement in entry.placements),
        strategy=entry.strategy,
        retries=_retries(entry.retries),
        opaque=labels_of(entry.opaque),
        strict=entry.strict,
        quality_min=entry.quality_min,
        ttft_p95_ms=entry.ttft_p95_ms,
        max_tokens_default=entry.defaults.max_tokens,
        classify=_classify(entry.classify),
        rescue=_rescue(entry.stream_rescue),
        spill_share_max=entry.overflow.spill_share_max,
        hedge_ns=entry.hedge.after_ms * 1_000_000 if entry.hedge is not None else 0,
        choosing=choosing_of(entry, by_name, quality),
        cascade=cascade_of(entry, by_name, scorers.get(name)),
        tiered=tiered_of(entry, heads.get(name)),
        shadow=shadow_of(entry),
        criticality=CRITICALITIES.index(entry.criticality),
        guards=tuple(_guard(one) for one in entry.guards),
        loops=_loops(entry.loops),
        capture_bytes=entry.capture.bytes_max if entry.capture is not None else 0,
    )
    kept = caching(entry.cache, workload, by_name.values())
    return workload if kept is None else msgspec.structs.replace(workload, cache=kept)


def _loops(entry: schema_loops.Loops | None) -> Loops | None:
    if entry is None:
        return None
    return Loops(entry.same_call_max, entry.same_tool_call_max, max(1, round(entry.window_s)))


def _guard(entry: GuardSetting) -> GuardUse:
    name, settings = settings_of(entry)
    return GuardUse(name, settings, settings.fail == "open", settings.timeout_ms / 1000)


def _retries(entry: schema_workloads.Retries) -> Retries:
    return Retries(
        max_attempts=entry.max_attempts,
        total_ns=round(entry.total_s * 1e9),
        cost_pico=None if entry.cost_usd is None else round(entry.cost_usd * PICO),
        backoff_s=entry.backoff_s,
        retry_after_s_max=entry.retry_after_s_max,
    )


def _rescue(entry: bool | schema_workloads.StreamRescue) -> Rescue | None:
    if entry is False:
        return None
    told = schema_workloads.StreamRescue() if entry is True else entry
    return Rescue(told.hold_tokens, told.hold_ms)


def _classify(entry: schema_workloads.Classification) -> Classify:
    detectors = None if entry.detectors == "all" else () if entry.detectors == "off" else tuple(entry.detectors)
    custom = (CustomClass(name, one.label, one.pattern or "", tuple(one.words)) for name, one in entry.custom.items())
    return Classify(detectors, tuple(custom))


def _rule(sourced: SourcedRule, allows: schema_rules.Predicate, judge: Judge) -> CompiledRule:
    rule, when = sourced.rule, sourced.rule.when
    allow = tuple(judge.certain(allows, api) for api in APIS)
    guard, guarded = "", allow
    if isinstance(rule.transform, schema_rules.Transform):
        guard, besides = rule.transform.guard, rule.transform.allow
        guarded = tuple(here | judge.certain(besides, api) for here, api in zip(allow, APIS, strict=True))
    elif rule.transform is not None:
        guard, guarded = rule.transform, (judge.everything,) * len(APIS)
    onward, guarded_onward = _further(rule.onward, allow, judge), _further(rule.onward, guarded, judge)
    tags = 0
    for tag in when.data:
        tags |= TAG_BIT[tag]
    return CompiledRule(
        id=sourced.id,
        level=LEVELS.index(when.level) if when.level else 0,
        tags=tags,
        regulations=frozenset(when.regulations),
        workloads=frozenset(when.workloads),
        teams=frozenset(when.teams),
        tenants=frozenset(when.tenants),
        allow=_common(allow),
        onward=_common(onward),
        source=rule.source or "",
        allow_by_api=allow,
        onward_by_api=onward,
        guard=guard,
        guarded_by_api=guarded,
        guarded_onward_by_api=guarded_onward,
    )


def _further(onward: str | schema_rules.Predicate, allowed: tuple[int, ...], judge: Judge) -> tuple[int, ...]:
    """The part of `allowed` that may be used when the call carries content further."""
    if isinstance(onward, schema_rules.Predicate):
        return tuple(here & judge.certain(onward, api) for here, api in zip(allowed, APIS, strict=True))
    return allowed if onward == "allow" else (0,) * len(APIS)


def _common(sets: tuple[int, ...]) -> int:
    common = sets[0]
    for one in sets:
        common &= one
    return common
