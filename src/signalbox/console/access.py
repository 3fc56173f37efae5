"""Who may do what on the control plane: one table over its routes. What is not in it, nobody may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from signalbox.config.address import is_loopback
from signalbox.console.forms import BadForm, read_form, read_upload
from signalbox.console.sessions import COOKIE, Session, Sessions, from_here, same
from signalbox.control.office import Actor, KeyOffice, NotYours
from signalbox.control.reading_room import RoomIsFull
from signalbox.core import keys
from signalbox.core.errors import ConfigError, LedgerError, StoreError
from signalbox.core.keys import ROLES
from signalbox.telemetry.log import Log

Endpoint = Callable[[Request, Actor], Awaitable[Response]]

EVERYBODY = frozenset(ROLES)
WATCHERS = frozenset({"admin", "operator", "auditor"})
OPERATORS = frozenset({"admin", "operator"})
# (method, path) -> roles. Those of a developer see their own only; see control/office.py.
MAY: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "/metrics"): WATCHERS,
    ("GET", "/api/status"): EVERYBODY,
    ("POST", "/api/reload"): OPERATORS,
    ("POST", "/api/stop"): OPERATORS,
    ("GET", "/api/alerts"): EVERYBODY,
    ("GET", "/api/budgets"): WATCHERS,
    ("GET", "/api/cache"): WATCHERS,
    ("POST", "/api/cache/invalidate"): OPERATORS,
    ("POST", "/api/explain"): EVERYBODY,
    ("GET", "/api/keys"): EVERYBODY,
    ("POST", "/api/keys"): frozenset({"admin", "developer"}),
    ("POST", "/api/keys/{id}/rotate"): frozenset({"admin", "developer"}),
    ("POST", "/api/keys/{id}/revoke"): frozenset({"admin", "operator", "developer"}),
    ("GET", "/api/actions"): frozenset({"admin", "auditor"}),
    ("GET", "/api/overview"): EVERYBODY,
    ("GET", "/api/requests"): EVERYBODY,
    ("GET", "/api/requests/{id}"): EVERYBODY,
    ("GET", "/api/requests/{id}/content"): frozenset({"admin", "auditor"}),
    ("POST", "/api/ledger/erase"): frozenset({"admin"}),
    ("GET", "/api/workloads"): EVERYBODY,
    ("GET", "/api/workloads/{name:path}"): EVERYBODY,
    ("GET", "/api/deployments"): EVERYBODY,
    ("GET", "/api/spend"): EVERYBODY,
    ("GET", "/api/spend.parquet"): EVERYBODY,
    ("POST", "/api/spend/reconcile"): WATCHERS,
    ("GET", "/api/compliance"): WATCHERS,
    ("POST", "/api/verify"): WATCHERS,
    ("GET", "/api/evidence"): frozenset({"admin", "auditor"}),
    ("GET", "/api/config"): OPERATORS,
    ("POST", "/api/config/preview"): OPERATORS,
    ("POST", "/api/config/apply"): OPERATORS,
    ("GET", "/api/config/versions"): OPERATORS,
    ("POST", "/api/config/rollback"): OPERATORS,
    ("GET", "/api/drills"): WATCHERS,
    ("POST", "/api/drills"): OPERATORS,
    ("GET", "/api/drills/{id}"): WATCHERS,
    ("GET", "/api/plans"): WATCHERS,
    ("GET", "/"): EVERYBODY,
    ("GET", "/workloads"): EVERYBODY,
    ("GET", "/workloads/{name:path}"): EVERYBODY,
    ("GET", "/deployments"): EVERYBODY,
    ("GET", "/config"): OPERATORS,
    ("POST", "/config/preview"): OPERATORS,
    ("POST", "/config/apply"): OPERATORS,
    ("POST", "/config/rollback"): OPERATORS,
    ("GET", "/compliance"): WATCHERS,
    ("POST", "/compliance"): WATCHERS,
    ("GET", "/compliance/evidence.zip"): frozenset({"admin", "auditor"}),
    ("GET", "/spend"): EVERYBODY,
    ("GET", "/spend.csv"): EVERYBODY,
    ("GET", "/spend.parquet"): EVERYBODY,
    ("GET", "/spend/reconcile"): WATCHERS,
    ("POST", "/spend/reconcile"): WATCHERS,
    ("GET", "/keys"): EVERYBODY,
    ("POST", "/keys"): frozenset({"admin", "developer"}),
    ("POST", "/keys/{id}/rotate"): frozenset({"admin", "developer"}),
    ("POST", "/keys/{id}/revoke"): frozenset({"admin", "operator", "developer"}),
    ("GET", "/planner"): WATCHERS,
    ("GET", "/playground"): frozenset({"admin", "operator", "developer"}),
    ("POST", "/playground"): frozenset({"admin", "operator", "developer"}),
    ("POST", "/playground/stream"): frozenset({"admin", "operator", "developer"}),
    ("GET", "/drills"): WATCHERS,
    ("POST", "/drills"): OPERATORS,
    ("GET", "/drills/{id}"): WATCHERS,
    ("GET", "/alerts"): WATCHERS,
    ("GET", "/settings"): WATCHERS,
    ("POST", "/settings/reload"): OPERATORS,
    ("POST", "/settings/stop"): OPERATORS,
    ("GET", "/requests"): EVERYBODY,
    ("GET", "/requests/{id}"): EVERYBODY,
    ("POST", "/sign-out"): EVERYBODY,
}
# Forms that hold a file.
UPLOADS = frozenset({("POST", "/spend/reconcile")})
# By these it shows that somebody else asks.
_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
# What needs no credential at all.
OPEN = frozenset(
    {
        ("GET", "/healthz"),
        ("GET", "/static/{name}"),
        ("GET", "/sign-in"),
        ("POST", "/sign-in"),
        ("GET", "/sign-in/provider"),
        ("GET", "/sign-in/callback"),
        ("POST", "/sign-in/logout"),
    }
)


class Visit(msgspec.Struct, frozen=True):
    """One request of somebody who is signed in. form: what was sent, its token checked."""

    actor: Actor
    session: Session
    form: dict[str, str]

    def may(self, method: str, path: str) -> bool:
        """Whether a page should offer something."""
        return self.actor.role in MAY.get((method, path), frozenset())


# A page that says why there is none: (request, visit or None, status, title, sentence).
Excuse = Callable[[Request, Visit | None, int, str, str], Response]
Page = Callable[[Request, Visit], Awaitable[Response]]


def guarded(
    office: KeyOffice, sessions: Sessions, method: str, path: str, endpoint: Endpoint
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint behind its row of the table. The path is the route's own, never one taken from the request."""
    roles = MAY.get((method, path), frozenset[str]())

    async def checked(request: Request) -> Response:
        actor = await _bearer(request, office, sessions)
        if isinstance(actor, Response):
            return actor
        if actor.role not in roles:
            return refused(403, "forbidden", f"The role {actor.role} may not do this.")
        try:
            return await endpoint(request, actor)
        except NotYours as error:
            return refused(403, "forbidden", str(error))
        except (ConfigError, BadForm) as error:
            return refused(400, "invalid_request", str(error))
        except (LedgerError, StoreError):
            return refused(503, "unavailable", "The ledger or the store cannot be used; nothing was done.")
        except RoomIsFull:
            return refused(503, "busy", "Too many are reading; try again in a moment.", {"retry-after": "1"})

    return checked


async def _bearer(request: Request, office: KeyOffice, sessions: Sessions) -> Actor | Response:
    """Who sends this request, or what they are told. A key has more chance in it than anybody can guess; whatever else
    is sent is a guess at the admin secret, and held up like one at the door for people."""
    given = request.headers.getlist("authorization")
    scheme, _, rest = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    token = rest.strip() if scheme.lower() == "bearer" else ""
    guess = bool(token) and keys.split(token) is None
    address = request.client.host if request.client else ""
    if guess and not sessions.may_try(address):
        return refused(429, "too_many_guesses", "Too many wrong secrets. Wait a minute.", {"retry-after": "60"})
    actor = await office.actor(token) if token else None
    if actor is not None:
        return actor
    if guess:
        sessions.failed(address)
    said = "Send the admin secret, or a key with a role, in one header Authorization: Bearer."
    return refused(401, "unauthorized", said, {"www-authenticate": "Bearer"})


def asked_here(request: Request) -> bool:
    """Whether somebody on this machine asks, by its own name: not through a proxy, and not a page of another site whose
    name leads here (DNS rebinding)."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    through = any(name in request.headers for name in _OF_PROXIES)
    return not through and is_loopback(host) and is_loopback(request.client.host if request.client else "")


class Doors:
    """Lets people with a session to pages. A form has to carry its session's token and come from a page of ours."""

    def __init__(self, office: KeyOffice, sessions: Sessions, excuse: Excuse, log: Log) -> None:
        self._office = office
        self._sessions = sessions
        self._excuse = excuse
        self._log = log

    def guarded(self, method: str, path: str, page: Page) -> Callable[[Request], Awaitable[Response]]:
        roles = MAY.get((method, path), frozenset[str]())

        async def checked(request: Request) -> Response:
            visit: Visit | None = None
            try:
                visit = await self.visit(request)
                if visit is None:
                    return _to_sign_in(request)
                if visit.actor.role not in roles:
                    said = f"The role {visit.actor.role} may not see or do this."
                    return self._excuse(request, visit, 403, "Not for this role", said)
                if method == "POST":
                    form = await (read_upload if (method, path) in UPLOADS else read_form)(request)
                    if not from_here(request) or not same(form.pop("csrf", ""), visit.session.csrf):
                        said = "This form is stale, or was not made by this console. Nothing was done; open it again."
                        return self._excuse(request, visit, 403, "Form refused", said)
                    visit = msgspec.structs.replace(visit, form=form)
                return await page(request, visit)
            except (ConfigError, BadForm) as error:
                return self._excuse(request, visit, 400, "That cannot be read", str(error))
            except NotYours as error:
                return self._excuse(request, visit, 403, "Not yours to change", str(error))
            except (LedgerError, StoreError):
                said = "Calls are not affected: the gateway writes its journal by itself. Try again in a moment."
                return self._excuse(request, visit, 503, "The ledger does not answer", said)
            except RoomIsFull:
                return self._excuse(request, visit, 503, "Too many readers", "Try again in a moment.")
            except ClientDisconnect:
                raise
            except Exception as error:
                self._log.defect("a page failed", error, page=path)
                return self._excuse(request, visit, 500, "A defect of ours", "The log says where it happened.")

        return checked

    async def visit(self, request: Request) -> Visit | None:
        """Who asks. A key that was revoked or has expired since ends its session, and so does a grant that was taken
        away."""
        token = request.cookies.get(COOKIE, "")
        session = self._sessions.find(token) if token else None
        if session is None:
            return None
        person = session.person
        actor = await self._office.still(session.actor_id) if person is None else self._office.person(person)
        if actor is None:
            self._sessions.end(token)
            return None
        return Visit(actor, session, {})


def _to_sign_in(request: Request) -> Response:
    """Back to where they wanted to go, once they have signed in; a form that was sent is not sent again."""
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"hx-redirect": "/sign-in"})
    wanted = request.url.path if request.method == "GET" else "/"
    return RedirectResponse(f"/sign-in?to={wanted}" if wanted != "/" else "/sign-in", 303)


def refused(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "code": code}}, status, headers=headers)
