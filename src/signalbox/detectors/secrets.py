"""Credentials and keys: tokens that say what they are, then values that a name like `password` or `token` announces.

The first kind is decided by form. The second is scored: the name, the way it is written, and what the value looks
like are features of a small logistic model whose weights are data (detectors/secret_weights.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from signalbox.detectors import secret_tokens
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.secret_score import score
from signalbox.detectors.view import PLACES_MAX, View, Words

# What names of secrets contain. Substrings, because `dbPassword`, `DB_PASSWD` and `passwordHash` are one word each.
NEEDLES = (b"pass", b"pwd", b"secret", b"token", b"key")
# Looked for only where a word with one of them was seen, because they are rare.
_RARE = {
    b"auth": frozenset(
        b"auth authorization oauth authdata keyauth authkey authenticate authentication authstring".split()
    ),
    b"cred": frozenset(b"cred creds credential credentials".split()),
    b"seed": frozenset(b"seed seeds seed1 seed2 oseed skseed".split()),
}
_RARE_WORDS = frozenset(word for words in _RARE.values() for word in words)

# Scored candidates per text: two for every KB and never fewer than 40. Beyond it only tokens that say what they are
# are looked for; the cap bounds time, and a text with that many assignments has long been labelled.
_SCORED_PER_KB, _SCORED_MIN = 2, 40
# The same for places where a name stands and nothing that it announces, which cost less.
_TRIED_PER_KB, _TRIED_MIN = 16, 400


_ASSIGN = re.compile(
    rb"([A-Za-z0-9_.-]{0,32}+)"  # the rest of the name
    rb"(?:\\?[\"'`])?[\])]{0,2}"
    rb"([ \t]{0,8}+(?:=>|:=|={1,3}|!=|:|,|\(|<-|->)|[ \t](?:is|to|with|=)?(?=[ \t]|[\"'`]))"
    rb"\s{0,8}+(?:[\[{(]|\[\]byte[({]|ConvertTo-SecureString |[rbuf@](?=[\"']))?\s{0,2}"
    rb"(?:(\\?[\"'`]{1,3})([^\"'`\n\\]{3,512}+)|([^\s\"'`,;(){}\[\]<>&|\\]{3,512}+))"
)
_NEXT = re.compile(rb"\\?[\"'`]\s{0,2},\s{0,2}\\?[\"'`]([^\"'`\n\\]{3,512}+)")
_LISTED_MAX = 8
# `--password hunter2` on a command line.
_FLAG = re.compile(rb"[A-Za-z0-9_-]{0,32}+ \\?[\"']?([^\s\"'`,;(){}\[\]<>&|\\-][^\s\"'`,;(){}\[\]<>&|\\]{2,127}+)")
# What a secret is called in the sentence that tells it.
_SAID_TEXT = """
    password passwords passwort kennwort contraseña contrasena clave senha wachtwoord hasło heslo lösenord passord
    salasana lozinka parola пароль 密码 パスワード 비밀번호 pw passe
"""
_SAID = Words(_SAID_TEXT.split())
# `Das Passwort lautet Winter!2023`, `la contraseña es Tr3s`: words between a name and a value that is no word.
_SAID_VALUE = re.compile(
    r"(?: \w{1,12}){0,2}? ?(?::| is| ist| lautet| es| est| è| é| to| är| er| on| je|は|是|为|는)[: ]{0,2}[\"'`«„]?"
    r"(?=[^\s\"'`,;]{0,63}\d)(?=[^\s\"'`,;]{0,63}[^\W\d])([^\s\"'`,;(){}<>]{6,64})"
)
# In prose without any `=` or `:` one of these must stand before anything is looked at.
PROSE_WORDS = frozenset(
    b"password passwords passwd passwort pwd passphrase passcode contrase\xf1a senha has\xb3o token secret".split()
)
# Start, end, name, separator, quoted, value, next character.
_Assignment = tuple[int, int, bytes, bytes, bool, bytes, bytes]
_BARE = frozenset((b"key", b"keys", b"-key"))
_VAGUE = frozenset(
    (b"key", b"keys", b"token", b"tokens", b"auth", b"secret", b"secrets", b"author", b"authority", b"pass")
)
_COLON, _EQUALS = b":="
_NAME_CHARS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-$"


def find(view: View) -> Iterator[Found]:
    if view.keyed or (view.formed and view.tokens) or not view.hits.isdisjoint(secret_tokens.WORDS):
        yield from secret_tokens.find(view)
    yield from _assigned(view)
    if view.wide_hits or not view.hits.isdisjoint(_SAID.narrow):
        yield from _said(view)


def assignments(view: View) -> Iterator[_Assignment]:
    """(start, end, name, separator, quoted, value, next character) of values that a telling name announces."""
    flat, lower = view.flat, view.lower
    needles = _needles(view)
    if not needles or (_EQUALS not in flat and _COLON not in flat and PROSE_WORDS.isdisjoint(view.hits)):
        return
    left = max(_SCORED_MIN, len(flat) * _SCORED_PER_KB // 1024)
    tries = max(_TRIED_MIN, len(flat) * _TRIED_PER_KB // 1024)
    seen: set[int] = set()
    for needle in needles:
        at = lower.find(needle)
        while at >= 0 and tries:
            tries -= 1
            after = at + len(needle)
            one = _candidate(flat, at, after)
            if one is not None and one[0] not in seen:
                if left == 0:
                    return
                left -= 1
                seen.add(one[0])
                yield one
                if one[4] and flat.find(b"[", after, one[0]) >= 0:
                    for more in _listed(flat, one):
                        if left and more[0] not in seen:
                            left -= 1
                            seen.add(more[0])
                            yield more
            at = lower.find(needle, after)


def _needles(view: View) -> Sequence[bytes]:
    """Those of the needles that occur, in their order; all when nobody has looked. The rare ones last."""
    pieces, hits = view.pieces, view.hits
    if pieces is None:
        needles: Sequence[bytes] = NEEDLES
    else:
        needles = [needle for needle in NEEDLES if needle in pieces] if pieces else ()
    if hits.isdisjoint(_RARE_WORDS):
        return needles
    return (*needles, *(rare for rare, words in _RARE.items() if not words.isdisjoint(hits)))


def _candidate(flat: bytes, at: int, after: int) -> _Assignment | None:
    """The assignment whose name has a needle at this place, if there is one worth a score."""
    match = _ASSIGN.match(flat, after)
    flag = match is None and flat[max(0, at - 20) : at].find(b"-") >= 0
    if flag:
        match = _FLAG.match(flat, after)
    if match is None:
        return None
    before = flat[max(0, at - 40) : at]
    name = before[len(before.rstrip(_NAME_CHARS)) :] + flat[at:after]
    if flag and not name.startswith(b"-"):
        return None
    group = 1 if flag else 4 if match[3] is not None else 5
    separator = b"flag" if flag else match[2].strip()
    if separator == b":" and group == 5 and match[2] != b":" and match.start(5) == match.end(2):
        separator = b"symbol"  # `oauth :github` names a thing, as Ruby writes it
    name = name if flag else name + match[1]
    if _is_hopeless(name, match[group], group):
        return None
    start, end = match.span(group)
    return start, end, name, separator, group == 4, match[group], flat[end : end + 1]


def _listed(flat: bytes, one: _Assignment) -> Iterator[_Assignment]:
    """What follows the first value in its list, as in `"tokens": ["…", "…"]`."""
    _, end, name, separator, quoted, _, _ = one
    for _ in range(_LISTED_MAX):
        match = _NEXT.match(flat, end)
        if match is None:
            return
        start, end = match.span(1)
        yield start, end, name, separator, quoted, match[1], flat[end : end + 1]


def _is_hopeless(name: bytes, value: bytes, group: int) -> bool:
    """Values not worth a score: what a bare `key` holds when it is short, and plain words without quotes."""
    if name.lower() in _BARE and len(value) < 16:
        return True
    return (
        group != 4
        and len(value) < 24
        and value.isalpha()
        and (value.islower() or value.istitle())
        and (name.lower() in _VAGUE)
    )


def _assigned(view: View) -> Iterator[Found]:
    for start, end, name, separator, quoted, value, after in assignments(view):
        confidence = score(name, separator, quoted, value, after)
        if confidence >= 0.3:
            yield Found("secrets", "credentials", start, end, confidence, "assigned")


def _said(view: View) -> Iterator[Found]:
    """Values that a sentence announces, in the languages whose words are known."""
    text = view.text
    ends = [end for _, end in view.after(_SAID.narrow)]
    for wide in sorted(view.wide_hits.intersection(_SAID.wide)):
        ends += (match.end() for match in islice(re.finditer(re.escape(wide), text, re.I), PLACES_MAX))
    for end in ends:
        match = _SAID_VALUE.match(text, end)
        if match is not None and not any(found.start <= match.start(1) < found.end for found in view.found):
            yield Found("secrets", "credentials", match.start(1), match.end(1), 0.7, "announced")


def _may_hold(view: View) -> bool:
    """Whether there is anything that announced values are told by; words, marks and tokens speak for themselves."""
    return _COLON in view.flat or _EQUALS in view.flat


DETECTOR = Detector(
    "secrets",
    find,
    tags=("credentials",),
    words=frozenset(word.decode("latin-1") for word in secret_tokens.WORDS | PROSE_WORDS | _SAID.narrow)
    | frozenset(_SAID.wide),
    hinting=frozenset(word.decode() for word in _RARE_WORDS),
    hinting_pieces=frozenset(NEEDLES),
    hinted=_may_hold,
    triggers=secret_tokens.TRIGGERS,
    forms=secret_tokens.FORMS,
    pieces=frozenset(NEEDLES),
)
