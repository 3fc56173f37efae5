"""What ties a call to the provider that keeps its state, and an answer to the calls that will refer to it."""

from __future__ import annotations

from signalbox.core.call import Call
from signalbox.pipeline.affinity import conversation_key
from signalbox.routing.bonds import Bond, Bonds

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
