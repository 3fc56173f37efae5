"""What is wrong with a configuration that can be read: findings for `signalbox check`, each with its place."""

from __future__ import annotations

from ipaddress import ip_address

from signalbox.config.declared import Declared
from signalbox.core.labels import Labels
from signalbox.core.snapshot import APIS, CompiledRule, Deployment, Snapshot, Workload
from signalbox.policy.finding import Finding
from signalbox.policy.rules import PLACEMENTS, permitted, refusals

# Endpoints that one and the same conversation may come in by; a workload has to be servable on one of them.
_CONVERSATIONS = ("chat", "responses", "messages", "completions", "embeddings")
_NAMED_MAX = 5


def check(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    """Every finding, errors first. Pure: the snapshot was compiled for a day, and the findings hold for that day."""
    found = [
        *_workloads(declared, snapshot),
        *_rules(declared, snapshot),
        *_deployments(declared, snapshot),
        *_regulations(declared),
        *_environments(declared, snapshot),
        *_secrets(declared, snapshot),
    ]
    return sorted(found, key=lambda finding: finding.level != "error")


def _workloads(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    found: list[Finding] = []
    for workload in snapshot.workloads.values():
        place = declared.where(f"workloads.{workload.name}")
        usable = 0
        for api in _CONVERSATIONS:
            usable |= permitted(snapshot, workload, workload.labels, False, api)
        if not usable:
            found.append(Finding("error", place, _nowhere(snapshot, workload)))
            continue
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


def _nowhere(snapshot: Snapshot, workload: Workload) -> str:
    ids: dict[str, None] = {}
    for api in _CONVERSATIONS:
        for reasons in refusals(snapshot, workload, workload.labels, False, api).values():
            ids |= dict.fromkeys(f"rule {rule!r}" for rule, _ in reasons if rule != PLACEMENTS)
    labels = ", ".join(workload.labels.names())
    return (
        f"workload {workload.name!r} ({labels}) can be served nowhere: every deployment it may use is forbidden by"
        f" {_some(list(ids))}. Add a deployment that they allow, or change placements."
    )


def _refusing(snapshot: Snapshot, workload: Workload, labels: Labels, deployment: Deployment) -> str:
    reasons = refusals(snapshot, workload, labels, False, "chat").get(deployment.name, [])
    return _some([f"rule {rule!r}" for rule, _ in reasons]) if reasons else "rules for its APIs"


def _rules(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    """Rules that never say anything: nothing they apply to, or nothing they forbid."""
    found: list[Finding] = []
    everything = (1 << len(snapshot.deployments)) - 1
    for position, rule in enumerate(snapshot.rules):
        place = declared.where(f"rules[{position}]")
        if not any(_can_apply(rule, workload) for workload in snapshot.workloads.values()):
            found.append(Finding("warning", place, f"rule {rule.id!r} applies to no workload: {_why_dead(rule)}"))
        elif not rule.allow:
            found.append(
                Finding("warning", place, f"rule {rule.id!r} allows no deployment: what it applies to is refused.")
            )
        elif rule.allow == everything and rule.onward == everything:
            found.append(Finding("warning", place, f"rule {rule.id!r} forbids nothing: it allows every deployment."))
    return found


def _can_apply(rule: CompiledRule, workload: Workload) -> bool:
    """Labels can be raised by callers and detection to anything, regulations and names cannot."""
    return (not rule.regulations or not rule.regulations.isdisjoint(workload.regulations)) and (
        not rule.workloads or workload.name in rule.workloads
    )


def _why_dead(rule: CompiledRule) -> str:
    if rule.regulations:
        return f"none that it means is under {_some(sorted(rule.regulations))}. Add it to a workload's regulations."
    return "it names none that exists."


def _deployments(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    found: list[Finding] = []
    reachable = 0
    for workload in snapshot.workloads.values():
        for api in APIS:
            reachable |= permitted(snapshot, workload, workload.labels, False, api)
    for deployment in snapshot.deployments:
        place = declared.where(f"deployments.{deployment.name}")
        if not reachable >> deployment.index & 1:
            found.append(Finding("warning", place, f"deployment {deployment.name!r} can be used by no workload."))
        if not deployment.rates.priced:
            found.append(
                Finding(
                    "warning",
                    place,
                    f"deployment {deployment.name!r} has no price: the catalogue does not know"
                    f" {deployment.model!r}. Its cost will be unknown; add `price`.",
                )
            )
    return found


def _regulations(declared: Declared) -> list[Finding]:
    """A misspelt regulation would leave a workload without the rules that were meant for it."""
    named = {regulation for rule in declared.config.rules for regulation in rule.when.regulations}
    return [
        Finding(
            "warning",
            declared.where(f"workloads.{name}"),
            f"workload {name!r} is under {regulation!r}, which no rule names: it has no effect.",
        )
        for name, workload in declared.config.workloads.items()
        for regulation in workload.regulations
        if regulation not in named
    ]


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
            if deployment.auth is not None and replica.scheme == "http" and not _near(replica.host)
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


def _near(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
