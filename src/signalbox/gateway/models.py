"""What a key may name in `model`, for both official SDKs: GET /v1/models, whole or in the Messages API's pages."""

from __future__ import annotations

from urllib.parse import unquote, unquote_to_bytes

from signalbox.core.call import Principal
from signalbox.core.errors import BadRequest, NotFound
from signalbox.core.snapshot import Snapshot
from signalbox.gateway.abilities import Abilities
from signalbox.gateway.access import authenticated
from signalbox.gateway.endpoints import Plane, send_json
from signalbox.gateway.http import Connection
from signalbox.gateway.request import Request
from signalbox.policy.access import AUTO, may_name, may_use
from signalbox.wire.dialect import Dialect

# Both SDKs want a date on every model. Configured names have none of their own: one fixed date, so that lists compare.
CREATED_S = 1_767_225_600
CREATED_AT = "2026-01-01T00:00:00Z"
LIMIT_MAX = 1000
_PAGING = ("limit", "after_id", "before_id")


async def list_models(plane: Plane, request: Request, connection: Connection, dialect: Dialect, call_id: str) -> None:
    """GET /v1/models: what this key may name, in one object that satisfies both official SDKs. All of it, because
    OpenAI's list has no pages, unless `limit` asks for fewer."""
    principal = authenticated(plane.keyring, request.headers, plane.now_s(), connection)
    stages = plane.stages
    names = _names(stages.snapshot, principal)
    has_more = False
    if request.query:
        names, has_more = _page(names, _asked(request.query))
    abilities = Abilities(stages.snapshot, stages.interlock, principal)
    page = {
        "object": "list",
        "data": [_model(name, abilities) for name in names],
        "has_more": has_more,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }
    send_json(connection, page, call_id)


async def get_model(plane: Plane, request: Request, connection: Connection, dialect: Dialect, call_id: str) -> None:
    """GET /v1/models/{id}."""
    principal = authenticated(plane.keyring, request.headers, plane.now_s(), connection)
    name = unquote(request.path.removeprefix(b"/v1/models/").decode("latin-1"))
    stages = plane.stages
    if name not in _names(stages.snapshot, principal):
        raise NotFound("The model does not exist or this key may not use it.", param="model", code="model_not_found")
    abilities = Abilities(stages.snapshot, stages.interlock, principal)
    send_json(connection, _model(name, abilities), call_id)


def _asked(query: bytes) -> dict[str, str]:
    """The parameters of a query that say which page is asked for; others mean nothing here."""
    asked: dict[str, str] = {}
    for pair in query.split(b"&"):
        raw_name, _, raw = pair.replace(b"+", b" ").partition(b"=")
        name = unquote_to_bytes(raw_name).decode("latin-1")
        if name not in _PAGING:
            continue
        if name in asked:
            raise BadRequest(f"`{name}` was sent twice.", param=name)
        asked[name] = unquote_to_bytes(raw).decode(errors="replace")
    return asked


def _page(names: list[str], asked: dict[str, str]) -> tuple[list[str], bool]:
    """The page that was asked for, and whether there is more in the direction of asking: behind it, or with
    `before_id` before it. Raises BadRequest."""
    limit = asked.get("limit")
    if limit is not None and not (
        limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= LIMIT_MAX
    ):
        raise BadRequest(f"`limit` must be a number from 1 to {LIMIT_MAX}.", param="limit")
    size = len(names) if limit is None else int(limit)
    after, before = asked.get("after_id"), asked.get("before_id")
    if after is not None and before is not None:
        raise BadRequest("Send one of `after_id` and `before_id`.", param="before_id")
    if after is not None:
        names = names[_place(names, after, "after_id") + 1 :]
    elif before is not None:
        names = names[: _place(names, before, "before_id")]
        return names[max(0, len(names) - size) :], len(names) > size
    return names[:size], len(names) > size


def _place(names: list[str], name: str, param: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise BadRequest(f"`{param}` must be the id of a model in this list.", param=param) from None


def _names(snapshot: Snapshot, principal: Principal) -> list[str]:
    names = [name for name in snapshot.workloads if may_use(snapshot, principal, name)]
    granted = [name for name in snapshot.deployment_by_name if may_name(principal, name)]
    reachable = {*names, *granted}
    aliases = [alias for alias, target in snapshot.aliases.items() if target in reachable]
    return [*names, *aliases, *granted, AUTO]


def _model(name: str, abilities: Abilities) -> dict[str, object]:
    return {
        "id": name,
        "object": "model",
        "created": CREATED_S,
        "owned_by": "signalbox",
        "type": "model",
        "display_name": name,
        "created_at": CREATED_AT,
        "lifecycle": "active",
        **abilities.of(name),
    }
