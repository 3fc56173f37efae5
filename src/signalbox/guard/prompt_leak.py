"""Guard `no-system-prompt-leak`: an answer that repeats the system prompt, plain or encoded, ends there."""

from __future__ import annotations

from signalbox.config.schema_guards import PromptLeak
from signalbox.core.call import Call
from signalbox.core.guards import CUT, FLAG, Channel, GuardUse, Verdict
from signalbox.guard import spoken
from signalbox.guard.contract import Guard, Means
from signalbox.guard.overlap import Index, Overlap, index_of, own_of, words_of

NAME = "no-system-prompt-leak"


class _Window:
    """One channel. Nothing is held back: a leak is told before twelve words of it are out."""

    __slots__ = ("_action", "_cut", "_found", "_overlap", "_where", "held")

    def __init__(self, overlap: Overlap, action: str, where: str) -> None:
        self._overlap = overlap
        self._action = action
        self._where = where
        self._found = self._cut = False
        self.held = ""

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        return self._pass(text, last=False)

    def end(self) -> tuple[str, Verdict | None]:
        return self._pass("", last=True)

    def _pass(self, text: str, *, last: bool) -> tuple[str, Verdict | None]:
        if self._cut:
            return "", None
        if self._found:
            return text, None
        leak = self._overlap.feed(text, last)
        if leak is None:
            return text, None
        self._found = True
        rule, until = leak
        if self._action == FLAG:
            return text, Verdict(NAME, rule, FLAG, self._where)
        self._cut = True
        return text[:until], Verdict(NAME, rule, CUT, self._where)


class _Watch:
    """hold_chars_max: nothing is held back. own: the sequences of what the caller wrote, made when first asked for."""

    hold_chars_max = 0

    def __init__(self, index: Index, call: Call, action: str) -> None:
        self._index = index
        self._call = call
        self._action = action
        self._own: set[str] | None = None

    def window(self, channel: Channel) -> _Window:
        return _Window(Overlap(self._index, self._callers), self._action, channel.kind)

    def passes(self, channel: Channel, text: str) -> bool:
        return False

    def over(self) -> None:
        return None

    def _callers(self) -> set[str]:
        if self._own is None:
            self._own = own_of(words_of(spoken.others(self._call.doc)))
        return self._own


class _Keeper:
    def __init__(self, action: str, canaries: tuple[str, ...]) -> None:
        self._action = action
        self._canaries = canaries

    def watch(self, call: Call) -> _Watch | None:
        index = index_of(spoken.system_prompt(call.doc), self._canaries)
        return None if index.empty else _Watch(index, call, self._action)


def make(use: GuardUse, means: Means) -> Guard:
    options = use.options
    assert isinstance(options, PromptLeak)
    action = CUT if options.action == "cut" else FLAG
    return Guard(use, answer=_Keeper(action, tuple(options.canaries)), order=20)
