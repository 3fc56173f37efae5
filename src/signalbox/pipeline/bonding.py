"""What ties a call to the provider that keeps its state, and an answer to the calls that will refer to it."""

from __future__ import annotations

from signalbox.core.call import Call
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.affinity import conversation_key
from signalbox.routing.bonds import Bond, Bonds
from signalbox.routing.fleet import Fleet

# Whose answers may hold signatures or encrypted reasoning that only their maker can read.
BOUND_APIS = frozenset(("messages", "responses"))
# Of the names of provider-kept things in one body, so many are remembered.
NAMES_TIED_MAX = 64


def bond_of(call: Call, bonds: Bonds) -> Bond | None:
    """Who alone can read the state that a call brings or names, as long as that is remembered."""
    for name in (*call.envelope.stateful, conversation_key(call)):
        bond = bonds.find(call.principal.tenant, name, call.decided_ns)
        if bond is not None:
            return bond
    return None


def holders(call: Call, fleet: Fleet, choices: tuple[Deployment, ...], bond: Bond) -> tuple[Deployment, ...]:
    """The choices for a call whose bond leads to one of them, which comes first. What a call names (a stored answer, a
    file) only deployments of the same account have: others would not find it, or answer without it."""
    home = next((one for one in choices if one.name == bond.deployment), None)
    if home is None:
        return choices
    # A stable sort: only the one that is tied moves.
    ordered = tuple(sorted(choices, key=lambda one: one is not home))
    tenant = call.principal.tenant
    if not any(fleet.bonds.find(tenant, name, call.decided_ns) is bond for name in call.envelope.stateful):
        return ordered
    account = fleet.of(home).credential
    return tuple(one for one in ordered if fleet.of(one).credential is account)


def tie(call: Call, bonds: Bonds, deployment: str, bond: Bond | None, now_ns: int, *, strayed: bool) -> None:
    """Remembers that a deployment holds what a later call may refer to. bond: what led this call there, if anything
    did. strayed: it was found where the usual order does not lead first."""
    tenant, key = call.principal.tenant, conversation_key(call)
    kept = bond.key if bond is not None else key
    if call.answer_id:
        bonds.tie(tenant, call.answer_id, deployment, kept, now_ns)
    if strayed:
        # A file, a batch, a stored answer that is kept there.
        for kept_there in call.envelope.stateful[:NAMES_TIED_MAX]:
            bonds.tie(tenant, kept_there, deployment, kept, now_ns)
        if call.api in BOUND_APIS:
            bonds.tie(tenant, key, deployment, kept, now_ns)
