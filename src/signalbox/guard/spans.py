"""What the detectors find, as windows look for it: one scan of what is not shown yet and a little before it."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.scan import Scanner
from signalbox.guard.window import Hit

# How much before a value may be what makes it one: a name of a field, a title, a word such as `phone`.
CONTEXT_CHARS = 160


class Spans:
    """A finder over the detectors of a scanner.

    gate: false where there is nothing to find, so that the detectors need not look. opens: where in a text (looking no
    further back than its second argument) what may be the beginning of a finding begins; the length of the text where
    nothing does. opens_plain: the same for a text that the gate is false for. allowed: findings that are none. sure:
    how sure one has to be.
    """

    context_chars = CONTEXT_CHARS

    def __init__(
        self,
        scanner: Scanner,
        gate: Callable[[str], bool],
        opens: Callable[[str, int], int],
        opens_plain: Callable[[str], int],
        hold_chars_max: int,
        allowed: Callable[[str], bool] | None = None,
        sure: Callable[[Found], float] | None = None,
    ) -> None:
        self._scanner = scanner
        self._gate = gate
        self._opens = opens
        self._opens_plain = opens_plain
        self.hold_chars_max = hold_chars_max
        self._allowed = allowed
        self._sure = sure
        self._last: tuple[str, list[Found]] = ("", [])

    def allowing(self, allowed: Callable[[str], bool]) -> Spans:
        """The same for one call."""
        other = Spans.__new__(Spans)
        other._scanner, other._gate, other._opens = self._scanner, self._gate, self._opens
        other.hold_chars_max, other._allowed, other._last = self.hold_chars_max, allowed, ("", [])
        other._sure, other._opens_plain = self._sure, self._opens_plain
        return other

    def find(self, text: str, at: int, last: bool) -> Hit | None:
        if not self._gate(text):
            return None
        scanned, found = self._last
        if scanned != text:
            found = self._scanner.scan(text)
            self._last = (text, found)
        for one in found:
            if one.end <= at or one.confidence < (RAISES if self._sure is None else self._sure(one)):
                continue
            start = max(one.start, at)
            if self._allowed is None or not self._allowed(text[one.start : one.end]):
                return Hit(start, one.end, one.kind or one.detector)
        return None

    def quick(self, text: str, since: int) -> int:
        return -1 if self._gate(text[since:] if since else text) else self._opens_plain(text)

    def open_from(self, text: str, at: int) -> int:
        return max(at, self._opens(text, max(0, len(text) - self.hold_chars_max - CONTEXT_CHARS)))
