"""Guard `no-system-prompt-leak`: an answer that repeats the system prompt, plain or encoded, ends there."""

from __future__ import annotations

from signalbox.config.schema_guards import PromptLeak
from signalbox.core.call import Call
from signalbox.core.guards import CUT, FLAG, Channel, GuardUse, Verdict
from signalbox.guard import spoken
from signalbox.guard.contract import Guard, Means
from signalbox.guard.overlap import Index, Overlap, index_of, own_of, words_of

NAME = "no-system-prompt-leak"
# What may be the beginning of a leak waits, up to so many characters: somewhat more than twelve words.
HOLD_CHARS_MAX = 120


class Window:
    """One channel. Where an answer follows the prompt for a few words, the next ones wait until it is clear whether it
    goes on: so a leak is told before twelve words of it are out, even where some of them are others."""

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
            return self._shown(text, last), None
        self._found = True
        rule, until = leak
        if self._action == FLAG:
            return text, Verdict(NAME, rule, FLAG, self._where)
        self._cut = True
        before, self.held = self.held, ""
        # The run began in this text: what waited is not of it.
        return f"{before}{text[:until]}" if until else "", Verdict(NAME, rule, CUT, self._where)

    def _shown(self, text: str, last: bool) -> str:
        """What goes on now, in an answer that does not leak so far."""
        if last or self._action == FLAG or not self._overlap.live:
            text, self.held = f"{self.held}{text}", ""
            return text
        waiting = f"{self.held}{text}"
        at = max(0, len(waiting) - HOLD_CHARS_MAX)
        self.held = waiting[at:]
        return waiting[:at]


class _Watch:
    """own: the sequences of what the caller wrote, made when first asked for."""

    hold_chars_max = HOLD_CHARS_MAX

    def __init__(self, index: Index, call: Call, action: str) -> None:
        self._index = index
        self._call = call
        self._action = action
        self._own: set[str] | None = None

    def window(self, channel: Channel) -> Window:
        return Window(Overlap(self._index, self._callers), self._action, channel.kind)

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
