"""Signed tokens (JWT, RFC 7519) in place of virtual keys: whose, for whom, until when, and what their holder may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from signalbox.core import jwt
from signalbox.core.call import Principal
from signalbox.core.errors import Unauthenticated
from signalbox.core.issuers import Issuer, KeySet, PublicKey

_TYPES = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
_NOT_OURS = "The token was not made for this gateway, has expired, or its signature is wrong."
# A key nobody knows may be a new one of an issuer whose keys are fetched: so often is that told for each issuer.
WANT_EVERY_S = 10.0


class Tokens:
    """The issuers of one configuration. fetched: the key sets of those that publish theirs, by the issuer's name.
    want: told the name of an issuer whose key set may be out of date; it does not wait."""

    def __init__(
        self,
        issuers: tuple[Issuer, ...],
        fetched: Mapping[str, KeySet] | None = None,
        want: Callable[[str], None] | None = None,
    ) -> None:
        self.issuers = issuers
        self._by_name = {(one.issuer, one.audience): one for one in issuers}
        self._keys = {one.name: jwt.VerifyingKeys(_keys_of(one, fetched or {})) for one in issuers}
        self._want = want
        self._wanted_at: dict[str, float] = {}

    def principal(self, token: str, now_s: float) -> Principal:
        """Who holds a token. Raises Unauthenticated, in the same words whatever is wrong with it."""
        try:
            signed = jwt.taken_apart(token)
            issuer = self._issuer(signed.claims)
            self._check_signature(issuer, signed, now_s)
            return _principal(issuer, signed.claims, now_s)
        except jwt.BadToken:
            raise Unauthenticated(_NOT_OURS) from None

    def _issuer(self, claims: dict[str, Any]) -> Issuer:
        name: object = claims.get("iss")
        for audience in jwt.audiences(claims):
            found = self._by_name.get((name, audience)) if isinstance(name, str) else None
            if found is not None:
                return found
        raise jwt.BadToken("nobody takes tokens of its issuer")

    def _check_signature(self, issuer: Issuer, signed: jwt.Signed, now_s: float) -> None:
        try:
            self._keys[issuer.name].check(signed, _TYPES)
        except jwt.UnknownKeyId:
            if issuer.keys_at and self._want is not None and self._due(issuer.name, now_s):
                self._want(issuer.name)
            raise

    def _due(self, issuer: str, now_s: float) -> bool:
        last_s = self._wanted_at.get(issuer)
        if last_s is not None and 0 <= now_s - last_s < WANT_EVERY_S:
            return False
        self._wanted_at[issuer] = now_s
        return True


def _keys_of(issuer: Issuer, fetched: Mapping[str, KeySet]) -> tuple[PublicKey, ...]:
    """Those of the configuration, or those that were fetched from where it says now."""
    if not issuer.keys_at:
        return issuer.keys
    held = fetched.get(issuer.name)
    return held.keys if held is not None and held.keys_at == issuer.keys_at else ()


def _principal(issuer: Issuer, claims: dict[str, Any], now_s: float) -> Principal:
    expires_s = jwt.expiry(claims, now_s, issuer.leeway_s, issuer.lifetime_s_max)
    if issuer.parties and not any(claims.get("azp") == party for party in issuer.parties):
        raise jwt.BadToken("its party is not authorised")
    subject = jwt.name_in(claims.get("sub"))
    tenant = jwt.name_in(claims.get(issuer.tenant_claim)) if issuer.tenant_claim else issuer.tenant
    team = jwt.name_in(claims.get(issuer.team_claim)) if issuer.team_claim else issuer.team
    workloads = issuer.workloads
    if issuer.workloads_claim:
        named = jwt.names_in(claims.get(issuer.workloads_claim))
        workloads = tuple(name for name in named if workloads is None or name in workloads)
    return Principal(
        key_id=f"{issuer.name}:{subject}",
        tenant=tenant,
        team=team,
        workloads=frozenset(workloads) if workloads is not None else None,
        deployments=frozenset(),
        default_workload=workloads[0] if workloads else None,
        labels=issuer.labels,
        expires_s=int(expires_s) + issuer.leeway_s,
    )
