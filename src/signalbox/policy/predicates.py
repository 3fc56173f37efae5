"""What rules say about environments, as bitsets of deployments. Pure.

A predicate is judged twice: where it certainly holds, and where it possibly does. They differ where a fact is
unknown, too coarse, or true of processing but not of storage. `allow` demands certainty, and `not` of something is
certain only where that thing is not even possible; so nothing unknown ever opens a way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

from signalbox.config.schema_rules import Predicate
from signalbox.core.snapshot import Attestation, Deployment, Environment

# Bitsets of deployments: where something certainly holds, and where it possibly does; the first is part of the second.
Verdict = tuple[int, int]


class Judge:
    """Judges predicates about one set of deployments on one day; what a single fact yields is computed once."""

    def __init__(self, deployments: tuple[Deployment, ...], today: date) -> None:
        self._deployments = deployments
        self._today = today
        self.everything = (1 << len(deployments)) - 1
        self._facts: dict[tuple[str, str, str], Verdict] = {}

    def certain(self, predicate: Predicate, api: str) -> int:
        """The deployments of which the predicate certainly holds when a client calls them by `api`."""
        return self._judge(predicate, api)[0]

    def _judge(self, predicate: Predicate, api: str) -> Verdict:
        parts: list[Verdict] = []
        if predicate.kind:
            parts.append(_either(self._fact("kind", kind, _of_kind) for kind in predicate.kind))
        if predicate.operator:
            parts.append(_either(self._fact("operator", name, _of_operator) for name in predicate.operator))
        if predicate.region:
            here, here_maybe = _either(self._fact("region", region, _processing) for region in predicate.region)
            there, there_maybe = self._storage(predicate.region)
            parts.append((here & there, here_maybe | there_maybe))
        if predicate.storage_region:
            parts.append(self._storage(predicate.storage_region))
        if predicate.jurisdiction:
            parts.append(_either(self._fact("jurisdiction", region, _law) for region in predicate.jurisdiction))
        if predicate.attests:
            parts.append(self._all_of(self._attested(name, api) for name in predicate.attests))
        if predicate.any:
            parts.append(_either(self._judge(part, api) for part in predicate.any))
        parts += [self._judge(part, api) for part in predicate.all]
        if predicate.not_ is not None:
            sure, maybe = self._judge(predicate.not_, api)
            parts.append((self.everything & ~maybe, self.everything & ~sure))
        # Loading refuses a predicate without a condition; were one to get here, it would open nothing.
        return self._all_of(parts) if parts else (0, self.everything)

    def _all_of(self, verdicts: Iterable[Verdict]) -> Verdict:
        sure = maybe = self.everything
        for one_sure, one_maybe in verdicts:
            sure &= one_sure
            maybe &= one_maybe
        return sure, maybe

    def _storage(self, regions: list[str]) -> Verdict:
        return _either(self._fact("storage_region", region, _storage) for region in regions)

    def _fact(self, key: str, value: str, holds: Callable[[Environment, str], tuple[bool, bool]]) -> Verdict:
        """Where one fact has one value. It depends on the environment alone."""
        found = self._facts.get((key, value, ""))
        if found is None:
            verdicts = [(1 << each.index, *holds(each.environment, value)) for each in self._deployments]
            found = (sum(bit for bit, sure, _ in verdicts if sure), sum(bit for bit, _, maybe in verdicts if maybe))
            self._facts[(key, value, "")] = found
        return found

    def _attested(self, name: str, api: str) -> Verdict:
        """Where an attestation holds today for the API. One that lapsed or covers other APIs possibly does."""
        found = self._facts.get(("attests", name, api))
        if found is None:
            sure = maybe = 0
            for deployment in self._deployments:
                named = [held for held in deployment.environment.attests if held.name == name]
                maybe |= bool(named) << deployment.index
                sure |= any(self._holds(held, deployment, api) for held in named) << deployment.index
            found = self._facts[("attests", name, api)] = (sure, maybe)
        return found

    def _holds(self, held: Attestation, deployment: Deployment, api: str) -> bool:
        if held.until is not None and self._today > date.fromisoformat(held.until):
            return False
        if not held.covers:
            return True
        # What carries the call is the API itself or, where that is missing, any that could stand in for it.
        return api in held.covers if api in deployment.apis else deployment.apis.issubset(held.covers)


def _either(verdicts: Iterable[Verdict]) -> Verdict:
    sure = maybe = 0
    for one_sure, one_maybe in verdicts:
        sure |= one_sure
        maybe |= one_maybe
    return sure, maybe


def _of_kind(place: Environment, kind: str) -> tuple[bool, bool]:
    return place.kind == kind, place.kind == kind


def _of_operator(place: Environment, name: str) -> tuple[bool, bool]:
    holds = place.operator.casefold() == name.casefold()
    return holds, holds or not place.operator


def _processing(place: Environment, region: str) -> tuple[bool, bool]:
    return _within(place.region, region)


def _storage(place: Environment, region: str) -> tuple[bool, bool]:
    return _within(place.storage_region, region)


def _law(place: Environment, region: str) -> tuple[bool, bool]:
    return _within(place.jurisdiction, region)


def _within(place: str, region: str) -> tuple[bool, bool]:
    """(certainly, possibly) in the region. A place told more coarsely than that may be in it, an unknown one too."""
    inside = place == region or place.startswith(f"{region}/")
    return inside, inside or not place or region.startswith(f"{place}/")
