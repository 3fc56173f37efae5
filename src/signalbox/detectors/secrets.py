"""Credentials and keys: tokens that say what they are, then values that a name like `password` or `token` announces.

The first kind is decided by form. The second is scored: the name, the way it is written, and what the value looks
like are features of a small logistic model whose weights are data (detectors/secret_weights.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from signalbox.detectors import secret_tokens
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.secret_score import score
from signalbox.detectors.view import View

# What names of secrets contain. Substrings, because `dbPassword`, `DB_PASSWD` and `passwordHash` are one word each.
NEEDLES = (b"pass", b"pwd", b"secret", b"token", b"key", b"auth", b"cred", b"seed")

# Scored candidates per text: three for every KB and never fewer than 40. Beyond it only tokens that say what they are
# are looked for; the cap bounds time, and a text with that many assignments has long been labelled.
_SCORED_PER_KB, _SCORED_MIN = 3, 40

_ASSIGN = re.compile(
    rb"([A-Za-z0-9_.-]{0,32}+)"  # the rest of the name
    rb"(?:\\?[\"'`])?[\])]{0,2}"
    rb"([ \t]{0,8}+(?:=>|:=|={1,3}|!=|:|,|\(|<-|->)|[ \t](?:is|to|with|=)?(?=[ \t]|[\"'`]))"
    rb"\s{0,8}+(?:[\[{(]|\[\]byte[({]|ConvertTo-SecureString |[rbuf@](?=[\"']))?\s{0,2}"
    rb"(?:(\\?[\"'`]{1,3})([^\"'`\n\\]{3,512}+)|([^\s\"'`,;(){}\[\]<>&|\\]{3,512}+))"
)
_NAME_CHARS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-$"


def find(view: View) -> Iterator[Found]:
    yield from secret_tokens.find(view)
    yield from _assigned(view)


def assignments(view: View) -> Iterator[tuple[int, int, bytes, bytes, bool, bytes, bytes]]:
    """(start, end, name, separator, quoted, value, next character) of values that a telling name announces."""
    flat, lower = view.flat, view.lower
    left = max(_SCORED_MIN, len(flat) * _SCORED_PER_KB // 1024)
    seen: set[int] = set()
    for needle in NEEDLES:
        at = lower.find(needle)
        while at >= 0:
            match = _ASSIGN.match(flat, at + len(needle))
            if match is not None:
                group = 4 if match[3] is not None else 5
                start, end = match.span(group)
                if start not in seen:
                    if left == 0:
                        return
                    left -= 1
                    seen.add(start)
                    name = flat[max(0, at - 40) : at]
                    name = name[len(name.rstrip(_NAME_CHARS)) :] + needle + match[1]
                    yield start, end, name, match[2].strip(), group == 4, match[group], flat[end : end + 1]
            at = lower.find(needle, at + len(needle))


def _assigned(view: View) -> Iterator[Found]:
    for start, end, name, separator, quoted, value, after in assignments(view):
        confidence = score(name, separator, quoted, value, after)
        if confidence >= 0.3:
            yield Found("secrets", "credentials", start, end, confidence, "assigned")


DETECTOR = Detector(
    "secrets",
    find,
    words=frozenset(word.decode() for word in secret_tokens.HEADER_WORDS),
    sign=lambda _: True,
)
