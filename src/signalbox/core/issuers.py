"""Issuers of tokens, and holders of certificates, that call in place of a virtual key; as compiled."""

from __future__ import annotations

import msgspec

from signalbox.core.labels import NONE, Labels


class PublicKey(msgspec.Struct, frozen=True):
    """kid: its name, empty for none. algorithm: RS256, ES256 or EdDSA, none of them with a shared secret; what a token
    says of its own is only ever compared with this one. der: SubjectPublicKeyInfo."""

    kid: str
    algorithm: str
    der: bytes


class Address(msgspec.Struct, frozen=True):
    """Where something is fetched from. private: None means that only an address written as such is private."""

    url: str
    private: bool | None = None
    ca_file: str | None = None


class Issuer(msgspec.Struct, frozen=True):
    """Whose tokens are taken, and what whoever holds one may do. tenant_claim, team_claim, workloads_claim: where a
    token says it itself, empty for nowhere; it may only ever narrow `workloads`, of which None means all.

    keys: those of the configuration. keys_at: or the URL from which they are fetched; address, refresh_s and
    keys_age_s_max say how, how often, and for how long the last good ones hold."""

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
    address: Address | None = None
    refresh_s: int = 300
    keys_age_s_max: int = 86_400

    @property
    def keys_at(self) -> str:
        return self.address.url if self.address is not None else ""


class KeySet(msgspec.Struct, frozen=True):
    """The keys of an issuer as they were fetched from `keys_at`; none where the last good ones are too old."""

    issuer: str
    keys_at: str
    keys: tuple[PublicKey, ...]


class Holder(msgspec.Struct, frozen=True):
    """Whose client certificates are taken in place of a key. uris: URI names, one that ends in /* for all below it.
    names: DNS names. workloads: None for all of the tenant's."""

    name: str
    uris: tuple[str, ...]
    names: tuple[str, ...]
    tenant: str
    team: str = ""
    workloads: tuple[str, ...] | None = None
    labels: Labels = NONE


class Certificate(msgspec.Struct, frozen=True):
    """A client's certificate, whose authority was checked while it connected. fingerprint: SHA-256 of it. uris, names:
    what that authority says it may call itself. expires_s: Unix seconds."""

    fingerprint: bytes
    uris: tuple[str, ...]
    names: tuple[str, ...]
    expires_s: int
