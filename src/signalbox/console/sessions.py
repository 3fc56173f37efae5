"""Who is signed in at a browser: sessions in memory, found by the hash of a cookie that no script can read."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from signalbox.control.logout_tokens import Ended
from signalbox.control.people import Person

COOKIE = "signalbox_session"
FORM_COOKIE = "signalbox_form"
SESSIONS_MAX = 1000
IDLE_S = 30 * 60
LIFETIME_S = 12 * 3600
# Wrong secrets from one address within a minute, before it has to wait.
FAILURES_MAX = 10
FAILURE_S = 60.0
ADDRESSES_MAX = 10_000


class Session(msgspec.Struct):
    """actor_id: whose, as control.office knows it. csrf: what every form of it has to carry. Times: seconds. person:
    who it is, of those that an identity provider vouches for."""

    actor_id: str
    csrf: str
    began_s: float
    seen_s: float
    lifetime_s: float = LIFETIME_S
    person: Person | None = None


class Sessions:
    """now_s: a clock that never goes back. When there are too many, the one that was idle longest ends."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._sessions: dict[bytes, Session] = {}
        self._failures: dict[str, list[float]] = {}

    def begin(self, actor_id: str, lifetime_s: float = LIFETIME_S, person: Person | None = None) -> tuple[str, Session]:
        """A session with a fresh id, whatever the browser sent: nobody can plant one."""
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].seen_s)]
        token, now = secrets.token_urlsafe(32), self._now_s()
        session = Session(actor_id, secrets.token_urlsafe(24), now, now, lifetime_s, person)
        self._sessions[_key(token)] = session
        return token, session

    def find(self, token: str) -> Session | None:
        key, now = _key(token), self._now_s()
        session = self._sessions.get(key)
        if session is None:
            return None
        if now - session.seen_s > IDLE_S or now - session.began_s > session.lifetime_s:
            del self._sessions[key]
            return None
        session.seen_s = now
        return session

    def end(self, token: str) -> None:
        self._sessions.pop(_key(token), None)

    def end_of(self, ended: Ended) -> int:
        """Ends what an identity provider has ended; how many those were. A session that it names is one, a subject
        without one has all of theirs ended."""
        found = [key for key, one in self._sessions.items() if one.person is not None and _is(one.person, ended)]
        for key in found:
            del self._sessions[key]
        return len(found)

    def may_try(self, address: str) -> bool:
        """Whether this address has not been wrong too often of late."""
        late = self._now_s() - FAILURE_S
        return len([at for at in self._failures.get(address, []) if at > late]) < FAILURES_MAX

    def failed(self, address: str) -> None:
        if address not in self._failures and len(self._failures) >= ADDRESSES_MAX:
            del self._failures[next(iter(self._failures))]
        self._failures[address] = [*self._failures.get(address, [])[-FAILURES_MAX:], self._now_s()]


def _is(person: Person, ended: Ended) -> bool:
    if person.issuer != ended.issuer or (ended.subject and person.subject != ended.subject):
        return False
    # A provider that named no session when somebody signed in means all of theirs.
    return not ended.sid or person.sid == ended.sid or (not person.sid and bool(ended.subject))


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def keep(response: Response, request: Request, name: str, value: str, console_url: str = "") -> None:
    """A cookie for this browser session, out of reach of scripts and of other sites. console_url: where browsers reach
    us, as far as that is known: what ends TLS before us may not say."""
    secure = request.url.scheme == "https" or console_url.startswith("https:")
    response.set_cookie(name, value, path="/", httponly=True, samesite="strict", secure=secure)


def drop(response: Response, request: Request, name: str) -> None:
    response.delete_cookie(name, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")


def same(one: str, other: str) -> bool:
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())


def from_here(request: Request) -> bool:
    """Whether a form was sent from a page of ours, as far as the browser says."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")
