"""Guard `no-secrets`: keys, tokens and passwords in answers."""

from __future__ import annotations

import re
from functools import cache

from signalbox.config.schema_guards import NoSecrets
from signalbox.core.call import Call
from signalbox.core.guards import GuardUse
from signalbox.detectors import secrets
from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.scan import Scanner
from signalbox.detectors.secret_tokens import PREFIXES
from signalbox.guard.contract import Guard, Means
from signalbox.guard.spans import Spans
from signalbox.guard.window import ACTION_OF, TextWatch

NAME = "no-secrets"
# A private key is the longest thing that is waited for.
HOLD_CHARS_MAX = 8400

_NEEDLES = ("pass", "pwd", "secret", "token", "key", "auth", "cred", "seed")
_NAMES = rf"(?:{'|'.join(_NEEDLES)})"
_SCHEMES = ("bearer", "basic", "ntlm", "digest", "negotiate", "apikey")
# `apikey` holds one of the others.
_COMMANDS = ("identified", "curl", "wget")
_WORDS = (*_NEEDLES, *_SCHEMES[:-1], *_COMMANDS, "-----begin", "://")
# A shorter word is no key that says what it is.
_RUN_CHARS_MIN = 16
_RUN_AT_LEAST = b"a" * _RUN_CHARS_MIN
# ASCII with everything but blanks made the same.
_UNBLANK = bytes(32 if chr(char).isspace() else 97 for char in range(256))

# A short value that a name such as `key` announces may be any constant of a program, so more has to speak for it.
_SHORT_CHARS_MAX = 9
_SHORT_SURE = 0.65

# Beginnings of known keys, by their first characters, and pieces of beginnings.
_BEGUN = frozenset(one[:end] for one in PREFIXES for end in range(1, len(one)))
_SHORTEST = min(map(len, PREFIXES))
_BY_START: dict[str, tuple[str, ...]] = {
    start: tuple(one for one in PREFIXES if one.startswith(start)) for start in {one[:_SHORTEST] for one in PREFIXES}
}
_RUN_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./+=-")
_RUN_CHARS_MAX = 4096
# The run at the end of a text, and a sign in it after which a key may begin.
_LAST_RUN = re.compile(r"[A-Za-z0-9]*+([_./+=-][A-Za-z0-9_./+=-]*+)?\Z")
# As much of what a private key begins with as is no word that is looked for.
_BLOCK_BEGUN_CHARS = 9

# A value that a name, a flag or an authentication scheme announces.
_ANNOUNCED = (
    re.compile(
        rf"(?i){_NAMES}[\w.-]{{0,32}}+\\?[\"'`\])]{{0,4}}+"
        r"(?:\s{0,8}(?:=>|:=|={1,3}|!=|:|,|\(|<-|->)|\s(?:is|to|with)\b)\s{0,8}(?:[\[{(]\s{0,2})?"
        r"(?P<v>\\?[\"'`]{1,3}[^\"'`\n]{0,512}|[^\s\"'`,;(){}\[\]<>&|]{0,512})\Z"
    ),
    re.compile(rf"(?i)-[\w-]{{0,24}}{_NAMES}[\w-]{{0,24}}[ =](?P<v>\S{{0,128}})\Z"),
)
_ANNOUNCED_CHARS_MAX = 640
_SCHEME = re.compile(rf"(?i)\b(?:{'|'.join(_SCHEMES)}|token)[ :]{{1,2}}(?P<v>[\"']?[\w.~+/=-]{{0,4096}})\Z")
# In SQL, and what is called with a name and a password.
_COMMANDED = re.compile(
    r"(?i)(?:\bidentified(?: with \w{1,40})? by(?: password)? {1,2}\\?[\"'`]?|"
    r"\s(?:-u|--user)[ =]{1,2}\\?[\"']?[^\s:\"']{1,64}:)(?P<v>[^\s\"'`;\\]{0,128})\Z"
)
_ADDRESS = re.compile(r"://(?P<v>[^\s/@\"'`<>]{0,256}@?)\Z")
_WEBHOOK = re.compile(r"(?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks)/(?P<v>[\w/+-]{0,200})\Z")
_BLOCK = re.compile(r"-{1,5}(?:B(?:E(?:G(?:I(?:N[A-Z0-9 ]{0,64}-{0,5}[^-]{0,8192})?)?)?)?)?\Z")


def _may_hold(text: str) -> bool:
    if text.isascii():
        long = text.encode().translate(_UNBLANK).find(_RUN_AT_LEAST) >= 0
    else:
        long = max(map(len, text.split()), default=0) >= _RUN_CHARS_MIN
    return long or _says(text.lower(), _WORDS)


def _says(low: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - `any` over a generator takes three times as long
        if word in low:
            return True
    return False


def _opens(text: str, begin: int) -> int:
    """Where what may become a secret begins. Ordinary words cost a look at the last one, and for a few substrings."""
    found = _run(text, begin)
    tail = text[max(begin, len(text) - _ANNOUNCED_CHARS_MAX) :].lower()
    if _says(tail, _NEEDLES):
        for pattern in _ANNOUNCED:
            found = _earlier(pattern, text, max(begin, len(text) - _ANNOUNCED_CHARS_MAX), found)
    if _says(tail, _SCHEMES) or "token" in tail:
        found = _earlier(_SCHEME, text, begin, found)
    if _says(tail, _COMMANDS):
        found = _earlier(_COMMANDED, text, begin, found)
    if "://" in tail:
        found = _earlier(_ADDRESS, text, begin, found)
        found = _earlier(_WEBHOOK, text, begin, found)
    return _earlier(_BLOCK, text, begin, found) if "-" in text[begin:] else found


def _opens_plain(text: str) -> int:
    """The same where no word announces anything and the last run of characters is short."""
    end = len(text)
    if text[-1] == " ":
        return end
    if "-" in text[-_BLOCK_BEGUN_CHARS:]:
        begun = _BLOCK.search(text, max(0, end - _BLOCK_BEGUN_CHARS))
        if begun is not None:
            return min(begun.start(), _run(text, 0))
    last = _LAST_RUN.search(text, max(0, end - _RUN_CHARS_MIN))
    if last is None:
        return end
    run = last[0]
    if last[1] is None:
        return last.start() if _begins(run) else end
    return _run(text, 0)


def _earlier(pattern: re.Pattern[str], text: str, begin: int, found: int) -> int:
    match = pattern.search(text, begin)
    if match is None:
        return found
    return min(found, match.start("v") if "v" in pattern.groupindex else match.start())


def _run(text: str, begin: int) -> int:
    """Where in the unfinished run of characters at the end a known key may begin."""
    at = end = len(text)
    begin = max(begin, end - _RUN_CHARS_MAX)
    while at > begin and text[at - 1] in _RUN_CHARS:
        at -= 1
    start = at
    while start < end:
        if (start == at or text[start - 1] in "_-./+=") and _begins(text[start:]):
            return start
        start += 1
    return end


def _sure(found: Found) -> float:
    return _SHORT_SURE if found.kind == "assigned" and found.end - found.start <= _SHORT_CHARS_MAX else RAISES


def _begins(run: str) -> bool:
    """Whether it is the beginning of a known key, or begins with that of one."""
    return run in _BEGUN or any(run.startswith(one) for one in _BY_START.get(run[:_SHORTEST], ()))


@cache
def _scanner() -> Scanner:
    """One for all workloads and configurations: to make it ready takes a while."""
    return Scanner([secrets.DETECTOR])


class _Filter:
    def __init__(self, action: str) -> None:
        spans = Spans(_scanner(), _may_hold, _opens, _opens_plain, HOLD_CHARS_MAX, sure=_sure)
        self._watch = TextWatch(NAME, spans, action)

    def watch(self, call: Call) -> TextWatch:
        return self._watch


def make(use: GuardUse, means: Means) -> Guard:
    options = use.options
    assert isinstance(options, NoSecrets)
    return Guard(use, answer=_Filter(ACTION_OF[options.action]), scanner=_scanner())
