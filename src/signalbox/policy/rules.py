"""What rules permit: bitsets that were compiled once (policy/compiling.py), an AND for each rule that applies. Pure."""

from __future__ import annotations

import msgspec

from signalbox.core.call import Principal
from signalbox.core.labels import NONE, Labels
from signalbox.core.snapshot import ANYONE, APIS, Caller, CompiledRule, Snapshot, Workload
from signalbox.policy import rule_index

PLACEMENTS = "placements"
MEMO_MAX = 4096

_API_INDEX = {api: index for index, api in enumerate(APIS)}


class Callers:
    """Sorts callers into the classes that the rules of one snapshot tell apart: few, so that answers are remembered.
    alike: rules tell nobody from anybody."""

    __slots__ = ("_teams", "_tenants", "alike")

    def __init__(self, snapshot: Snapshot) -> None:
        self._tenants = frozenset(name for rule in snapshot.rules for name in rule.tenants)
        self._teams = frozenset(name for rule in snapshot.rules for name in rule.teams)
        self.alike = not (self._tenants or self._teams)

    def of(self, principal: Principal) -> Caller:
        if self.alike:
            return ANYONE
        tenant, team = principal.tenant, principal.team
        return (tenant if tenant in self._tenants else "", team if team in self._teams else "")


def permitted(
    snapshot: Snapshot,
    workload: Workload,
    labels: Labels,
    onward: bool,
    api: str,
    placed: bool = True,
    caller: Caller = ANYONE,
    guard: str = "",
) -> int:
    """The bitset of deployments that may take content with `labels` for `workload`.

    onward: the call carries content further than the model. api: the client's; where a deployment would be reached
    through another one by translation, attestations have to cover every one it could be.
    placed False: whatever the workload's placements are, for a caller who named a deployment and was granted it.
    caller: of Callers.of. guard: empty for content as it came; the name of the guard that has transformed it, for what
    may be used then. To say so without having transformed it would be an escape.
    The workload's own labels always count, whether or not `labels` holds them.
    """
    key = (workload.name, labels, onward, api, placed, caller, guard)
    found = snapshot.permitted.get(key)
    if found is None:
        index = snapshot.index
        found = index.placements[workload.name] if placed else (1 << len(snapshot.deployments)) - 1
        applies = rule_index.applying(index, workload, labels, caller)
        # A guard that no rule names opens nothing.
        use = (guard if guard in index.guards else "", onward, _API_INDEX[api])
        found = rule_index.remaining(index.answers[use], applies, found)
        if len(snapshot.permitted) >= MEMO_MAX:
            snapshot.permitted.clear()
        snapshot.permitted[key] = found
    return found


def permitted_guarded(
    snapshot: Snapshot,
    workload: Workload,
    labels: Labels,
    onward: bool,
    api: str,
    placed: bool = True,
    caller: Caller = ANYONE,
) -> int:
    """`permitted`, and what may be used once one of the workload's guards has transformed the content: what a workload
    can reach, before there is a call whose bytes are judged."""
    found = permitted(snapshot, workload, labels, onward, api, placed, caller)
    for use in workload.guards:
        if use.name in snapshot.index.guards:
            found |= permitted(snapshot, workload, labels, onward, api, placed, caller, use.name)
    return found


def permitted_beside(
    snapshot: Snapshot, workload: Workload, labels: Labels, onward: bool, api: str, caller: Caller = ANYONE
) -> int:
    """What the rules permit that apply only because content holds `labels`, whatever was declared: for what is still
    in a content after a guard has transformed it."""
    bare = msgspec.structs.replace(workload, labels=NONE)
    index = snapshot.index
    applies = rule_index.applying(index, bare, labels, caller) & ~rule_index.applying(index, bare, NONE, caller)
    everything = (1 << len(snapshot.deployments)) - 1
    return rule_index.remaining(index.answers["", onward, _API_INDEX[api]], applies, everything)


def applying(snapshot: Snapshot, workload: Workload, labels: Labels, caller: Caller = ANYONE) -> list[CompiledRule]:
    """The rules that apply to content with `labels` of `workload` from `caller`."""
    applies = rule_index.applying(snapshot.index, workload, labels, caller)
    return [rule for at, rule in enumerate(snapshot.rules) if applies >> at & 1]


def refusals(
    snapshot: Snapshot,
    workload: Workload,
    labels: Labels,
    onward: bool,
    api: str,
    *,
    placed: bool = True,
    caller: Caller = ANYONE,
    guard: str = "",
    kept: int = 0,
) -> dict[str, list[tuple[str, str]]]:
    """Why each deployment that is not permitted is not: (rule id, citation), the file's own rules before its packs'.

    One that the workload does not list has the id `placements`. kept: the bitset of deployments that keep what the call
    would carry further to themselves.
    """
    index = _API_INDEX[api]
    listed = snapshot.index.placements[workload.name] if placed else -1
    rules = applying(snapshot, workload, labels, caller)
    found: dict[str, list[tuple[str, str]]] = {}
    for deployment in snapshot.deployments:
        bit = 1 << deployment.index
        reasons = [] if listed & bit else [(PLACEMENTS, f"workload {workload.name} does not list it")]
        further = onward and not kept & bit
        reasons += [
            (rule.id, rule.source) for rule in rules if not rule_index.allowed_by(rule, further, index, guard) & bit
        ]
        if reasons:
            found[deployment.name] = reasons
    return found
