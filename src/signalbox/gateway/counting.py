"""`POST /v1/responses/input_tokens`: how much input a Responses body is, told here; nothing leaves."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.gateway.access import authenticated
from signalbox.gateway.endpoints import Plane, check_content_type, read_model
from signalbox.gateway.http import Connection
from signalbox.gateway.reply import JSON, send_body
from signalbox.gateway.request import Request
from signalbox.policy.access import resolve
from signalbox.wire import body as wire_body
from signalbox.wire.dialect import Dialect
from signalbox.wire.tokens import responses_input

# What of a conversation a provider keeps: its size is not in the body.
_KEPT = ("previous_response_id", "conversation", "prompt")


async def count_input(plane: Plane, request: Request, connection: Connection, dialect: Dialect, call_id: str) -> None:
    """An estimate, never below the truth on ordinary content, and marked as one. A body is checked as a call's is,
    and refused where part of the input is not in it."""
    principal = authenticated(plane.keyring, request.headers, plane.now_s(), connection, dialect.api)
    check_content_type(request.headers)
    doc = wire_body.parse(request.body)
    resolve(plane.stages.snapshot, principal, read_model(doc), None)
    _check_input(doc)
    dialect.envelope(doc)
    body = msgspec.json.encode({"object": "response.input_tokens", "input_tokens": responses_input(doc)})
    identity = call_id.encode()
    headers = [(b"content-type", JSON), (b"x-request-id", identity), (b"request-id", identity)]
    headers.append((b"x-signalbox-reason", b"estimated"))
    send_body(connection, 200, headers, body)
    plane.answered("count_tokens", 200, request.received_ns)


def _check_input(doc: dict[str, Any]) -> None:
    for name in _KEPT:
        if doc.get(name) is not None:
            raise Unsupported(f"'{name}' names input that a provider keeps, which is not counted here.", param=name)
    value: object = doc.get("input")
    if value is not None and not isinstance(value, (str, list)):
        raise BadRequest("'input' must be a string or an array.", param="input")
    for at, item in enumerate(cast("list[Any]", value) if isinstance(value, list) else ()):
        if isinstance(item, dict) and cast("dict[str, Any]", item).get("type") == "item_reference":
            raise Unsupported("An item_reference names input that a provider keeps.", param=f"input[{at}]")
