"""Guard `no-secrets`: keys, tokens and passwords in answers."""

from __future__ import annotations

import re

from signalbox.config.schema_guards import NoSecrets
from signalbox.core.call import Call
from signalbox.core.guards import Channel, GuardUse
from signalbox.detectors import secrets
from signalbox.detectors.secret_tokens import PREFIXES
from signalbox.guard.contract import Guard, Means
from signalbox.guard.spans import Spans
from signalbox.guard.window import ACTION_OF, TextWindow

NAME = "no-secrets"
# A private key is the longest thing that is waited for.
HOLD_CHARS_MAX = 8400

_NAMES = r"(?:pass|pwd|secret|token|key|auth|cred|seed)"
_BEGUN = "|".join(sorted({re.escape(one[:end]) for one in PREFIXES for end in range(1, len(one))}, key=len))
_WHOLE = "|".join(re.escape(one) for one in sorted(PREFIXES, key=len, reverse=True))
_GATE = re.compile(rf"(?i){_NAMES}|bearer|basic|ntlm|digest|negotiate|-----begin|://|[\w./+=-]{{16,}}")
_OPENS = (
    # A known beginning of a key, or a piece of one.
    re.compile(rf"(?<![A-Za-z0-9])(?:(?:{_WHOLE})[\w./+=-]{{0,4096}}|{_BEGUN})\Z"),
    # A value that a name announces.
    re.compile(
        rf"(?i){_NAMES}[\w.-]{{0,32}}+\\?[\"'`\])]{{0,4}}+"
        r"(?:\s{0,8}(?:=>|:=|={1,3}|!=|:|,|\(|<-|->)|\s(?:is|to|with)\b)\s{0,8}(?:[\[{(]\s{0,2})?"
        r"(?P<v>\\?[\"'`]{1,3}[^\"'`\n]{0,512}|[^\s\"'`,;(){}\[\]<>&|]{0,512})\Z"
    ),
    re.compile(rf"(?i)-[\w-]{{0,24}}{_NAMES}[\w-]{{0,24}}[ =](?P<v>\S{{0,128}})\Z"),
    re.compile(r"(?i)\b(?:bearer|basic|ntlm|digest|negotiate|apikey|token)[ :]{1,2}(?P<v>[\"']?[\w.~+/=-]{0,4096})\Z"),
    re.compile(r"://(?P<v>[^\s/@\"'`<>]{0,256}@?)\Z"),
    re.compile(r"(?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks)/(?P<v>[\w/+-]{0,200})\Z"),
    re.compile(r"-{1,5}(?:B(?:E(?:G(?:I(?:N[A-Z0-9 ]{0,64}-{0,5}[^-]{0,8192})?)?)?)?)?\Z"),
)


class _Watch:
    hold_chars_max = HOLD_CHARS_MAX

    def __init__(self, finder: Spans, action: str) -> None:
        self._finder = finder
        self._action = action

    def window(self, channel: Channel) -> TextWindow:
        return TextWindow(NAME, self._finder, self._action, channel)

    def over(self) -> None:
        return None


class _Filter:
    def __init__(self, action: str) -> None:
        self._watch = _Watch(Spans([secrets.DETECTOR], _GATE, _OPENS, HOLD_CHARS_MAX), action)

    def watch(self, call: Call) -> _Watch:
        return self._watch


def make(use: GuardUse, means: Means) -> Guard:
    options = use.options
    assert isinstance(options, NoSecrets)
    return Guard(use, answer=_Filter(ACTION_OF[options.action]))
