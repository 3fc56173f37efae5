"""Issuers of tokens with which workloads call in place of a virtual key, as compiled."""

from __future__ import annotations

import msgspec

from signalbox.core.labels import NONE, Labels

# Signatures that are taken, all of them asymmetric. What a token says of its own is only ever compared with its key's.
ALGORITHMS = ("RS256", "ES256", "EdDSA")


class PublicKey(msgspec.Struct, frozen=True):
    """kid: its name, empty for none. der: SubjectPublicKeyInfo."""

    kid: str
    algorithm: str
    der: bytes


class Issuer(msgspec.Struct, frozen=True):
    """Whose tokens are taken, and what whoever holds one may do. tenant_claim, team_claim, workloads_claim: where a
    token says it itself, empty for nowhere; it may only ever narrow `workloads`, of which None means all."""

    name: str
    issuer: str
    audience: str
    keys: tuple[PublicKey, ...]
    tenant: str
    team: str = ""
    tenant_claim: str = ""
    team_claim: str = ""
    workloads_claim: str = ""
    workloads: tuple[str, ...] | None = None
    labels: Labels = NONE
    parties: frozenset[str] = frozenset()
    leeway_s: int = 30
    lifetime_s_max: int = 86_400
