"""Halves of characters that JSON escapes leave alone: joined over the events of a stream, else U+FFFD.

A provider that cuts its text by UTF-16 units may write `\\ud83d` at the end of one delta and `\\ude00` at the start of
the next one. Neither is a character, strict JSON readers refuse both, and no guard could read what they mean. So the
event that ends in the first half waits for the next one of the same text, and gets the whole character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from signalbox.core.stream import SseEvent
from signalbox.wire.sse import SseDecoder

# A half by its escape, with no other half where that would have to be. What follows a backslash that is itself escaped
# looks the same: reading the JSON tells.
_looks_alone = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
).search
_alone = re.compile("[\ud800-\udfff]")
INSTEAD = "\ufffd"
# While a half waits, so many events may wait behind it: of other choices, or signs of life.
WAITING_MAX = 64
# What an event of a stream is about, besides the place of its strings.
_ABOUT = ("type", "index", "output_index", "content_index", "summary_index", "item_id")
_Place = tuple[Any, ...]


def mended(body: bytes) -> bytes:
    """A whole JSON document with U+FFFD for halves that stay alone; the very same object where there are none."""
    if _looks_alone(body) is None:
        return body
    entry = _Entry.of(SseEvent(b"", "", body))
    if entry is None:
        return body
    entry.settle()
    return entry.written().data


class JoiningDecoder(SseDecoder):
    """An SseDecoder whose events have no half of a character; one that ends in a half is kept until the next."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[_Entry] = []

    def feed(self, data: bytes) -> list[SseEvent]:
        events = super().feed(data)
        for event in events:
            if self._waiting or (b"\\u" in event.data and _looks_alone(event.data) is not None):
                return [joined for event in events for joined in self._joined(event)]
        return events

    def single(self, data: bytes) -> bytes | None:
        return None if self._waiting else super().single(data)

    @property
    def idle(self) -> bool:
        return not self._waiting and super().idle

    def _joined(self, event: SseEvent) -> list[SseEvent]:
        """What may go on once this event is here."""
        waiting = self._waiting
        if not waiting and _looks_alone(event.data) is None:
            return [event]
        entry = _Entry.of(event)
        if entry is None or len(waiting) >= WAITING_MAX:
            # `[DONE]`, or nothing that could be read: it goes on behind all that waits.
            if not event.comment:
                self._settle()
            entry = entry or _Entry(event, None)
        else:
            for earlier in waiting:
                earlier.meet(entry)
        waiting.append(entry)
        ready = next((at for at, one in enumerate(waiting) if one.tails), len(waiting))
        events = [one.written() for one in waiting[:ready]]
        del waiting[:ready]
        return events

    def _settle(self) -> None:
        for entry in self._waiting:
            entry.settle()


class _Entry:
    """One event. doc: its data, None when that is not JSON. tails: where its strings end in a first half that waits."""

    __slots__ = ("_about", "_changed", "_strings", "doc", "event", "tails")

    def __init__(self, event: SseEvent, doc: Any) -> None:
        self.event = event
        self.doc = doc
        self.tails: list[_Place] = []
        self._changed = False
        self._strings: dict[_Place, tuple[Any, Any]] = {}
        self._about: _Place = ()
        if isinstance(doc, dict):
            self._about = tuple(cast(dict[str, Any], doc).get(name) for name in _ABOUT)
            for place, holder, key in _strings_of(doc):
                self._strings[place] = (holder, key)
                if "\ud800" <= holder[key][-1:] <= "\udbff":
                    self.tails.append(place)

    @classmethod
    def of(cls, event: SseEvent) -> _Entry | None:
        try:
            return cls(event, json.loads(event.data))
        except (ValueError, RecursionError):
            return None

    def meet(self, later: _Entry) -> None:
        """What a later event says of the halves that this one waits for."""
        for place in self.tails[:]:
            if self._about == later._about and place in later._strings:
                if not later._text(place):
                    continue  # it says nothing yet
                self.tails.remove(place)
                self._end(place, later.take_half(place))
            elif not later.is_beside(self._about, place):
                self.tails.remove(place)
                self._end(place, "")

    def take_half(self, place: _Place) -> str:
        """The second half that a string begins with, which is no longer part of it; empty for none."""
        text = self._text(place)
        if not "\udc00" <= text[:1] <= "\udfff":
            return ""
        self._put(place, text[1:])
        return text[0]

    def is_beside(self, about: _Place, place: _Place) -> bool:
        """Whether this is about another choice, block or item, or about none, so that the other half may still come."""
        if self.event.event == "ping" or self._about[:1] == ("ping",):
            return True
        if self._about[:1] != about[:1]:
            return False
        if self._about != about:
            return True
        others = [one[1] for one in self._strings if len(one) > 1 and one[0] == place[0]]
        return bool(others) and place[1:2] != () and place[1] not in others

    def settle(self) -> None:
        """Nothing will come that the halves could be joined with."""
        for place in self.tails:
            self._end(place, "")
        self.tails.clear()

    def written(self) -> SseEvent:
        """The event as it goes on: its own bytes unless something was changed."""
        event = self.event
        for place in self._strings:
            self._put(place, _alone.sub(INSTEAD, self._text(place)))
        if not self._changed:
            return event
        data = json.dumps(self.doc, separators=(",", ":")).encode()
        name = b"event: %b\n" % event.event.encode() if event.event else b""
        return SseEvent(name + b"data: " + data + b"\n\n", event.event, data)

    def _end(self, place: _Place, half: str) -> None:
        text = self._text(place)
        whole = (text[-1] + half).encode("utf-16", "surrogatepass").decode("utf-16") if half else INSTEAD
        self._put(place, text[:-1] + whole)

    def _text(self, place: _Place) -> str:
        holder, key = self._strings[place]
        return holder[key]

    def _put(self, place: _Place, text: str) -> None:
        holder, key = self._strings[place]
        if holder[key] != text:
            holder[key] = text
            self._changed = True


def _strings_of(value: Any, place: _Place = ()) -> Iterator[tuple[_Place, Any, Any]]:
    """Every string that is a value: its place, what holds it, and under which key. Items of a list that say their index
    are told apart by it."""
    if isinstance(value, dict):
        items: Any = cast(dict[str, Any], value).items()
    elif isinstance(value, list):
        items = enumerate(cast(list[Any], value))
    else:
        return
    for key, inner in items:
        index = cast(dict[str, Any], inner).get("index") if isinstance(inner, dict) else None
        where = (*place, index if isinstance(index, int) and isinstance(value, list) else key)
        if isinstance(inner, str):
            yield where, value, key
        else:
            yield from _strings_of(inner, where)
