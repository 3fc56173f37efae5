"""Who may do what on the control plane: one table over its routes. What is not in it, nobody may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from signalbox.control.office import Actor, KeyOffice
from signalbox.core.errors import LedgerError, StoreError
from signalbox.core.keys import ROLES

Endpoint = Callable[[Request, Actor], Awaitable[Response]]

EVERYBODY = frozenset(ROLES)
# (method, path) -> roles. Those of a developer see their own only; see control/office.py.
MAY: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "/metrics"): frozenset({"admin", "operator", "auditor"}),
    ("GET", "/api/status"): EVERYBODY,
    ("POST", "/api/reload"): frozenset({"admin", "operator"}),
    ("POST", "/api/stop"): frozenset({"admin", "operator"}),
    ("GET", "/api/budgets"): frozenset({"admin", "operator", "auditor"}),
    ("POST", "/api/explain"): EVERYBODY,
    ("GET", "/api/keys"): EVERYBODY,
    ("POST", "/api/keys"): frozenset({"admin", "developer"}),
    ("POST", "/api/keys/{id}/rotate"): frozenset({"admin", "developer"}),
    ("POST", "/api/keys/{id}/revoke"): frozenset({"admin", "operator", "developer"}),
    ("GET", "/api/actions"): frozenset({"admin", "auditor"}),
}


def guarded(office: KeyOffice, method: str, path: str, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint behind its row of the table. The path is the route's own, never one taken from the request."""
    roles = MAY.get((method, path), frozenset[str]())

    async def checked(request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        actor = await office.actor(token.strip()) if scheme.lower() == "bearer" else None
        if actor is None:
            said = "Send the admin secret, or a key with a role, as Authorization: Bearer."
            return refused(401, "unauthorized", said, {"www-authenticate": "Bearer"})
        if actor.role not in roles:
            return refused(403, "forbidden", f"The role {actor.role} may not do this.")
        try:
            return await endpoint(request, actor)
        except (LedgerError, StoreError):
            return refused(503, "unavailable", "The ledger or the store cannot be written; nothing was done.")

    return checked


def refused(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "code": code}}, status, headers=headers)
