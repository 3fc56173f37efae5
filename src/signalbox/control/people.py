"""People who come from an identity provider: who they are, and what the configuration in force grants them."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.config.schema_sign_in import Oidc
from signalbox.core.ports import VirtualKey

SUBJECT_CHARS_MAX = 255
VALUES_MAX = 1000
VALUE_CHARS_MAX = 512
NAME_CHARS_MAX = 128


class Person(msgspec.Struct, frozen=True):
    """Somebody as the provider vouched for them. values: of the claim that roles go by. sid: what the provider calls
    their session there, empty where it does not say."""

    issuer: str
    subject: str
    name: str
    values: tuple[str, ...]
    sid: str = ""

    @property
    def id(self) -> str:
        """By which the ledger knows them: a subject means something at its issuer only."""
        return f"{self.issuer.partition('://')[2]}#{self.subject}"


def granted(person: Person, oidc: Oidc | None) -> VirtualKey | None:
    """What a key would hold that stands for them: role, tenant, team. None for somebody without a role."""
    if oidc is None or person.issuer != oidc.issuer:
        return None
    for grant in oidc.grants:
        if grant.value in person.values:
            return VirtualKey(person.id, person.name, b"", grant.tenant, grant.team, 0, role=grant.role)
    return None


def values_of(claims: dict[str, Any], claim: str) -> tuple[str, ...]:
    """The texts of a claim by its whole name, or else of a path through objects; nothing where it is anything else."""
    found: object = claims.get(claim)
    if found is None:
        found = claims
        for step in claim.split("."):
            found = cast("dict[str, object]", found).get(step) if isinstance(found, dict) else None
    listed = cast("list[object]", found) if isinstance(found, list) else [found]
    texts = (text for text in listed[:VALUES_MAX] if isinstance(text, str) and len(text) <= VALUE_CHARS_MAX)
    return tuple(texts)


def shown_name(claims: dict[str, Any], claim: str, subject: str) -> str:
    """A name to show. It decides nothing, so one that cannot be shown is left out."""
    for text in values_of(claims, claim)[:1]:
        plain = "".join(letter for letter in text if letter.isprintable()).strip()[:NAME_CHARS_MAX]
        if plain:
            return plain
    return subject[:NAME_CHARS_MAX]
