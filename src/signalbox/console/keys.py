"""The control plane's endpoints about keys, and the record of who did what."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from signalbox.console.access import refused
from signalbox.console.desk import json
from signalbox.control.keys import NewKey, TooBroad
from signalbox.control.office import Actor, KeyOffice
from signalbox.core.errors import BadRequest
from signalbox.core.ports import VirtualKey
from signalbox.wire.body import parse

BODY_BYTES_MAX = 64 * 1024


class Grace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a rotated key still works."""

    grace_s: int = 0


class KeyPages:
    """Every id that an actor may not see is as one that does not exist."""

    def __init__(self, office: KeyOffice) -> None:
        self._office = office

    async def list(self, request: Request, actor: Actor) -> Response:
        return json({"keys": [shown(row) for row in await self._office.list_keys(actor)]})

    async def create(self, request: Request, actor: Actor) -> Response:
        wanted = await read_body(request, NewKey)
        if isinstance(wanted, Response):
            return wanted
        if wanted.creator:
            return refused(400, "invalid_request", "The creator is who asks; leave it out.")
        try:
            row, key = await self._office.create(actor, wanted)
        except TooBroad as error:
            return refused(403, "too_broad", f"The key was not made: {error}.")
        except ValueError as error:
            return refused(400, "invalid_request", f"The key was not made: {error}.")
        return json({"id": row.id, "key": key.reveal()}, 201)

    async def rotate(self, request: Request, actor: Actor) -> Response:
        grace = await read_body(request, Grace)
        if isinstance(grace, Response):
            return grace
        try:
            made = await self._office.rotate(actor, request.path_params["id"], grace.grace_s)
        except TooBroad as error:
            return refused(403, "too_broad", f"The key was not rotated: {error}.")
        except ValueError as error:
            return refused(400, "invalid_request", f"The key was not rotated: {error}.")
        if made is None:
            return _unknown()
        row, key = made
        return json({"id": row.id, "key": key.reveal()}, 201)

    async def revoke(self, request: Request, actor: Actor) -> Response:
        if not await self._office.revoke(actor, request.path_params["id"]):
            return _unknown()
        return json({"id": request.path_params["id"], "state": "revoked"})

    async def actions(self, request: Request, actor: Actor) -> Response:
        return json({"actions": await self._office.actions(actor)})


def shown(row: VirtualKey) -> dict[str, Any]:
    """A key as others may see it: nothing of its secret."""
    fields = msgspec.structs.asdict(row)
    del fields["secret_hmac"]
    return fields


async def read_body(request: Request, kind: type[Any], bytes_max: int = BODY_BYTES_MAX) -> Any:
    """The body as a struct without unknown fields, or the answer that says what is wrong with it. What two parsers
    could read differently is refused, as on the data plane."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            return refused(413, "request_too_large", f"At most {bytes_max} bytes are read.")
    try:
        # In a thread: the event loop may be the one that calls go through.
        return await asyncio.to_thread(_decoded, bytes(body) or b"{}", kind)
    except BadRequest as error:
        return refused(400, "invalid_request", error.message)
    except msgspec.MsgspecError as error:
        return refused(400, "invalid_request", f"The body cannot be read: {error}.")


def _decoded(body: bytes, kind: type[Any]) -> Any:
    """Raises BadRequest and MsgspecError."""
    parse(body)
    return msgspec.json.decode(body, type=kind)


def _unknown() -> Response:
    return refused(404, "not_found", "There is no such key.")
