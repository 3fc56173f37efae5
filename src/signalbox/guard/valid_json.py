"""Guard `valid-json`: an answer for which the call asked JSON is JSON, and fits the schema that it gave; what a tool is
called with fits the tool's.

Here answers are only looked at. Where the workload wants one that does not fit to be asked for once more, or refused,
the pipeline does that by what `wanted` tells of a call.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.config.schema_guards import ValidJson
from signalbox.core.call import Call
from signalbox.core.guards import FLAG, Channel, GuardUse, Verdict
from signalbox.guard.contract import Guard, Means
from signalbox.wire.answer_schema import faults

NAME = "valid-json"
# What is longer is not judged.
CHARS_MAX = 1024 * 1024
# Of an answer that calls more tools, the first so many are.
CALLS_MAX = 256
NOT_JSON, DOES_NOT_FIT, ARGUMENTS = "not-json", "does-not-fit", "arguments"
# Chat, Responses, Messages, and Messages as it was called while in beta.
_WHERE = (("response_format", ""), ("text", "format"), ("output_config", "format"), ("output_format", ""))
_decode = msgspec.json.decode


class Wanted(msgspec.Struct, frozen=True):
    """What a call wants of its answer. schema: of its text, an empty one for any JSON, None for any text. tools:
    schemas of what its tools are called with, by their names."""

    schema: dict[str, Any] | None
    tools: dict[str, dict[str, Any]]

    def of_text(self, text: str) -> str:
        """What is wrong with the text of an answer, in a word; empty when nothing is."""
        if self.schema is None or not text or len(text) > CHARS_MAX:
            return ""
        return _unfit(text, self.schema, DOES_NOT_FIT)

    def of_arguments(self, tool: str, arguments: str) -> str:
        schema = self.tools.get(tool)
        if schema is None or len(arguments) > CHARS_MAX:
            return ""
        return ARGUMENTS if _unfit(arguments or "{}", schema, ARGUMENTS) else ""


def _unfit(text: str, schema: dict[str, Any], otherwise: str) -> str:
    try:
        value: object = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return NOT_JSON
    return otherwise if faults(value, schema) else ""


class _Whole:
    """Lets a text pass and judges it at its end. tool: the one that is called with it, empty for none."""

    __slots__ = ("_chars", "_pieces", "_tool", "_wanted", "held")

    def __init__(self, wanted: Wanted, tool: str) -> None:
        self._wanted = wanted
        self._tool = tool
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
        text = "".join(self._pieces)
        wrong = self._wanted.of_arguments(self._tool, text) if self._tool else self._wanted.of_text(text)
        return "", Verdict(NAME, wrong, FLAG, "tool" if self._tool else "text") if wrong else None


class _Named:
    """The name of a tool that is called: what comes next in its place is what it is called with."""

    __slots__ = ("_calls", "_place", "held")

    def __init__(self, calls: dict[tuple[int, int], str], place: tuple[int, int]) -> None:
        self._calls = calls
        self._place = place
        self.held = ""

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        if len(self._calls) < CALLS_MAX or self._place in self._calls:
            self._calls[self._place] = text
        return text, None

    def end(self) -> tuple[str, Verdict | None]:
        return "", None


class _Watch:
    hold_chars_max = 0

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._calls: dict[tuple[int, int], str] = {}

    def window(self, channel: Channel) -> _Whole | _Named | None:
        place = (channel.choice, channel.part)
        if channel.kind == "text":
            return _Whole(self._wanted, "") if self._wanted.schema is not None else None
        if channel.kind == "call" and self._wanted.tools:
            return _Named(self._calls, place)
        if channel.kind == "tool":
            tool = self._calls.get(place, "")
            return _Whole(self._wanted, tool) if tool in self._wanted.tools else None
        return None

    def passes(self, channel: Channel, text: str) -> bool:
        return False

    def over(self) -> None:
        return None


class _Answers:
    def watch(self, call: Call) -> _Watch | None:
        found = wanted(call.doc)
        return _Watch(found) if found is not None else None


def wanted(doc: dict[str, Any]) -> Wanted | None:
    """What a call wants of its answer, in any dialect; None where that is anything."""
    schema, tools = asked_for(doc), _tools(doc)
    return Wanted(schema, tools) if schema is not None or tools else None


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


def _tools(doc: dict[str, Any]) -> dict[str, dict[str, Any]]:
    declared: object = doc.get("tools")
    found: dict[str, dict[str, Any]] = {}
    for one in cast("list[object]", declared) if isinstance(declared, list) else ():
        tool = _object(one)
        inner = _object(tool.get("function")) or tool
        schema = inner.get("parameters") or inner.get("input_schema")
        if isinstance(schema, dict) and isinstance(inner.get("name"), str):
            found[inner["name"]] = cast("dict[str, Any]", schema)
    return found


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def make(use: GuardUse, means: Means) -> Guard:
    assert isinstance(use.options, ValidJson)
    # After everything that changes a text: judged is what the client gets.
    return Guard(use, answer=_Answers(), order=20)
