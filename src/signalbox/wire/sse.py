"""Server-sent events: written, and decoded incrementally from bytes: any line ending, any split, bounded, raw bytes
kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from signalbox.core.stream import SseEvent

# A terminal event of some protocols repeats the whole answer, inline images included, on one line.
LINE_BYTES_MAX = 16 * 1024 * 1024
EVENT_BYTES_MAX = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"

_find_line_end = re.compile(rb"\r\n?|\n").search


def event(doc: Mapping[str, Any], name: str = "") -> bytes:
    """An event whose data is JSON. name: empty for none."""
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % msgspec.json.encode(doc)


class SseDecoder:
    """Feed it bytes as they come; get whole events as they complete.

    How the bytes were split never changes the events, and their `raw` joined together is what was fed so far, but
    for a byte order mark before it.
    A stray blank line becomes part of the next event's raw. A bare CR as the last byte waits for the next one
    (it may be half of a CRLF), except on a stream whose very first line ended in a bare CR: there every CR ends a
    line at once and a LF right after one is skipped, so that no event arrives one event late.
    """

    __slots__ = ("_cr_only", "_data", "_event", "_event_bytes", "_event_bytes_max", "_fields", "_first", "_line",
                 "_line_bytes", "_line_bytes_max", "_raw", "_skip_lf")  # fmt: skip

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._line_bytes_max = line_bytes_max
        self._event_bytes_max = event_bytes_max
        self._line: list[bytes] = []  # pieces of the line that has no end yet
        self._line_bytes = 0
        self._raw: list[bytes] = []  # whole lines of the event that has no end yet
        self._event_bytes = 0
        self._data: list[bytes] = []
        self._event = ""
        self._fields = False  # the open event has a line that is not blank
        self._first = True  # no line has ended yet
        self._cr_only = False
        self._skip_lf = False

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that these bytes complete. Raises ValueError when a line or an event is over its limit."""
        events: list[SseEvent] = []
        at = 0
        if self._line or self._raw or self._first or self._cr_only:
            at = self._lines(data, 0, events, until_event=data.find(b"\r") < 0 and not self._cr_only)
        elif data.find(b"\r") >= 0:
            at = self._lines(data, 0, events, until_event=False)
        # Here the open event is empty and what is left of `data` has no CR, or nothing is left.
        while at < len(data):
            end = data.find(b"\n\n", at)
            if end < 0 or not self._ordinary(data, at, end, events):
                at = self._lines(data, at, events, until_event=True)
            else:
                at = end + 2
        return events

    def single(self, data: bytes) -> bytes | None:
        """The data of these bytes where they are one whole event of the plainest shape and nothing waits, as a delta
        usually comes; else None, and `feed` is to be asked."""
        end = len(data) - 2
        if (
            data[:6] != b"data: "
            or data.find(b"\n") != end
            or data[-1] != 10
            or data.find(b"\r") >= 0
            or end > self._line_bytes_max
            or self._line
            or self._raw
            or self._first
            or self._cr_only
        ):
            return None
        return data[6:end]

    @property
    def idle(self) -> bool:
        """Nothing waits, so that what comes next is the beginning of an event."""
        return not (self._line or self._raw or self._first or self._cr_only)

    def close(self) -> tuple[list[SseEvent], bytes]:
        """At the end of the bytes: an event that was only waiting for its last CR, and what was left unfinished."""
        events: list[SseEvent] = []
        if self._line and self._line[-1].endswith(b"\r"):
            line = b"".join(self._line)
            self._line.clear()
            self._end_line(line[:-1], line, events)
        rest = b"".join(self._raw) + b"".join(self._line)
        if self._first:
            rest = rest.removeprefix(_BOM)
        self._line.clear()
        self._raw.clear()
        return events, rest

    def _ordinary(self, data: bytes, at: int, end: int, events: list[SseEvent]) -> bool:
        """The ordinary shapes, `data: …` and `event: …` with `data: …`, whole and with LF; False for any other."""
        name = ""
        start = at
        if data.startswith(b"event: ", at):
            line_end = data.find(b"\n", at, end)
            if line_end < 0:
                return False
            name = data[at + 7 : line_end].decode(errors="replace")
            start = line_end + 1
        if not data.startswith(b"data: ", start) or data.find(b"\n", start, end) >= 0:
            return False
        if end - start > self._line_bytes_max or start - at > self._line_bytes_max:
            raise ValueError("a line of the event stream is too long")
        events.append(SseEvent(data[at : end + 2], name, data[start + 6 : end]))
        return True

    def _lines(self, data: bytes, at: int, events: list[SseEvent], *, until_event: bool) -> int:
        """Takes line after line, to the end of data or (until_event) of the open event. Returns where it stopped."""
        if self._line and self._line[-1].endswith(b"\r"):  # a CR waited for this byte
            data_start = data[at : at + 1]
            if data_start:
                line = b"".join(self._line)
                self._line.clear()
                self._line_bytes = 0
                content = line[:-1]
                if data_start == b"\n":
                    line += data_start
                    at += 1
                elif self._first:
                    self._cr_only = True
                self._end_line(content, line, events)
        count = len(events)
        size = len(data)
        while at < size:
            if self._skip_lf:
                self._skip_lf = False
                if data[at] == 10:
                    self._keep(b"\n")
                    at += 1
                    continue
            found = _find_line_end(data, at)
            if found is None or (found.end() == size and data[size - 1] == 13 and not self._cr_only):
                self._hold(data[at:])
                return size
            start, end = found.span()
            if self._first and end - start == 1 and data[start] == 13:
                self._cr_only = True
            if self._cr_only and data[start] == 13:
                end = start + 1
                self._skip_lf = True
            self._take(data, at, start, end, events)
            at = end
            if until_event and len(events) > count:
                break
        return at

    def _take(self, data: bytes, at: int, start: int, end: int, events: list[SseEvent]) -> None:
        """One line that ends in these bytes: data[at:start] is its last piece, data[start:end] its line ending."""
        if self._line_bytes + start - at > self._line_bytes_max:
            raise ValueError("a line of the event stream is too long")
        content, raw = data[at:start], data[at:end]
        if self._line:
            held = b"".join(self._line)
            self._line.clear()
            self._line_bytes = 0
            content, raw = held + content, held + raw
        self._end_line(content, raw, events)

    def _hold(self, piece: bytes) -> None:
        self._line.append(piece)
        self._line_bytes += len(piece)
        if self._line_bytes > self._line_bytes_max + 1:  # one more for a CR that waits
            raise ValueError("a line of the event stream is too long")
        if len(self._line) > 4096:  # byte-sized pieces cost far more than their bytes
            self._line = [b"".join(self._line)]

    def _keep(self, raw: bytes) -> None:
        self._raw.append(raw)
        self._event_bytes += len(raw)
        if self._event_bytes > self._event_bytes_max:
            raise ValueError("an event of the event stream is too long")

    def _end_line(self, line: bytes, raw: bytes, events: list[SseEvent]) -> None:
        if self._first:
            # Out of what goes on too: behind a keep-alive of ours it would be part of the first field's name, and
            # official clients do not know it at a stream's beginning either.
            self._first = False
            line, raw = line.removeprefix(_BOM), raw.removeprefix(_BOM)
        self._keep(raw)
        if not line:
            if self._fields:
                self._end_event(events)
            return
        self._fields = True
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            self._event = line[6:].removeprefix(b" ").decode(errors="replace")
        elif line == b"data":
            self._data.append(b"")
        elif line == b"event":
            self._event = ""

    def _end_event(self, events: list[SseEvent]) -> None:
        data = b"\n".join(self._data)
        events.append(SseEvent(b"".join(self._raw), self._event, data, not data and not self._event))
        self._raw.clear()
        self._data.clear()
        self._event = ""
        self._event_bytes = 0
        self._fields = False
