"""Rules turned on their side at load, so that a decision takes a few ANDs over all rules at once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from signalbox.core.labels import LEVELS, TAG_BIT, Labels
from signalbox.core.snapshot import ANYONE, APIS, Caller, CompiledRule, RuleIndex, Workload

# With no more different answers than these among its rules, one AND for each is quicker than one for eight rules.
_SHORT = 16
# Sets of rules, with what remains of the deployments where one of a set applies.
_Pairs = tuple[tuple[int, int], ...]
# What remains where some of eight rules apply, at each of their 256 combinations; then of the next eight.
_Tables = tuple[tuple[int, ...], ...]
_Answers = tuple[_Pairs, _Tables]


def index_of(rules: tuple[CompiledRule, ...], workloads: Mapping[str, Workload], deployments: int) -> RuleIndex:
    """deployments: how many there are."""
    teams = {"", *(name for rule in rules for name in rule.teams)}
    tenants = {"", *(name for rule in rules for name in rule.tenants)}
    guards = frozenset(rule.guard for rule in rules if rule.guard)
    return RuleIndex(
        levels=tuple(_where(rules, lambda rule, at=at: at >= rule.level) for at in range(len(LEVELS))),
        tags=tuple(_where(rules, lambda rule, bit=bit: bool(rule.tags & bit)) for bit in TAG_BIT.values()),
        untagged=_where(rules, lambda rule: not rule.tags),
        workloads={name: _of_workload(rules, workload) for name, workload in workloads.items()},
        teams={name: _where(rules, lambda rule, n=name: not rule.teams or n in rule.teams) for name in teams},
        tenants={name: _where(rules, lambda rule, n=name: not rule.tenants or n in rule.tenants) for name in tenants},
        placements={name: _placements(workload, deployments) for name, workload in workloads.items()},
        guards=guards,
        answers=_by_use(rules, guards, deployments),
    )


def applying(index: RuleIndex, workload: Workload, labels: Labels, caller: Caller = ANYONE) -> int:
    """The bitset of rules that apply to content with `labels`, the workload's own included, from `caller`."""
    level, tags = max(labels.level, workload.labels.level), labels.tags | workload.labels.tags
    applies, by_tag = index.untagged, index.tags
    while tags:
        applies |= by_tag[tags.bit_length() - 1]
        tags ^= 1 << tags.bit_length() - 1
    team, tenant = caller[1], caller[0]
    return applies & index.levels[level] & index.workloads[workload.name] & index.teams[team] & index.tenants[tenant]


def remaining(answers: _Answers, applies: int, found: int) -> int:
    """What remains of the deployments in `found` where the rules in `applies` apply."""
    pairs, tables = answers
    for rules, remains in pairs:
        if applies & rules:
            found &= remains
    if tables:
        for table, eight in zip(tables, applies.to_bytes(len(tables), "little"), strict=True):
            found &= table[eight]
    return found


def allowed_by(rule: CompiledRule, onward: bool, api_index: int, guard: str = "") -> int:
    """The bitset of deployments that one rule, where it applies, allows."""
    if guard and rule.guard == guard:
        return rule.guarded_onward_by_api[api_index] if onward else rule.guarded_by_api[api_index]
    return rule.onward_by_api[api_index] if onward else rule.allow_by_api[api_index]


def _where(rules: Iterable[CompiledRule], holds: Callable[[CompiledRule], bool]) -> int:
    return sum(1 << at for at, rule in enumerate(rules) if holds(rule))


def _of_workload(rules: Iterable[CompiledRule], workload: Workload) -> int:
    name, regulations = workload.name, workload.regulations
    return _where(
        rules,
        lambda rule: (
            (not rule.workloads or name in rule.workloads)
            and (not rule.regulations or not rule.regulations.isdisjoint(regulations))
        ),
    )


def _placements(workload: Workload, deployments: int) -> int:
    if not workload.placements:
        return (1 << deployments) - 1
    return sum(1 << at for at in workload.placements)


def _by_use(
    rules: tuple[CompiledRule, ...], guards: frozenset[str], deployments: int
) -> dict[tuple[str, bool, int], _Answers]:
    known: dict[tuple[int, ...], _Answers] = {}
    answers: dict[tuple[str, bool, int], _Answers] = {}
    for guard in ("", *guards):
        for onward in (False, True):
            for api in range(len(APIS)):
                # Most rules say the same of every API, so few tables differ.
                allows = tuple(allowed_by(rule, onward, api, guard) for rule in rules)
                if allows not in known:
                    known[allows] = _answers(allows, deployments)
                answers[guard, onward, api] = known[allows]
    return answers


def _answers(allows: tuple[int, ...], deployments: int) -> _Answers:
    everything = (1 << deployments) - 1
    by_answer: dict[int, int] = {}
    for at, allow in enumerate(allows):
        if allow & everything != everything:
            by_answer[allow & everything] = by_answer.get(allow & everything, 0) | 1 << at
    if len(by_answer) <= _SHORT:
        return tuple((rules, allow) for allow, rules in by_answer.items()), ()
    # Combinations have few different answers, and each is held once: a table is 256 references then.
    same: dict[int, int] = {}
    tables: list[tuple[int, ...]] = []
    for at in range(0, len(allows), 8):
        table = [everything]
        for allow in allows[at : at + 8]:
            table += [same.setdefault(both, both) for both in [one & allow for one in table]]
        tables.append(tuple(table))
    return (), tuple(tables)
