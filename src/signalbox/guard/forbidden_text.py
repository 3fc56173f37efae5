"""Guard `forbidden-text`: strings and patterns that no answer may contain."""

from __future__ import annotations

import re
from collections.abc import Iterable

from signalbox.config.schema_guards import ForbiddenText
from signalbox.core.call import Call
from signalbox.core.errors import ConfigError
from signalbox.core.guards import GuardUse
from signalbox.detectors.pattern_safety import UnsafePattern
from signalbox.guard.contract import Guard, Means
from signalbox.guard.partial import Bounded, bounded
from signalbox.guard.window import ACTION_OF, LOOK_BACK_CHARS, Finder, Hit, TextWatch

NAME = "forbidden-text"
_FEW = 16


class Strings:
    """Finds fixed strings in any case."""

    context_chars = 0

    def __init__(self, strings: Iterable[str]) -> None:
        known = sorted({folded(one) for one in strings}, key=lambda one: (-len(one), one))
        # Nearly no text has any, and a search for each of a few is cheaper than for all at once.
        self._few = tuple(known) if len(known) <= _FEW else ()
        self._pattern = re.compile("|".join(map(re.escape, known)))
        self._beginnings = frozenset(one[:end] for one in known for end in range(1, len(one)))
        self._first = frozenset(one[0] for one in known)
        self.hold_chars_max = len(known[0]) - 1

    def find(self, text: str, at: int, last: bool) -> Hit | None:
        low = folded(text)
        for one in self._few:
            if low.find(one, at) >= 0:
                break
        else:
            if self._few:
                return None
        match = self._pattern.search(low, at)
        return Hit(match.start(), match.end(), "string") if match is not None else None

    def quick(self, text: str, since: int) -> int:
        new = max(0, since + LOOK_BACK_CHARS - self.hold_chars_max) if since else 0
        return self.open_from(text, 0) if self.find(text[new:], 0, False) is None else -1

    def open_from(self, text: str, at: int) -> int:
        start = max(at, len(text) - self.hold_chars_max)
        tail = folded(text[start:])
        for begin, char in enumerate(tail):
            if char in self._first and tail[begin:] in self._beginnings:
                return start + begin
        return len(text)


class Patterns:
    """Finds patterns of bounded length, the first that begins first."""

    # A word's border needs the character before it.
    context_chars = 1

    def __init__(self, patterns: dict[str, Bounded]) -> None:
        self._patterns = list(patterns.items())
        self.hold_chars_max = max(one.chars_max for one in patterns.values())

    def find(self, text: str, at: int, last: bool) -> Hit | None:
        best: Hit | None = None
        for name, one in self._patterns:
            match = one.whole.search(text, at)
            if match is not None and (best is None or (match.start(), -match.end()) < (best.start, -best.end)):
                best = Hit(match.start(), match.end(), name)
        return best

    def quick(self, text: str, since: int) -> int:
        return -1

    def open_from(self, text: str, at: int) -> int:
        start = max(at, len(text) - self.hold_chars_max)
        found = (one.open.search(text, start) for _, one in self._patterns)
        return min((match.start() for match in found if match is not None), default=len(text))


def folded(text: str) -> str:
    """In lower case, character by character, so that places in one are places in the other."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join([one if len(one) == 1 else char for char in text for one in (char.lower(),)])


class _Filter:
    def __init__(self, finder: Finder, action: str) -> None:
        self._watch = TextWatch(NAME, finder, action)

    def watch(self, call: Call) -> TextWatch:
        return self._watch


class _Both:
    """Strings and patterns together."""

    def __init__(self, strings: Strings, patterns: Patterns) -> None:
        self._strings = strings
        self._patterns = patterns
        self.context_chars = patterns.context_chars
        self.hold_chars_max = max(strings.hold_chars_max, patterns.hold_chars_max)

    def find(self, text: str, at: int, last: bool) -> Hit | None:
        found = [hit for one in (self._strings, self._patterns) if (hit := one.find(text, at, last)) is not None]
        return min(found, key=lambda hit: (hit.start, -hit.end), default=None)

    def quick(self, text: str, since: int) -> int:
        return -1

    def open_from(self, text: str, at: int) -> int:
        return min(self._strings.open_from(text, at), self._patterns.open_from(text, at))


def make(use: GuardUse, means: Means) -> Guard:
    """Raises ConfigError for a pattern that cannot be used on a stream."""
    options = use.options
    assert isinstance(options, ForbiddenText)
    if not (options.strings or options.patterns):
        raise ConfigError([f"guard {NAME} of workload {means.workload.name!r} needs `strings` or `patterns`"])
    patterns: dict[str, Bounded] = {}
    for name, pattern in options.patterns.items():
        try:
            patterns[name] = bounded(pattern)
        except UnsafePattern as error:
            what = f"guard {NAME} of workload {means.workload.name!r}, pattern {name!r}: {error}"
            raise ConfigError([what]) from None
    finder: Finder
    if options.strings and patterns:
        finder = _Both(Strings(options.strings), Patterns(patterns))
    else:
        finder = Strings(options.strings) if options.strings else Patterns(patterns)
    return Guard(use, answer=_Filter(finder, ACTION_OF[options.action]))
