"""Obligations: what rules ask to be done about a workload besides routing it, against what the file says is done.

A fact that is not stated is missing. Which obligations apply is judged by what the workload declares, because nobody
knows before a call what detection will find in it; who calls is not known either, so conditions on callers do not lift
an obligation.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from signalbox.config import schema_rules, schema_workloads
from signalbox.config.declared import Declared
from signalbox.core.labels import LEVELS, TAG_BIT
from signalbox.core.snapshot import APIS, Snapshot, Workload
from signalbox.policy.finding import Finding
from signalbox.policy.packs import PackRule, SourcedRule, rules_of
from signalbox.policy.predicates import Judge
from signalbox.policy.rules import permitted_guarded


def findings(declared: Declared, snapshot: Snapshot) -> list[Finding]:
    """Every obligation that a workload misses, with its citation."""
    today = date.fromisoformat(snapshot.day)
    found: list[Finding] = []
    for sourced in rules_of(declared.config):
        if sourced.rule.require is None:
            continue
        level, when = _weight(sourced, today)
        cited = f" ({sourced.rule.source})" if sourced.rule.source else ""
        for workload in snapshot.workloads.values():
            if not _applies(sourced.rule.when, workload):
                continue
            entry = declared.config.workloads.get(workload.name, schema_workloads.Workload())
            missing = [
                *_missing_facts(sourced.rule.require, entry.facts),
                *_missing_documents(sourced.rule.require, entry.facts, today),
                *_missing_of_environments(sourced.rule.require, snapshot, workload, today),
            ]
            found += [
                Finding(
                    level,
                    declared.where(f"workloads.{workload.name}"),
                    f"workload {workload.name!r} does not meet {sourced.id!r}{cited}{when}: {what}.",
                    "obligation",
                )
                for what in missing
            ]
    return found


def _weight(sourced: SourcedRule, today: date) -> tuple[Literal["error", "warning"], str]:
    """How much a miss weighs today, and the words for a date that is still to come or has passed."""
    if sourced.pack is None or not isinstance(sourced.rule, PackRule):
        return sourced.rule.severity, ""
    begins = sourced.rule.effective_from or sourced.pack.effective_from
    if today < date.fromisoformat(begins):
        return "warning", f", due from {begins}"
    if sourced.pack.until is not None and today > date.fromisoformat(sourced.pack.until):
        return "warning", f", in force until {sourced.pack.until}"
    return sourced.rule.severity, ""


def _applies(when: schema_rules.When, workload: Workload) -> bool:
    labels = workload.labels
    return (
        (when.level is None or labels.level >= LEVELS.index(when.level))
        and (not when.data or any(labels.tags & TAG_BIT[tag] for tag in when.data))
        and (not when.regulations or not workload.regulations.isdisjoint(when.regulations))
        and (not when.workloads or workload.name in when.workloads)
    )


def _missing_facts(asked: schema_rules.Require, facts: schema_workloads.Facts) -> list[str]:
    missing: list[str] = []
    if asked.model_pinned and not facts.model_pinned:
        missing.append("facts.model_pinned has to be true")
    days = facts.log_retention_days
    if asked.log_retention_days_min and (days is None or days < asked.log_retention_days_min):
        missing.append(f"facts.log_retention_days {_has(days)}, {asked.log_retention_days_min} or more are asked")
    share = facts.human_review_share
    if asked.human_review_share_min and (share is None or share < asked.human_review_share_min):
        missing.append(f"facts.human_review_share {_has(share)}, {asked.human_review_share_min:g} or more is asked")
    every = facts.eval_every_days
    if asked.eval_every_days_max and (every is None or every > asked.eval_every_days_max):
        missing.append(f"facts.eval_every_days {_has(every)}, {asked.eval_every_days_max} or fewer are asked")
    return missing


def _has(value: float | None) -> str:
    return "is not stated" if value is None else f"is {value:g}"


def _missing_documents(asked: schema_rules.Require, facts: schema_workloads.Facts, today: date) -> list[str]:
    missing: list[str] = []
    for name in asked.documents:
        held = facts.documents.get(name)
        if held is None:
            missing.append(f"facts.documents has no {name!r}")
        elif isinstance(held, schema_workloads.Document) and held.until and today > date.fromisoformat(held.until):
            missing.append(f"document {name!r} lapsed on {held.until}")
    return missing


def _missing_of_environments(
    asked: schema_rules.Require, snapshot: Snapshot, workload: Workload, today: date
) -> list[str]:
    """Environments that the workload may use, in some API, and of which the condition does not hold in all."""
    if asked.environments is None:
        return []
    judge = Judge(snapshot.deployments, today)
    usable, held = 0, judge.everything
    for api in APIS:
        usable |= permitted_guarded(snapshot, workload, workload.labels, False, api)
        held &= judge.certain(asked.environments, api)
    names = dict.fromkeys(
        deployment.environment.name for deployment in snapshot.deployments if (usable & ~held) >> deployment.index & 1
    )
    return [f"environment {name!r}, which it may use, does not satisfy the condition" for name in names]
