"""What a logout token may say and must not: OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.core import jwt

# Some providers type it, as the specification recommends; none may be an ID token, which its claims tell.
TYPES = ("logout+jwt", "jwt")
EVENT = "http://schemas.openid.net/event/backchannel-logout"
AGE_S_MAX = 300.0
LIFETIME_S_MAX = 3600.0
TEXT_CHARS_MAX = 255


class Ended(msgspec.Struct, frozen=True):
    """Whose sessions the provider has ended: all of a subject's, or the one that it calls sid. jti: the token's name,
    which counts once."""

    issuer: str
    subject: str
    sid: str
    jti: str


def ended_by(claims: dict[str, Any], issuer: str, client_id: str, now_s: float, leeway_s: float) -> Ended:
    """What claims say whose signature was checked. Raises BadToken."""
    jwt.expiry(claims, now_s, leeway_s, LIFETIME_S_MAX)
    made = jwt.issued_at(claims)
    if made is None or made < now_s - AGE_S_MAX - leeway_s:
        raise jwt.BadToken("it was not made just now")
    if claims.get("iss") != issuer:
        raise jwt.BadToken("it is another issuer's")
    if client_id not in jwt.audiences(claims):
        raise jwt.BadToken("it was made for somebody else")
    if "nonce" in claims:
        raise jwt.BadToken("it has a nonce, as tokens for signing in have")
    events: object = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):  # pyright: ignore[reportUnknownMemberType]
        raise jwt.BadToken("it is not about logging out")
    subject, sid, jti = (_text(claims, name) for name in ("sub", "sid", "jti"))
    if not subject and not sid:
        raise jwt.BadToken("it says neither who nor which session")
    if not jti:
        raise jwt.BadToken("it has no name of its own")
    return Ended(issuer, subject, sid, jti)


def _text(claims: dict[str, Any], name: str) -> str:
    """Empty where it is left out. Raises BadToken."""
    value: object = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX or not value.isprintable():
        raise jwt.BadToken(f"its {name} is none")
    return value
