"""What is wrong with a configuration that can be read: findings for `signalbox check`, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from signalbox.config import schema_guards, schema_rules
from signalbox.config.address import is_loopback, is_private
from signalbox.config.declared import Declared
from signalbox.core.labels import Labels, labels_of
from signalbox.core.snapshot import ANSWERING, ANYONE, APIS, Caller, CompiledRule, Deployment, Snapshot, Workload
from signalbox.policy import obligations, register
from signalbox.policy.finding import Finding
from signalbox.policy.packs import packs_of, rules_of, shipped_for
from signalbox.policy.relax import relaxation
from signalbox.policy.rules import PLACEMENTS, permitted, permitted_guarded, refusals

_NAMED_MAX = 5
# Workloads without a placement for which `check` searches the smallest change.
RELAXED_MAX = 20


def check(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    """Every finding, errors first. Pure: the snapshot was compiled for a day, and the findings hold for that day."""
    found = [
        *_workloads(declared, snapshot),
        *_rules(declared, snapshot),
        *_deployments(declared, snapshot),
        *_packs(declared, snapshot),
        *_regulations(declared),
        *_detection(declared),
        *_environments(declared, snapshot),
        *_secrets(declared, snapshot),
        *register.findings(declared, date.fromisoformat(snapshot.day)),
        *obligations.findings(declared, snapshot),
    ]
    return sorted(found, key=lambda finding: finding.level != "error")


def due(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    """The part of `check` that changes with the day: what runs out and what is owed. Quick enough for every load."""
    found = [
        *register.findings(declared, date.fromisoformat(snapshot.day)),
        *obligations.findings(declared, snapshot),
    ]
    return [finding for finding in found if finding.about]


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are: by level, and by what they are about where that is counted."""
    found = {"error": 0, "warning": 0, "expired": 0, "expiring": 0, "obligation": 0}
    for finding in findings:
        found[finding.level] += 1
        if finding.about:
            found[finding.about] += 1
    return found


def _workloads(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    found: list[Finding] = []
    searches = RELAXED_MAX
    for workload in snapshot.workloads.values():
        place = declared.where(f"workloads.{workload.name}")
        usable = _usable(snapshot, workload)
        if not usable:
            why = _nowhere(snapshot, workload)
            found.append(Finding("error", place, f"{why}{_relaxed(declared, snapshot, workload, searches)}"))
            searches -= 1
            continue
        found += [
            Finding("warning", place, f"workload {workload.name!r} can be served nowhere for callers of {who}.")
            for who, caller in _callers(snapshot, workload)
            if not _usable(snapshot, workload, caller)
        ]
        for index in workload.placements:
            deployment = snapshot.deployments[index]
            if not usable >> index & 1:
                rules = _refusing(snapshot, workload, workload.labels, deployment)
                found.append(
                    Finding(
                        "warning",
                        place,
                        f"workload {workload.name!r} lists {deployment.name!r}, which is forbidden even for its own"
                        f" data classes by {rules}. Take it off the list, or change the rule.",
                    )
                )
    if len(snapshot.workloads) > 1 and declared.config.default_workload is None:
        found.append(
            Finding(
                "warning",
                declared.where("workloads"),
                f"no default_workload is set: calls that name none run as {snapshot.default_workload!r}, the first of"
                " the file. Set default_workload.",
            )
        )
    return found


def _usable(snapshot: Snapshot, workload: Workload, caller: Caller = ANYONE) -> int:
    """On any of the endpoints that a conversation may come in by: it has to be servable on one of them."""
    usable = 0
    for api in ANSWERING:
        usable |= permitted_guarded(snapshot, workload, workload.labels, False, api, caller=caller)
    return usable


def _callers(snapshot: Snapshot, workload: Workload) -> Iterator[tuple[str, Caller]]:
    """The teams and tenants that rules tell apart and that may use the workload."""
    for team in sorted({team for rule in snapshot.rules for team in rule.teams}):
        if not snapshot.teams.get(team) or workload.name in snapshot.teams[team]:
            yield f"team {team!r}", ("", team)
    for tenant in sorted({tenant for rule in snapshot.rules for tenant in rule.tenants}):
        yield f"tenant {tenant!r}", (tenant, "")


def _relaxed(declared: Declared, snapshot: Snapshot, workload: Workload, searches: int) -> str:
    """What would open a placement, for the first workloads that have none: the search takes time."""
    if searches <= 0:
        return ""
    sentence = relaxation(declared.config, snapshot, workload, workload.labels, False, "chat").sentence()
    return f" {sentence}" if sentence else ""


def _nowhere(snapshot: Snapshot, workload: Workload) -> str:
    ids: dict[str, None] = {}
    for api in ANSWERING:
        for reasons in refusals(snapshot, workload, workload.labels, False, api).values():
            ids |= dict.fromkeys(f"rule {rule!r}" for rule, _ in reasons if rule != PLACEMENTS)
    labels = ", ".join(workload.labels.names())
    return (
        f"workload {workload.name!r} ({labels}) can be served nowhere: every deployment it may use is forbidden by"
        f" {_some(list(ids))}. Add a deployment that they allow, or change placements."
        f"{''.join(_opening(snapshot, workload, guard) for guard in sorted(snapshot.index.guards))}"
    )


def _opening(snapshot: Snapshot, workload: Workload, guard: str) -> str:
    """What a guard that rules count on, and that the workload does not list, would open."""
    opened = 0
    for api in ANSWERING:
        opened |= permitted(snapshot, workload, workload.labels, False, api, guard=guard)
    names = [repr(one.name) for one in snapshot.deployments if opened >> one.index & 1]
    return f" With guard {guard!r} the workload may use {_some(names)}." if names else ""


def _refusing(snapshot: Snapshot, workload: Workload, labels: Labels, deployment: Deployment) -> str:
    reasons = refusals(snapshot, workload, labels, False, "chat").get(deployment.name, [])
    return _some([f"rule {rule!r}" for rule, _ in reasons]) if reasons else "rules for its APIs"


def _rules(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    """Rules that never say anything: nothing they apply to, or nothing they forbid."""
    found: list[Finding] = []
    everything = (1 << len(snapshot.deployments)) - 1
    sources = [sourced for sourced in rules_of(declared.config) if sourced.rule.allow is not None]
    for sourced, rule in zip(sources, snapshot.rules, strict=True):
        place = declared.where(sourced.place)
        over = [workload for workload in snapshot.workloads.values() if _can_apply(rule, workload, snapshot)]
        if not over:
            if sourced.pack is None:
                found.append(Finding("warning", place, f"rule {rule.id!r} applies to no workload: {_why_dead(rule)}"))
        elif not rule.allow and sourced.rule.allow != schema_rules.Predicate():
            found.append(
                Finding("warning", place, f"rule {rule.id!r} allows no deployment: what it applies to is refused.")
            )
        elif sourced.pack is None and rule.allow == everything and rule.onward == everything:
            found.append(Finding("warning", place, f"rule {rule.id!r} forbids nothing: it allows every deployment."))
        listed = {use.name for workload in over for use in workload.guards}
        if sourced.pack is None and rule.guard and rule.guard not in listed:
            what = f"rule {rule.id!r} counts on guard {rule.guard!r}, which no workload that it applies to lists"
            found.append(Finding("warning", place, f"{what}: only its `allow` has effect."))
    return found


def _packs(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    """What an operator should know of the packs in force: their dates, and what nobody has verified."""
    found: list[Finding] = []
    for position, pack in enumerate(packs_of(declared.config)):
        place = declared.where(f"packs[{position}]")
        if pack.until is not None and snapshot.day > pack.until:
            instead = f" Use {pack.successor!r} instead." if pack.successor else ""
            what = f"pack {pack.id!r} is about a regulation in force until {pack.until}, {pack.status} since."
            found.append(Finding("warning", place, f"{what}{instead}"))
        elif snapshot.day < pack.effective_from:
            what = f"pack {pack.id!r} is about a regulation in force from {pack.effective_from}"
            found.append(Finding("warning", place, f"{what}; its placement rules apply already."))
        unverified = [rule.id for rule in pack.rules if rule.verified == "unverified"]
        if unverified:
            what = f"pack {pack.id!r} has rules that nobody verified against their source ({_some(unverified)})"
            found.append(Finding("warning", place, f"{what}: they apply; have them checked."))
        meant = [w for w in snapshot.workloads.values() if not w.regulations.isdisjoint(pack.regulations)]
        if not meant and all(rule.when.regulations for rule in pack.rules):
            what = f"pack {pack.id!r} applies to no workload: none is under {_some(pack.regulations)}."
            found.append(Finding("warning", place, what))
        expected = labels_of(pack.expects).tags
        found += [
            Finding(
                "warning",
                declared.where(f"workloads.{workload.name}"),
                f"workload {workload.name!r} is under {pack.id!r} but declares none of {_some(pack.expects)}: rules"
                " about them hold only for what detection finds, and it misses some. Declare what it handles.",
            )
            for workload in meant
            if expected and not workload.labels.tags & expected
        ]
    return found


def _can_apply(rule: CompiledRule, workload: Workload, snapshot: Snapshot) -> bool:
    """Labels can be raised by callers and detection to anything, regulations and names cannot."""
    return (
        (not rule.regulations or not rule.regulations.isdisjoint(workload.regulations))
        and (not rule.workloads or workload.name in rule.workloads)
        and (
            not rule.teams
            or any(not snapshot.teams.get(team) or workload.name in snapshot.teams[team] for team in rule.teams)
        )
    )


def _why_dead(rule: CompiledRule) -> str:
    if rule.regulations:
        return f"none that it means is under {_some(sorted(rule.regulations))}. Add it to a workload's regulations."
    return "it names none that exists."


def _asked_beside(snapshot: Snapshot, workload: Workload) -> int:
    """The bitset of deployments that its guards, cache, cascade and shadow ask by name, whatever its placements."""
    names: set[str] = {
        use.options.deployment for use in workload.guards if isinstance(use.options, schema_guards.ASKING)
    }
    if workload.cache is not None and workload.cache.semantic is not None:
        names |= {workload.cache.semantic.embedding, workload.cache.semantic.judge}
    if workload.shadow is not None:
        names |= {workload.shadow.weak, workload.shadow.strong, workload.shadow.judge}
    asked = sum(1 << one.index for one in snapshot.deployments if one.name in names)
    for index in workload.cascade.agrees_with if workload.cascade is not None else ():
        asked |= 1 << index
    return asked


def _deployments(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    found: list[Finding] = []
    reachable = 0
    for workload in snapshot.workloads.values():
        beside = _asked_beside(snapshot, workload)
        for api in APIS:
            reachable |= permitted_guarded(snapshot, workload, workload.labels, False, api)
            reachable |= permitted_guarded(snapshot, workload, workload.labels, False, api, placed=False) & beside
    for deployment in snapshot.deployments:
        place = declared.where(f"deployments.{deployment.name}")
        if not reachable >> deployment.index & 1:
            found.append(Finding("warning", place, f"deployment {deployment.name!r} can be used by no workload."))
        for origin in deployment.replicas:
            if is_private(origin.host) and not origin.private:
                found.append(
                    Finding(
                        "warning",
                        place,
                        f"deployment {deployment.name!r} has a private address ({origin.name}), and its allow_private"
                        " is false: no call will get there.",
                    )
                )
        if not deployment.rates.priced:
            found.append(
                Finding(
                    "warning",
                    place,
                    f"deployment {deployment.name!r} has no price: the catalogue does not know"
                    f" {deployment.model!r}. Its cost will be unknown, and calls under a budget in"
                    " dollars are refused; add `price`.",
                )
            )
    return found


def _regulations(declared: Declared) -> list[Finding]:
    """A misspelt regulation would leave a workload without the rules that were meant for it."""
    named = {regulation for sourced in rules_of(declared.config) for regulation in sourced.rule.when.regulations}
    named |= {regulation for pack in packs_of(declared.config) for regulation in pack.regulations}
    return [
        Finding(
            "warning",
            declared.where(f"workloads.{name}"),
            f"workload {name!r} is under {regulation!r}, which no rule names: it has no effect.{_pack_for(regulation)}",
        )
        for name, workload in declared.config.workloads.items()
        for regulation in workload.regulations
        if regulation not in named
    ]


def _pack_for(regulation: str) -> str:
    shipped = shipped_for(regulation)
    return f" Add {shipped!r} to `packs`." if shipped else ""


def _detection(declared: Declared) -> list[Finding]:
    """Detection is on unless somebody says otherwise, and whoever checks should see that."""
    found: list[Finding] = []
    for name, workload in declared.config.workloads.items():
        chosen = workload.classify.detectors
        if chosen == "off" or not chosen:
            what = "looks for nothing in the text of its calls" + (
                " but its own patterns and words" if workload.classify.custom else ""
            )
        elif chosen != "all":
            what = f"looks with {_some(sorted(chosen))} only"
        else:
            continue
        found.append(
            Finding(
                "warning",
                declared.where(f"workloads.{name}.classify"),
                f"workload {name!r} {what}: other content keeps only the data classes that are declared.",
            )
        )
    return found


def _environments(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    used = {deployment.environment.name for deployment in snapshot.deployments}
    found: list[Finding] = []
    for name, environment in declared.config.environments.items():
        place = declared.where(f"environments.{name}")
        if name not in used:
            found.append(Finding("warning", place, f"environment {name!r} has no deployment."))
        if environment.region is None and snapshot.rules:
            found.append(
                Finding("warning", place, f"environment {name!r} has no region: no rule about regions allows it.")
            )
    return found


def _secrets(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    found = [
        Finding("warning", declared.where(place), f"{place} stands in the file itself. Use ${{NAME}} or file:/path.")
        for place in declared.inline_secrets
    ]
    for deployment in snapshot.deployments:
        open_hosts = [
            replica.host
            for replica in deployment.replicas
            if deployment.auth is not None and replica.scheme == "http" and not is_loopback(replica.host)
        ]
        if open_hosts:
            found.append(
                Finding(
                    "warning",
                    declared.where(f"deployments.{deployment.name}"),
                    f"deployment {deployment.name!r} sends its credential unencrypted to {_some(open_hosts)}."
                    " Use https.",
                )
            )
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
