"""Windows on streamed text: what cannot be part of a match goes on at once, what may become one waits.

The same class serves every filter; what it looks for is a `Finder`. Whole texts go through the same code as streams,
so that an answer is the same however it is asked for.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from signalbox.core.guards import CUT, FLAG, REPLACE, Channel, Verdict
from signalbox.guard.json_text import in_string


class Hit(NamedTuple):
    """A match from start to end, and the rule it is of."""

    start: int
    end: int
    rule: str


class Finder(Protocol):
    """What a window looks for. context_chars: how much of what was already shown it wants to see before the rest.
    hold_chars_max: more than this it never leaves open."""

    context_chars: int
    hold_chars_max: int

    def find(self, text: str, at: int, last: bool) -> Hit | None:
        """The first match that begins at or after `at`. last: nothing follows this text."""
        ...

    def quick(self, text: str, since: int) -> int:
        """Where something opens in a text that holds nothing, told by a look at what is new; -1 where that cannot be
        told so. What is before `since`, LOOK_BACK_CHARS apart from what is new, was told so before."""
        ...

    def open_from(self, text: str, at: int) -> int:
        """Where, at or after `at`, something begins that more text may turn into a match or into another match; the
        length of the text where nothing does."""
        ...


# What stands in an answer in place of what was taken out of it.
def mark(rule: str) -> str:
    return f"[{rule} removed]"


# Whatever makes a finder look at a text, such as a word or a run of letters, is shorter than this.
LOOK_BACK_CHARS = 48

ACTION_OF = {"flag": FLAG, "redact": REPLACE, "cut": CUT}


class TextWindow:
    """One channel. action: of core.guards. After a cut nothing comes out any more."""

    __slots__ = ("_action", "_before", "_cut", "_finder", "_guard", "_in_string", "_json", "_plain", "_where", "held")

    def __init__(self, guard: str, finder: Finder, action: str, channel: Channel) -> None:
        self._guard = guard
        self._finder = finder
        self._action = action
        self._where = channel.kind
        self._before = ""
        self.held = ""
        self._cut = False
        self._json = channel.kind == "tool"
        self._in_string = False
        # Nothing that was not shown yet, or a little before, holds anything.
        self._plain = False

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        return self._pass(text, last=False)

    def end(self) -> tuple[str, Verdict | None]:
        return self._pass("", last=True)

    def _pass(self, new: str, *, last: bool) -> tuple[str, Verdict | None]:
        if self._cut or not (new or self.held):
            return "", None
        finder, before = self._finder, self._before
        text = f"{before}{self.held}{new}"
        at = len(before)
        if not last:
            since = len(text) - len(new) - LOOK_BACK_CHARS
            until = finder.quick(text, since if self._plain and since > 0 else 0)
            self._plain = until >= 0
            if until >= 0:
                return self._shown(text, at, max(at, until, len(text) - finder.hold_chars_max)), None
        out: list[str] = []
        rule, hits = "", 0
        until = len(text) if last else self._open_from(text, at)
        while at < len(text):
            hit = finder.find(text, at, last)
            if hit is None or hit.start >= until:
                break
            rule, hits = rule or hit.rule, hits + 1
            out.append(text[at : hit.start])
            if self._action == CUT:
                self._cut = True
                self.held = ""
                return "".join(out), Verdict(self._guard, hit.rule, CUT, self._where)
            out.append(text[hit.start : hit.end] if self._action == FLAG else self._mark(text[at : hit.start], hit))
            if self._json:
                self._in_string = in_string(text[at : hit.end], self._in_string)
            at = hit.end
            if at > until and not last:
                until = self._open_from(text, at)
        shown = max(at, until)
        if at < until:
            out.append(text[at:until])
            if self._json:
                self._in_string = in_string(text[at:until], self._in_string)
        self.held = text[shown:]
        self._before = text[max(0, shown - finder.context_chars) : shown] if finder.context_chars else ""
        return "".join(out), Verdict(self._guard, rule, self._action, self._where, hits) if hits else None

    def _shown(self, text: str, at: int, until: int) -> str:
        """All up to here is shown, and what follows is held."""
        self.held = text[until:]
        chars = self._finder.context_chars
        self._before = text[max(0, until - chars) : until] if chars else ""
        said = text[at:until]
        if self._json:
            self._in_string = in_string(said, self._in_string)
        return said

    def _mark(self, before: str, hit: Hit) -> str:
        """In JSON a number that is taken out leaves another value."""
        if self._json and not in_string(before, self._in_string):
            return "null"
        return mark(hit.rule)

    def _open_from(self, text: str, at: int) -> int:
        """What is open longer than anything looked for can be, is none of it."""
        return max(self._finder.open_from(text, at), len(text) - self._finder.hold_chars_max)


class TextWatch:
    """Looks at the text of one answer for what one finder finds, in a window for each channel."""

    def __init__(self, name: str, finder: Finder, action: str) -> None:
        self._name = name
        self._finder = finder
        self._action = action
        self.hold_chars_max = finder.hold_chars_max

    def window(self, channel: Channel) -> TextWindow:
        return TextWindow(self._name, self._finder, self._action, channel)

    def passes(self, channel: Channel, text: str) -> bool:
        return self._finder.find(text, 0, True) is None

    def over(self) -> None:
        return None
