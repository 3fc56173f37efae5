"""Whether a second answer says what a first one began to say, and what it says beyond that. Pure, over hub events.

Nothing of the second answer is let through until all that was told of the first has been found in it, part by part and
character by character, so that two different answers are never put together.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from signalbox.core.hub import (
    Event,
    Finished,
    PartDone,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStarted,
)

TEXT, THINKING, REFUSAL, TOOL = "text", "thinking", "refusal", "tool"
# What waits behind the verification, in characters: more than that is an answer of another kind.
WAITING_CHARS_MAX = 1024 * 1024


class Diverged(Exception):
    """The second answer is another one, or cannot be compared."""


class Part:
    """One part as it was told. name: of a tool. sealed: it holds what only its own provider can read."""

    __slots__ = ("done", "kind", "name", "pieces", "sealed")

    def __init__(self, kind: str, name: str = "") -> None:
        self.kind = kind
        self.name = name
        self.pieces: list[str] = []
        self.done = False
        self.sealed = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Spoken:
    """What a client was told so far. Parts are numbered as hub events number them."""

    __slots__ = ("finished", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, Part] = {}
        self.finished = False

    def note(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case TextDelta():
                    self._part(event.index, TEXT).pieces.append(event.text)
                case ToolDelta():
                    self._part(event.index, TOOL).pieces.append(event.arguments)
                case ToolStarted():
                    self.parts[event.index] = Part(TOOL, event.name)
                case ThinkingDelta():
                    part = self._part(event.index, THINKING)
                    part.pieces.append(event.text)
                    part.sealed = part.sealed or event.signature is not None or event.redacted is not None
                case RefusalDelta():
                    self._part(event.index, REFUSAL).pieces.append(event.text)
                case PartDone():
                    if event.index in self.parts:
                        self.parts[event.index].done = True
                case Finished():
                    self.finished = True
                case Started():
                    pass

    def _part(self, index: int, kind: str) -> Part:
        part = self.parts.get(index)
        if part is None:
            part = self.parts[index] = Part(kind)
        return part


class _Found:
    """How much of one told part was found again."""

    __slots__ = ("at", "done", "text", "told")

    def __init__(self, told: Part) -> None:
        self.told = told
        self.text = told.text
        self.at = 0
        self.done = False

    @property
    def whole(self) -> bool:
        return self.at == len(self.text) and (self.done or not self.told.done)


class Verifier:
    """Reads a second answer against what was told of the first. Thoughts that it shows where the first kept them to
    itself are passed over."""

    __slots__ = ("_found", "_next", "_places", "_waiting", "_waiting_chars", "verified")

    def __init__(self, spoken: Spoken) -> None:
        self._found = {index: _Found(part) for index, part in spoken.parts.items()}
        # The second answer's parts by their own numbers: which part of the first each one is, -1 for one passed over.
        self._places: dict[int, int] = {}
        self._next = 0
        self._waiting: list[Event] = []
        self._waiting_chars = 0
        self.verified = False

    def take(self, events: Iterable[Event]) -> list[Event]:
        """What of these events goes on to the client. Raises Diverged at the first character that differs."""
        for event in events:
            self._take(event)
        if not self.verified:
            if not all(found.whole for found in self._found.values()):
                return []
            self.verified = True
        waiting, self._waiting = self._waiting, []
        self._waiting_chars = 0
        return waiting

    def _take(self, event: Event) -> None:
        if isinstance(event, Started):
            return
        if not isinstance(event, Finished):
            place = self._place(event)
            if place < 0:
                return
            if place != event.index:
                event = msgspec.structs.replace(event, index=place)
        match event:
            case Finished():
                if not all(found.at == len(found.text) for found in self._found.values()):
                    raise Diverged("the second answer ends before what was told of the first")
                for found in self._found.values():
                    found.done = True
                self._wait(event)
            case TextDelta():
                rest = self._rest(event.index, TEXT, event.text)
                if rest:
                    self._wait(TextDelta(event.index, rest))
            case RefusalDelta():
                rest = self._rest(event.index, REFUSAL, event.text)
                if rest:
                    self._wait(RefusalDelta(event.index, rest))
            case ToolDelta():
                rest = self._rest(event.index, TOOL, event.arguments)
                if rest:
                    self._wait(ToolDelta(event.index, rest))
            case ThinkingDelta():
                self._thought(event)
            case ToolStarted():
                found = self._found.get(event.index)
                if found is None:
                    self._wait(event)
                elif found.told.kind != TOOL or found.told.name != event.name:
                    raise Diverged("the second answer calls another tool")
            case PartDone():
                self._done(event)

    def _place(self, event: TextDelta | RefusalDelta | ThinkingDelta | ToolStarted | ToolDelta | PartDone) -> int:
        place = self._places.get(event.index)
        if place is None:
            told = self._found.get(self._next)
            if isinstance(event, ThinkingDelta) and told is not None and told.told.kind != THINKING:
                place = -1
            else:
                place = self._next
                self._next += 1
            self._places[event.index] = place
        return place

    def _rest(self, index: int, kind: str, said: str) -> str:
        """What of a piece was not told yet."""
        found = self._found.get(index)
        if found is None:
            return said
        if found.told.kind != kind:
            raise Diverged("the second answer has a part of another kind")
        told = found.text[found.at : found.at + len(said)]
        if not said.startswith(told):
            raise Diverged("the second answer says something else")
        found.at += len(told)
        rest = said[len(told) :]
        if rest and (found.told.done or found.done):
            raise Diverged("the second answer goes on where the first had ended a part")
        return rest

    def _thought(self, event: ThinkingDelta) -> None:
        found = self._found.get(event.index)
        if found is None:
            self._wait(event)
            return
        if event.redacted is not None:
            raise Diverged("a thought that cannot be read cannot be compared")
        rest = self._rest(event.index, THINKING, event.text) if event.text else ""
        # A signature is of one provider's own text: the one that was told stays.
        signature = None if found.told.sealed else event.signature
        if rest or signature is not None:
            self._wait(ThinkingDelta(event.index, rest, signature, None, event.origin))

    def _done(self, event: PartDone) -> None:
        found = self._found.get(event.index)
        if found is None:
            self._wait(event)
            return
        if found.at < len(found.text):
            raise Diverged("the second answer ends a part before what was told of it")
        found.done = True
        if not found.told.done:
            self._wait(event)

    def _wait(self, event: Event) -> None:
        self._waiting.append(event)
        if isinstance(event, (TextDelta, RefusalDelta, ThinkingDelta)):
            self._waiting_chars += len(event.text)
        elif isinstance(event, ToolDelta):
            self._waiting_chars += len(event.arguments)
        if self._waiting_chars > WAITING_CHARS_MAX:
            raise Diverged("the second answer says too much before what was told of the first")
