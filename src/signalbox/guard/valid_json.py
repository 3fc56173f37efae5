"""Guard `valid-json`: an answer for which the call asked JSON is JSON, and fits the schema that it gave."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.call import Call
from signalbox.core.guards import FLAG, Channel, GuardUse, Verdict
from signalbox.guard.contract import Guard, Means
from signalbox.wire.answer_schema import faults

NAME = "valid-json"
# What is longer is not judged.
CHARS_MAX = 1024 * 1024
# Chat, Responses, Messages, and Messages as it was called while in beta.
_WHERE = (("response_format", ""), ("text", "format"), ("output_config", "format"), ("output_format", ""))
_decode = msgspec.json.decode


class _Whole:
    """Lets a text pass and judges it at its end."""

    __slots__ = ("_chars", "_pieces", "_schema", "held")

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._pieces: list[str] = []
        self._chars = 0
        self.held = ""

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        self._chars += len(text)
        if self._chars <= CHARS_MAX:
            self._pieces.append(text)
        return text, None

    def end(self) -> tuple[str, Verdict | None]:
        if self._chars > CHARS_MAX or not self._chars:
            return "", None
        try:
            value: object = _decode("".join(self._pieces))
        except (msgspec.DecodeError, RecursionError):
            return "", Verdict(NAME, "not-json", FLAG, "text")
        return "", Verdict(NAME, "does-not-fit", FLAG, "text") if faults(value, self._schema) else None


class _Watch:
    hold_chars_max = 0

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def window(self, channel: Channel) -> _Whole | None:
        return _Whole(self._schema) if channel.kind == "text" else None

    def over(self) -> None:
        return None


class _Answers:
    def watch(self, call: Call) -> _Watch | None:
        schema = asked_for(call.doc)
        return _Watch(schema) if schema is not None else None


def asked_for(doc: dict[str, Any]) -> dict[str, Any] | None:
    """The schema that a call asks its answer to fit, in any dialect: an empty one for any JSON, None for any text."""
    for container, inner in _WHERE:
        held = _object(doc.get(container))
        if inner:
            held = _object(held.get(inner))
        if held.get("type") == "json_object":
            return {}
        if held.get("type") == "json_schema":
            return _object(held.get("schema") or _object(held.get("json_schema")).get("schema"))
    return None


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def make(use: GuardUse, means: Means) -> Guard:
    # After everything that changes a text: judged is what the client gets.
    return Guard(use, answer=_Answers(), order=20)
