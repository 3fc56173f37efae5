"""What metering and completion need to know of a Responses answer that passes through untouched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from signalbox.core.stream import Seen, SseEvent
from signalbox.wire.responses_usage import read_usage

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_EARLY = frozenset({"response.created", "response.in_progress", "response.queued"})
# Items whose announcement carries nothing yet: what they hold follows in deltas.
_EMPTY_AT_START = frozenset({"message", "reasoning"})


class _Event(msgspec.Struct, gc=False):
    """One stream event, only the fields that are looked at; the rest is skipped, not built."""

    type: str = ""
    delta: Any = None
    response: msgspec.Raw = msgspec.Raw()
    item: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    code: Any = None
    message: Any = None
    partial_image_b64: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    transcript: Any = None


class _Item(msgspec.Struct, gc=False):
    type: str = ""


class ResponseHead(msgspec.Struct, gc=False):
    """The parts of a response object that say how the call ended."""

    id: Any = None
    object: Any = None
    model: Any = None
    status: Any = None
    output: msgspec.Raw = msgspec.Raw()
    usage: Any = None
    tool_usage: Any = None
    service_tier: Any = None
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_head = msgspec.json.Decoder(ResponseHead).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_any = msgspec.json.decode

MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def require_utf8(data: bytes) -> None:
    """Raises UnicodeDecodeError: a typed decode skips strings it does not need without looking at their bytes."""
    if not data.isascii():
        data.decode()


class ResponsesObserver:
    """Watches one pass-through stream. Every `*.delta` event is content, known to this version or not."""

    __slots__ = ("_chars_open", "_ended")

    def __init__(self) -> None:
        self._chars_open = 0
        self._ended = False

    def text(self, data: bytes) -> int:
        return 0  # every event of this protocol has a name

    def observe(self, event: SseEvent) -> Seen:
        data = event.data
        if not data:
            # Comments and blocks of only `id:` or `retry:` are harmless; a named event without data is no JSON.
            return Seen(ok=event.comment or not event.event)
        try:
            doc = _decode_event(data)
            require_utf8(data)
        except MALFORMED:
            # Some servers close with chat's `[DONE]`. After the terminal event it says nothing; before it, it lies.
            return Seen(ok=self._ended and data == b"[DONE]")
        kind = doc.type or event.event
        if kind.endswith(".delta"):
            delta = doc.delta
            if type(delta) is str:
                chars = len(delta)
            else:
                chars = _characters(delta)
            self._chars_open += chars
            return Seen(content=True, content_chars=chars)
        return self._occasional(kind, doc)

    def _occasional(self, kind: str, doc: _Event) -> Seen:
        """The events that are rare beside the deltas."""
        if not kind:
            return Seen(ok=False)
        if kind in TERMINAL:
            return self._terminal(kind, doc.response)
        if kind == "error":
            return Seen(error=read_error_event(doc.error, doc.code, doc.message))
        if kind in _EARLY:
            return _early(doc.response)
        if kind == "response.output_item.added":
            return _item_added(doc.item)
        if kind == "response.output_item.done":
            # Even without deltas the item is complete now, and clients act on it.
            self._chars_open = 0
            return Seen(content=True)
        if kind.endswith(".done"):
            return self._part_done(doc)
        if doc.partial_image_b64 is not None:
            return Seen(content=True, content_chars=_characters(doc.partial_image_b64))
        return Seen()

    def _part_done(self, doc: _Event) -> Seen:
        """Counts what the deltas did not: a server may tell a part only when it is whole."""
        whole = next((v for v in (doc.text, doc.refusal, doc.arguments, doc.input, doc.transcript) if v), None)
        if whole is None:
            return Seen()
        chars = max(_characters(whole) - self._chars_open, 0)
        self._chars_open = 0
        return Seen(content=True, content_chars=chars)

    def _terminal(self, kind: str, raw: msgspec.Raw) -> Seen:
        try:
            head = _decode_head(raw)
        except MALFORMED:
            return Seen(ok=False)
        self._ended = True
        error = None
        if kind == "response.failed":
            error = read_error(head.error) or ("server_error", "The upstream reported that the response failed.")
        return Seen(
            finished=error is None,
            end=True,
            usage=read_usage(head.usage, head.tool_usage, head.service_tier),
            error=error,
            model=head.model if isinstance(head.model, str) else None,
        )


def seen(body: bytes) -> Seen:
    """Usage and completeness of a whole unary answer. `incomplete` is a complete answer that met a limit; a
    background response comes back `queued` or `in_progress` and is neither finished nor billed yet."""
    try:
        head = _decode_head(body)
        require_utf8(body)
        if not bytes(head.output):
            return Seen(ok=False, error=read_error(head.error))
        output = _decode_any(head.output)
    except MALFORMED:
        return Seen(ok=False)
    if not isinstance(output, list) or (head.object is not None and head.object != "response"):
        return Seen(ok=False)
    chars = _output_characters(cast("list[Any]", output))
    error = None
    if head.status in ("failed", "cancelled"):
        error = read_error(head.error) or ("server_error", f"The upstream reported the response as {head.status}.")
    return Seen(
        content=chars > 0,
        content_chars=chars,
        finished=error is None and head.status not in ("queued", "in_progress"),
        end=True,
        usage=read_usage(head.usage, head.tool_usage, head.service_tier),
        error=error,
        model=head.model if isinstance(head.model, str) else None,
    )


def read_error(raw: object) -> tuple[str, str] | None:
    """(type, message) of an `error` object, however little of it there is; None when there is none."""
    if isinstance(raw, str) and raw:
        return "server_error", raw
    if not isinstance(raw, dict):
        return None
    error = cast("dict[str, Any]", raw)
    kind = error.get("code") or error.get("type")
    message = error.get("message")
    named = isinstance(kind, str | int) and not isinstance(kind, bool)
    return (str(kind) if named else "server_error"), (message if isinstance(message, str) else "")


def read_error_event(nested: msgspec.Raw, code: object, message: object) -> tuple[str, str]:
    """(type, message) of an `error` event: the API sends the object nested, its published schema says flat."""
    if bytes(nested):
        error = read_error(_decode_any(nested))
        if error is not None:
            return error
    return (
        code if isinstance(code, str) and code else "server_error",
        message if isinstance(message, str) else "",
    )


def _early(raw: msgspec.Raw) -> Seen:
    try:
        head = _decode_head(raw)
    except MALFORMED:
        return Seen(ok=False)
    return Seen(model=head.model if isinstance(head.model, str) else None)


def _item_added(raw: msgspec.Raw) -> Seen:
    try:
        kind = _decode_item(raw).type
    except MALFORMED:
        # Null items exist in the wild and official clients skip them.
        return Seen()
    return Seen(content=kind not in _EMPTY_AT_START)


def _characters(value: object) -> int:
    """Characters in the strings of a delta that is not plain text (shell output: stdout and stderr)."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(v) for v in cast("dict[str, Any]", value).values() if isinstance(v, str))
    return 0


def _output_characters(items: Iterable[Any]) -> int:
    total = 0
    for item in items:
        if not isinstance(item, dict):
            continue
        fields = cast("dict[str, Any]", item)
        for name in ("arguments", "input", "result", "code"):
            total += _characters(fields.get(name))
        for name in ("content", "summary"):
            parts = fields.get(name)
            if isinstance(parts, list):
                for part in cast("list[Any]", parts):
                    if isinstance(part, dict):
                        text = cast("dict[str, Any]", part)
                        total += _characters(text.get("text")) + _characters(text.get("refusal"))
    return total
