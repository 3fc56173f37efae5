"""What no single value can tell: names that must exist, be unique or fit together across the whole file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from signalbox.config.allowances import check_budgets
from signalbox.config.certificates import check_certificates
from signalbox.config.choosing import check_choosing
from signalbox.config.declared import operator_of
from signalbox.config.issuers import check_issuers
from signalbox.config.prices import check_prices
from signalbox.config.problems import Path, Problems, did_you_mean, repeated
from signalbox.config.schema import PACKS, Config
from signalbox.config.schema_deployments import Limits
from signalbox.config.schema_places import VendorAttestation
from signalbox.config.schema_rules import Predicate, Require, Rule, Transform
from signalbox.config.schema_words import RESERVED_NAMES
from signalbox.config.schema_workloads import CustomClass, Workload
from signalbox.config.sign_in import check_sign_in
from signalbox.config.told import check_told
from signalbox.core.labels import LEVELS, TAG_BIT
from signalbox.core.snapshot import Timeouts

# How a database's URL begins.
STORE_SCHEMES = ("postgresql://",)
# A predicate in a predicate: deeper than this nobody can say what it means.
PREDICATE_DEPTH_MAX = 8
_LABELS = (*LEVELS, *TAG_BIT)
_PREDICATE_LISTS = ("kind", "region", "storage_region", "jurisdiction", "operator", "attests", "any", "all")


def check(config: Config, problems: Problems) -> None:
    """Puts every contradiction of the file on record."""
    _check_packs(config, problems)
    check_prices(config, problems)
    _check_vendors(config, problems)
    _check_names(config, problems)
    _check_deployments(config, problems)
    for name, workload in config.workloads.items():
        _check_workload(name, workload, config, problems)
        _check_cache(name, workload, config, problems)
    _check_default(config, problems)
    for name, target in config.aliases.items():
        _check_alias(name, target, config, problems)
    for name, team in config.teams.items():
        _check_listed(("teams", name, "workloads"), team.workloads, ("workloads",), problems)
    _check_rules(config, problems)
    check_budgets(config, problems)
    check_issuers(config, problems)
    check_sign_in(config, problems)
    check_told(config, problems)
    check_certificates(config, problems)
    if config.store is not None and not config.store.reveal().startswith(STORE_SCHEMES):
        problems.add(("store",), "is not the URL of a database", f"Begin it with {' or '.join(STORE_SCHEMES)}")


def _check_packs(config: Config, problems: Problems) -> None:
    twice = set(repeated(config.packs))
    for position, pack in enumerate(config.packs):
        if pack not in PACKS:
            problems.add(("packs", position), f"there is no rule pack {pack[:64]!r}", did_you_mean(pack, PACKS))
        elif position in twice:
            problems.add(("packs", position), f"{pack!r} is listed twice", "List it once")


def _check_vendors(config: Config, problems: Problems) -> None:
    first: dict[str, str] = {}
    for operator, vendor in config.vendors.items():
        path: Path = ("vendors", operator)
        before = first.setdefault(operator.casefold(), operator)
        if before != operator:
            problems.add(path, f"{operator!r} is {before!r} above: upper and lower case are alike", "Keep one entry")
        for position, held in enumerate(vendor.attests):
            if not isinstance(held, VendorAttestation):
                continue
            at = (*path, "attests", position, "environments")
            _check_listed(at, held.environments, ("environments",), problems)
            for number, name in enumerate(held.environments):
                place = config.environments.get(name)
                if place is not None and operator_of(place).casefold() != operator.casefold():
                    problems.add((*at, number), f"environment {name!r} is not operated by {operator!r}", "Check both")


def _check_names(config: Config, problems: Problems) -> None:
    """Clients name workloads, deployments and aliases in one and the same field."""
    sections = {"workloads": config.workloads, "deployments": config.deployments, "aliases": config.aliases}
    placed = [(problems.line((section, name)), section, name) for section, names in sections.items() for name in names]
    first: dict[str, tuple[int, str]] = {}
    for line, section, name in sorted(placed):
        if name in RESERVED_NAMES:
            problems.add((section, name), f"the name {name!r} is reserved", "Choose another name")
        elif name in first:
            problems.add(
                (section, name),
                f"the name {name!r} is taken already in {first[name][1]} on line {first[name][0]}",
                "Workloads, deployments and aliases share one set of names: rename one of the two",
            )
        first.setdefault(name, (line, section))
    if not config.workloads and config.default_workload is None and "default" in first:
        problems.add(
            (first["default"][1], "default"),
            "the name 'default' is the workload's that exists when the file declares none",
            "Declare a workload, or choose another name",
        )


def _check_deployments(config: Config, problems: Problems) -> None:
    if not config.deployments and problems.clean(("deployments",)):
        problems.add(("deployments",), "no deployment is declared", "Add at least one: environment, preset and model")
    for name, deployment in config.deployments.items():
        _check_one(("deployments", name, "environment"), deployment.environment, ("environments",), problems)
        if deployment.timeouts.connect_s > deployment.timeouts.total_s:
            usual = Timeouts()
            problems.add(
                ("deployments", name, "timeouts"),
                "connect_s is longer than total_s",
                f"Lower connect_s (usually {usual.connect_s:g}) or raise total_s (usually {usual.total_s:g})",
            )
        _check_shares(name, deployment.limits, problems)
        if deployment.health.open_s > deployment.health.open_s_max:
            problems.add(
                ("deployments", name, "health"), "open_s is longer than open_s_max", "Lower open_s, or raise open_s_max"
            )


def _check_shares(name: str, limits: Limits, problems: Problems) -> None:
    path: Path = ("deployments", name, "limits", "shares")
    if limits.shares and not limits.concurrency:
        problems.add(path, "there is nothing to share without `concurrency`", "State limits.concurrency")
    if sum(share.least_share for share in limits.shares.values()) > 1:
        problems.add(path, "the least shares are more than all of it", "Let their sum be at most 1")
    _check_listed(path, list(limits.shares), ("workloads",), problems)


def _check_cache(name: str, workload: Workload, config: Config, problems: Problems) -> None:
    semantic = workload.cache.semantic if workload.cache is not None else None
    for field in ("embedding", "judge"):
        deployment = getattr(semantic, field, None)
        if deployment is not None and deployment not in config.deployments:
            path: Path = ("workloads", name, "cache", "semantic", field)
            problems.add(path, f"there is no deployment {deployment!r}", did_you_mean(deployment, config.deployments))


def _check_workload(name: str, workload: Workload, config: Config, problems: Problems) -> None:
    path: Path = ("workloads", name)
    _check_labels((*path, "data"), workload.data, problems)
    _check_labels((*path, "opaque"), workload.opaque, problems)
    for custom, declared in workload.classify.custom.items():
        _check_custom((*path, "classify", "custom", custom), declared, problems)
    _check_listed((*path, "placements"), workload.placements, ("deployments",), problems)
    check_choosing(path, workload, config, problems)
    for position in repeated(workload.placements):
        placement = workload.placements[position]
        problems.add((*path, "placements", position), f"{placement!r} is listed twice", "List it once")


def _check_custom(path: Path, declared: CustomClass, problems: Problems) -> None:
    if declared.label not in _LABELS and problems.clean((*path, "label")):
        problems.add(
            (*path, "label"),
            f"there is no data class {declared.label[:64]!r}",
            did_you_mean(declared.label, _LABELS),
        )
    if (declared.pattern is None) == (not declared.words):
        if problems.clean(path):
            problems.add(path, "must have either `pattern` or `words`", "Give one of the two")
    elif declared.pattern is not None:
        why = _wrong_pattern(declared.pattern)
        if why:
            problems.add((*path, "pattern"), why, "Correct the regular expression")
    for position, phrase in enumerate(declared.words):
        if not any(char.isalnum() for char in phrase):
            problems.add((*path, "words", position), "holds no letter and no digit", "Write a word or a phrase")


def _wrong_pattern(pattern: str) -> str:
    """Why a pattern cannot be used, empty when it can."""
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression ({error})"
    return "finds text that is empty" if compiled.search("") is not None else ""


def _check_labels(path: Path, names: list[str], problems: Problems) -> None:
    for position, name in enumerate(names):
        if name not in _LABELS:
            problems.add((*path, position), f"there is no data class {name[:64]!r}", did_you_mean(name, _LABELS))


def _check_default(config: Config, problems: Problems) -> None:
    if config.default_workload is not None:
        _check_one(("default_workload",), config.default_workload, ("workloads",), problems)


def _check_alias(name: str, target: str, config: Config, problems: Problems) -> None:
    if target in config.aliases:
        problems.add(
            ("aliases", name),
            f"{target!r} is an alias itself",
            f"Write {config.aliases[target]!r}, which it stands for",
        )
        return
    _check_one(("aliases", name), target, ("workloads", "deployments"), problems)


def _check_rules(config: Config, problems: Problems) -> None:
    first: dict[str, int] = {}
    for position, rule in enumerate(config.rules):
        path: Path = ("rules", position)
        line = problems.line((*path, "id"))
        if rule.id in first:
            problems.add((*path, "id"), f"{rule.id!r} names a rule on line {first[rule.id]} already", "Rename one")
        first.setdefault(rule.id, line)
        if rule.id.partition(".")[0] in PACKS:
            problems.add((*path, "id"), f"{rule.id!r} is a name for rules of packs", "Choose one without the dot")
        check_rule(path, rule, problems)
        _check_listed((*path, "when", "workloads"), rule.when.workloads, ("workloads",), problems)
        _check_listed((*path, "when", "teams"), rule.when.teams, ("teams",), problems)


def check_rule(path: Path, rule: Rule, problems: Problems) -> None:
    """What can be judged of a rule by itself, whether it stands in a file or in a pack."""
    _check_when(path, rule, problems)
    if rule.allow is not None:
        if not _says_nowhere((*path, "allow"), rule.allow, problems):
            _check_predicate((*path, "allow"), rule.allow, problems, 1)
    elif problems.clean((*path, "allow")):
        _check_without_allow(path, rule, problems)
    if isinstance(rule.onward, Predicate):
        _check_predicate((*path, "onward"), rule.onward, problems, 1)
    if isinstance(rule.transform, Transform):
        _check_predicate((*path, "transform", "allow"), rule.transform.allow, problems, 1)
    if rule.require is not None:
        if rule.require == Require() and problems.clean((*path, "require")):
            problems.add((*path, "require"), "asks for nothing", "Say what has to be done, or leave the key out")
        if rule.require.environments is not None:
            _check_predicate((*path, "require", "environments"), rule.require.environments, problems, 1)


def _says_nowhere(path: Path, allow: Predicate, problems: Problems) -> bool:
    """`any: []` and nothing besides: the one empty list that says what it means."""
    given = [key for key in _PREDICATE_LISTS if (*path, key) in problems.lines]
    return given == ["any"] and allow == Predicate()


def _check_without_allow(path: Path, rule: Rule, problems: Problems) -> None:
    if rule.require is None:
        if problems.clean((*path, "require")):
            problems.add(path, "says neither `allow` nor `require`", "Add `allow`: environments that may be used")
        return
    for key in ("onward", "transform"):
        if (*path, key) in problems.lines:
            problems.add((*path, key), "means nothing without `allow`", "Add `allow`, or leave the key out")


def _check_when(path: Path, rule: Rule, problems: Problems) -> None:
    for position, name in enumerate(rule.when.data):
        at = (*path, "when", "data", position)
        if name in LEVELS:
            problems.add(at, f"{name!r} is a level, not a tag", f"Write `level: {name}`: that level and above")
        elif name not in TAG_BIT:
            problems.add(at, f"there is no data class {name[:64]!r}", did_you_mean(name, TAG_BIT))
    for key in ("data", "regulations", "workloads", "teams", "tenants"):
        at = (*path, "when", key)
        if at in problems.lines and problems.clean(at) and not getattr(rule.when, key):
            problems.add(at, "is an empty list", "List at least one, or leave the key out")


def _check_predicate(path: Path, predicate: Predicate, problems: Problems, depth: int) -> None:
    """An empty predicate would be satisfied by everything, an empty list by nothing: neither is what was meant."""
    if depth > PREDICATE_DEPTH_MAX:
        problems.add(path, f"is nested deeper than {PREDICATE_DEPTH_MAX} predicates", "Split the rule in two")
        return
    given = 0
    for key in _PREDICATE_LISTS:
        values: list[object] = getattr(predicate, key)
        given += bool(values)
        if (*path, key) in problems.lines and not values:
            given += 1
            if problems.clean((*path, key)):
                problems.add((*path, key), "is an empty list", "List at least one, or leave the key out")
    if predicate.not_ is not None:
        given += 1
        _check_predicate((*path, "not"), predicate.not_, problems, depth + 1)
    if not given and problems.clean(path):
        problems.add(path, "states no condition", "Add kind, region, operator, attests, any, all or not")
    for key in ("any", "all"):
        inner: list[Predicate] = getattr(predicate, key)
        for position, part in enumerate(inner):
            _check_predicate((*path, key, position), part, problems, depth + 1)


def _check_listed(path: Path, names: Iterable[str], sections: tuple[str, ...], problems: Problems) -> None:
    for position, name in enumerate(names):
        _check_one((*path, position), name, sections, problems)


def _check_one(path: Path, name: str, sections: tuple[str, ...], problems: Problems) -> None:
    known = problems.names_of(sections)
    if known is not None and name not in known:
        what = " or ".join(section.removesuffix("s") for section in sections)
        problems.add(path, f"there is no {what} {name!r}", did_you_mean(name, known))
