"""Guard `signals`: records answers that refuse, are empty, are far longer than usual, or call a tool that is new to
their workload. It changes nothing."""

from __future__ import annotations

import re

from signalbox.core.call import Call
from signalbox.core.guards import FLAG, Channel, GuardUse, Verdict
from signalbox.guard.contract import Guard, Means
from signalbox.guard.usual import Usual

NAME = "signals"
# A refusal says so at once.
OPENING_CHARS = 240

_REFUSES = re.compile(
    r"(?i)^\W{0,4}(?:(?:i['’]m|i am|we['’]re|we are) (?:very |really |truly )?(?:sorry|afraid)\b|sorry\b|"
    r"(?:unfortunately,? )?i (?:can(?:['’]t|not| not)|won['’]t|will not|am (?:not able|unable))\b|as an ai\b|"
    r"(?:es )?tut mir leid\b|leider kann ich\b|lo siento\b|(?:je suis )?désolée?\b|mi dispiace\b)"
)
_DECLINES = re.compile(
    r"(?i)\b(?:can(?:['’]t|not| not)|won['’]t|will not|unable|not able|not comfortable|must decline|"
    r"kann (?:ich )?(?:.{0,40})nicht|nicht (?:helfen|möglich)|no puedo|ne peux pas|non posso)\b"
)


class _Opening:
    """Reads the beginning of one text and lets all of it pass."""

    __slots__ = ("_answer", "_said", "_where", "held")

    def __init__(self, answer: _Watch, where: str) -> None:
        self._answer = answer
        self._where = where
        self._said = ""
        self.held = ""

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        answer = self._answer
        answer.chars += len(text)
        if not answer.spoke and text.strip():
            answer.spoke = True
        if self._where == "refusal":
            return text, answer.refuse()
        if len(self._said) < OPENING_CHARS:
            self._said += text[:OPENING_CHARS]
            if len(self._said) >= OPENING_CHARS:
                return text, self._judged()
        return text, None

    def end(self) -> tuple[str, Verdict | None]:
        return "", self._judged() if len(self._said) < OPENING_CHARS else None

    def _judged(self) -> Verdict | None:
        said = self._said[:OPENING_CHARS]
        return self._answer.refuse() if _REFUSES.match(said) and _DECLINES.search(said) else None


class _NewTool:
    """The name of a tool that this workload does not usually call."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = ""

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        return text, Verdict(NAME, "new-tool", FLAG, "call")

    def end(self) -> tuple[str, Verdict | None]:
        return "", None


class _Watch:
    hold_chars_max = 0

    def __init__(self, usual: Usual) -> None:
        self.spoke = False
        self.chars = 0
        self._usual = usual
        self._refused = False

    def window(self, channel: Channel) -> _Opening | _NewTool | None:
        if channel.kind == "call":
            return _NewTool()  # one that did not pass
        if channel.kind == "tool":
            self.spoke = True
            return None
        return _Opening(self, channel.kind) if channel.kind in ("text", "refusal") else None

    def refuse(self) -> Verdict | None:
        """Once an answer."""
        if self._refused:
            return None
        self._refused = True
        return Verdict(NAME, "refused", FLAG, "text")

    def passes(self, channel: Channel, text: str) -> bool:
        if channel.kind == "call":
            return not self._usual.is_new_tool(text)
        if channel.kind != "text":
            self.spoke = self.spoke or channel.kind == "tool"
            return channel.kind != "refusal"
        if not self.spoke and not text.isspace():
            self.spoke = True
        if _REFUSES.match(text[:OPENING_CHARS]) is not None:
            return False  # its window counts it
        self.chars += len(text)
        return True

    def over(self) -> Verdict | None:
        if not self.spoke:
            return Verdict(NAME, "empty", FLAG, "text")
        return Verdict(NAME, "long", FLAG, "text") if self._usual.is_long(self.chars) else None


class _Signals:
    def __init__(self) -> None:
        self._usual = Usual()

    def watch(self, call: Call) -> _Watch:
        return _Watch(self._usual)


def make(use: GuardUse, means: Means) -> Guard:
    return Guard(use, answer=_Signals(), order=20)
