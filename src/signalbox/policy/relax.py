"""The smallest change that would open a placement where rules permit none: for `check` and `explain`, never clients.

Two questions, answered apart: which fewest rules would have to go, and which fewest facts would have to be true of one
environment. The first answer is exact. The second tries every set of up to three facts that the rules themselves name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import combinations

from msgspec import Struct
from msgspec.structs import replace

from signalbox.config.schema import Config
from signalbox.config.schema_rules import Predicate, Rule
from signalbox.core.labels import Labels
from signalbox.core.snapshot import ANYONE, Attestation, Caller, Deployment, Environment, Snapshot, Workload
from signalbox.policy.packs import rules_of
from signalbox.policy.predicates import Judge
from signalbox.policy.rules import PLACEMENTS, applying, refusals

WAYS_MAX = 5
FACTS_MAX = 3
CANDIDATES_MAX = 12
TRIALS_MAX = 5_000

# A fact an environment could state: its key and value, such as ("attests", "baa").
Fact = tuple[str, str]


class Way(Struct, frozen=True):
    """deployment: what it would open. change: what would all have to go, or be true of its environment."""

    deployment: str
    environment: str
    change: tuple[str, ...]


class Relaxation(Struct, frozen=True):
    """rules: ways that give up the fewest rules (`placements` for the workload's own list). facts: ways that need the
    fewest facts, empty when none of up to three does. exact: no set of facts of that size was left untried."""

    rules: tuple[Way, ...]
    facts: tuple[Way, ...]
    exact: bool = True

    def sentence(self) -> str:
        """For people; empty when nothing helps."""
        ways: list[str] = []
        if self.facts:
            way = self.facts[0]
            ways.append(f"environment {way.environment!r} with {' and '.join(way.change)} opens {way.deployment!r}")
        if self.rules:
            way = self.rules[0]
            rules = " and ".join(
                "its own placements" if rule == PLACEMENTS else f"rule {rule!r}" for rule in way.change
            )
            ways.append(f"giving up {rules} opens {way.deployment!r}")
        return f"The smallest changes: {'; '.join(ways)}." if ways else ""


def relaxation(
    config: Config,
    snapshot: Snapshot,
    workload: Workload,
    labels: Labels,
    onward: bool,
    api: str,
    *,
    placed: bool = True,
    caller: Caller = ANYONE,
    kept: int = 0,
) -> Relaxation:
    """What would open at least one deployment. Meant for questions to which `permitted` answers with nothing.
    kept: as for `refusals`."""
    refused = refusals(snapshot, workload, labels, onward, api, placed=placed, caller=caller, kept=kept)
    if len(refused) < len(snapshot.deployments) or not refused:
        return Relaxation((), ())
    fewest = min(len(reasons) for reasons in refused.values())
    rules = [
        _way(snapshot.deployment_by_name[name], (rule for rule, _ in reasons))
        for name, reasons in refused.items()
        if len(reasons) == fewest
    ]
    listed = [
        snapshot.deployment_by_name[name]
        for name, reasons in refused.items()
        if all(rule != PLACEMENTS for rule, _ in reasons)
    ]
    ids = {rule.id for rule in applying(snapshot, workload, labels, caller)}
    in_force = [sourced.rule for sourced in rules_of(config) if sourced.id in ids and sourced.rule.allow is not None]
    today = date.fromisoformat(snapshot.day)
    searches = [_FactSearch(in_force, further, api, today) for further in ((False, True) if onward else (False,))]
    found = [
        search.fewest([one for one in listed if (onward and not kept >> one.index & 1) == further])
        for further, search in enumerate(searches)
    ]
    fewest = min((len(ways[0].change) for ways in found if ways), default=0)
    facts = [way for ways in found for way in ways if len(way.change) == fewest]
    return Relaxation(tuple(rules[:WAYS_MAX]), tuple(facts[:WAYS_MAX]), all(search.exact for search in searches))


def _way(deployment: Deployment, change: Iterable[str]) -> Way:
    return Way(deployment.name, deployment.environment.name, tuple(change))


class _FactSearch:
    """Tries facts on environments. exact: whether everything that should be tried was."""

    def __init__(self, rules: list[Rule], onward: bool, api: str, today: date) -> None:
        self._predicates = [rule.allow for rule in rules if rule.allow is not None]
        self._api = api
        self._today = today
        self._trials = 0
        self.exact = True
        # A rule that lets nothing go further cannot be satisfied by any fact.
        self._hopeless = onward and any(rule.onward == "deny" for rule in rules)
        if onward:
            self._predicates += [rule.onward for rule in rules if isinstance(rule.onward, Predicate)]

    def fewest(self, deployments: list[Deployment]) -> list[Way]:
        if self._hopeless:
            return []
        # Deployments of one environment that speak the same APIs are alike to every rule.
        alike: dict[tuple[str, frozenset[str]], Deployment] = {}
        for deployment in deployments:
            alike.setdefault((deployment.environment.name, deployment.apis), deployment)
        possible = [(each, self._candidates(each)) for each in alike.values()]
        possible = [(each, candidates) for each, candidates in possible if self._may_open(each, candidates)]
        for size in range(1, FACTS_MAX + 1):
            found = [
                _way(deployment, (f"{key} {value}" for key, value in facts))
                for deployment, candidates in possible
                for facts in combinations(candidates, size)
                if self._opens(deployment, facts)
            ]
            if found:
                return found
        return []

    def _candidates(self, deployment: Deployment) -> list[Fact]:
        """The facts that the rules name and that the environment leaves open."""
        place = deployment.environment
        open_keys = [key for key in ("region", "storage_region", "jurisdiction", "operator") if not getattr(place, key)]
        judge = Judge((replace(deployment, index=0),), self._today)
        named = dict.fromkeys(fact for predicate in self._predicates for fact in _facts(predicate))
        found = [
            (key, value)
            for key, value in named
            if (not judge.certain(Predicate(attests=[value]), self._api) if key == "attests" else key in open_keys)
        ]
        self.exact &= len(found) <= CANDIDATES_MAX
        return found[:CANDIDATES_MAX]

    def _may_open(self, deployment: Deployment, candidates: list[Fact]) -> bool:
        """False where even all candidates together open nothing. Known of contracts alone, and without `not`: of two
        regions an environment has one, and under `not` less may be more."""
        if any(key != "attests" for key, _ in candidates) or any(map(_negates, self._predicates)):
            return True
        return self._opens(deployment, tuple(candidates))

    def _opens(self, deployment: Deployment, facts: tuple[Fact, ...]) -> bool:
        keys = [key for key, _ in facts if key != "attests"]
        if len(set(keys)) < len(keys):
            return False
        if self._trials >= TRIALS_MAX:
            self.exact = False
            return False
        self._trials += 1
        changed = replace(deployment, index=0, environment=_with(deployment.environment, facts))
        judge = Judge((changed,), self._today)
        return all(judge.certain(predicate, self._api) for predicate in self._predicates)


def _negates(predicate: Predicate) -> bool:
    return predicate.not_ is not None or any(map(_negates, (*predicate.any, *predicate.all)))


def _facts(predicate: Predicate) -> Iterator[Fact]:
    """The facts that a predicate names, under `not` too: `not` may stand under another one. Trying tells."""
    for key in ("attests", "region", "storage_region", "jurisdiction", "operator"):
        for value in getattr(predicate, key):
            yield key, value
    for part in (*predicate.any, *predicate.all, *([predicate.not_] if predicate.not_ else [])):
        yield from _facts(part)


def _with(place: Environment, facts: tuple[Fact, ...]) -> Environment:
    for key, value in facts:
        if key == "attests":
            place = replace(place, attests=(*place.attests, Attestation(value)))
        elif key == "region":
            place = replace(place, region=value, storage_region=place.storage_region or value)
        else:
            place = replace(place, **{key: value})
    return place
