"""Where each workload may go under the configuration in force, and which rule forbids the rest."""

from __future__ import annotations

import msgspec

from signalbox.core.labels import Labels
from signalbox.core.snapshot import ANSWERING, ANYONE, Snapshot, Workload
from signalbox.policy import rules


class Reason(msgspec.Struct, frozen=True):
    """rule: its id, `placements` for what the workload itself does not list."""

    rule: str
    source: str


class Placement(msgspec.Struct, frozen=True):
    """One deployment as a workload sees it. listed: its place in the workload's own list, 0 for none. permitted: by
    every rule, on some endpoint, once the workload's guards have done their work."""

    deployment: str
    environment: str
    kind: str
    region: str
    model: str
    listed: int
    permitted: bool
    reasons: tuple[Reason, ...]


def placements_of(snapshot: Snapshot, workload: Workload, labels: Labels | None = None) -> list[Placement]:
    """Of every deployment, those that may be used first. labels: of a call, the workload's own floor when None."""
    labels = workload.labels if labels is None else labels | workload.labels
    open_ = 0
    for api in ANSWERING:  # the most open one is shown: what is forbidden there is forbidden on each
        open_ |= rules.permitted_guarded(snapshot, workload, labels, False, api, caller=ANYONE)
    refused = rules.refusals(snapshot, workload, labels, False, "chat")
    order = {index: place for place, index in enumerate(workload.placements, start=1)}
    found = [
        Placement(
            one.name,
            one.environment.name,
            one.environment.kind,
            one.environment.region,
            one.model,
            order.get(one.index, 0),
            bool(open_ >> one.index & 1),
            () if open_ >> one.index & 1 else tuple(Reason(*each) for each in refused.get(one.name, [])),
        )
        for one in snapshot.deployments
    ]
    return sorted(found, key=lambda one: (not one.permitted, one.listed or 10_000, one.deployment))


class Closed(msgspec.Struct, frozen=True):
    """An environment that rules keep a workload from, wholly. rules: which."""

    workload: str
    environment: str
    rules: tuple[str, ...]


def closed_routes(snapshot: Snapshot, workload: Workload) -> list[Closed]:
    """Environments none of whose deployments the rules let the workload use; its own list is no rule."""
    by_place: dict[str, list[Placement]] = {}
    for one in placements_of(snapshot, workload):
        by_place.setdefault(one.environment, []).append(one)
    closed: list[Closed] = []
    for name, ones in by_place.items():
        forbidding = [
            tuple(reason.rule for reason in one.reasons if reason.rule != rules.PLACEMENTS)
            for one in ones
            if not one.permitted
        ]
        if len(forbidding) == len(ones) and all(forbidding):
            ids = dict.fromkeys(rule for each in forbidding for rule in each)
            closed.append(Closed(workload.name, name, tuple(ids)))
    return closed
