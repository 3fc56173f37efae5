"""Guard `no-personal-data`: personal data in answers that the request did not hold."""

from __future__ import annotations

import re
from functools import cache

from signalbox.config.schema_guards import NoPersonalData
from signalbox.core.call import Call
from signalbox.core.guards import Channel, GuardUse
from signalbox.detectors import bank, cards, email_addresses, ip_addresses, national_ids, persons, phones
from signalbox.detectors.scan import Scanner
from signalbox.guard.contract import Guard, Means
from signalbox.guard.input_text import InputText
from signalbox.guard.spans import Spans
from signalbox.guard.window import ACTION_OF, TextWatch, TextWindow

NAME = "no-personal-data"
HOLD_CHARS_MAX = 160

_DETECTORS = (
    cards.DETECTOR,
    bank.DETECTOR,
    national_ids.DETECTOR,
    email_addresses.DETECTOR,
    ip_addresses.DETECTOR,
    phones.DETECTOR,
    persons.DETECTOR,
)
# A digit, an address, or two words in a row that begin with capitals; in other scripts anything.
_SIGNS = re.compile(r"[0-9@]")
_SIGN_BYTES = b"0123456789@"
_TWO_NAMES = re.compile(r"[A-Z][\w'.-]{0,30}+[ \t]{1,3}+[A-Z]", re.ASCII)
_CAPITALS = bytes(65 if 65 <= char <= 90 else 32 if char in b" \t" else 97 for char in range(256))
_BLANK_CAPITAL = b" A"
# A name of _TWO_NAMES with the blanks after it.
_WORD_CHARS_MAX = 34
# Numbers in groups, and what stands before the digits of some.
_NUMBER = re.compile(r"(?<![\w])(?:[A-Z]{1,3}[ -]?)?[+(]{0,2}\d(?:[\d A-Z().,:/-]{0,63})\Z")
_NUMBER_CHARS_MAX = 72
_NAMES_BEFORE = 3
# What a name may stand in, and what may stand behind it.
_QUOTES = "'\"`([{<«“„‘>"
_SIGNS_AFTER = "'\"`)]},;:.!?»”’"
_BLANKS_AND_QUOTES = f" \t{_QUOTES}"
# Words that a name may follow.
_ANNOUNCING = persons.DETECTOR.words | frozenset(
    ("is", "ist", "est", "es", "è", "é", "är", "er", "on", "by", "se", "się")
)
# Words that answers are made of. They tell nothing of anybody, even where an address begins with one: shown at once.
ORDINARY = frozenset(
    (  # noqa: SIM905 (as a list it would be four times as long)
        "a about above absolutely actually after all alright also although an and any are as at based be because been "
        "before being below both but by can certainly could depending did do does each either every finally first for "
        "from generally given good great had has have he hello her here hi his how however i if in indeed into is it "
        "its just let like me more most my next no not now of okay on once one only or other our out over overall "
        "perfect please possibly right second several she should since so some sometimes sorry such sure than thank "
        "thanks that the their them then there therefore these they this those though thus to typically under "
        "unfortunately until up us usually very was we well were what when where whether which while who why with "
        "would yes yet you your"
    ).split()
)


def _may_hold(text: str) -> bool:
    if not text.isascii():
        return True
    raw = text.encode()
    if len(raw.translate(None, _SIGN_BYTES)) != len(raw):
        return True
    # Most capitals begin a sentence: only where one stands behind a blank the words around it are read.
    marked = raw.translate(_CAPITALS)
    at = marked.find(_BLANK_CAPITAL)
    while at > 0:
        first = max(0, at - _WORD_CHARS_MAX)
        if marked.rfind(b"A", first, at) >= 0 and _TWO_NAMES.search(text, first, at + 2) is not None:
            return True
        at = marked.find(_BLANK_CAPITAL, at + 2)
    return False


def _opens(text: str, begin: int) -> int:
    """The last word, with names before it, and numbers in groups."""
    at = len(text)
    while at > begin and not text[at - 1].isspace():
        at -= 1
    found = at
    if at == len(text) or text[at].isupper() or not text[at].isalpha():
        found = _named_from(text, begin, at)
    if found == at and text[at:].lower() in ORDINARY:
        found = len(text)
    tail = max(begin, len(text) - _NUMBER_CHARS_MAX)
    number = _NUMBER.search(text, tail) if _SIGNS.search(text, tail) is not None else None
    return min(found, number.start()) if number is not None else found


def _named_from(text: str, begin: int, at: int) -> int:
    """Where the words with capitals begin that stand before `at`, if they may be a name that goes on there: one of them
    is a given name or a title, or something announces a name."""
    start, known = at, False
    for _ in range(_NAMES_BEFORE):
        before = text[begin:start].rstrip(" \t")
        first = _word(before, len(before))
        word = before[first:].lstrip(_QUOTES)
        if not word[:1].isupper() or len(before) == start - begin:
            break
        if word.endswith((":", "=")):
            break
        start = begin + first
        known = known or word.rstrip(_SIGNS_AFTER).lower() in persons.DETECTOR.words
    if start == at or known or _announces(text[begin:start]):
        return start
    return at


def _announces(before: str) -> bool:
    before = before.rstrip(_BLANKS_AND_QUOTES)
    word = before[_word(before, len(before)) :].lower().lstrip(_QUOTES)
    return word.endswith((":", "=", "'s", "’s")) or word.rstrip(".") in _ANNOUNCING


def _opens_plain(text: str) -> int:
    """The same where there is no number, and no name in words that stand beside each other: mostly the last word."""
    end = len(text)
    at = _word(text, end)
    last = text[at:]
    if last[:1].islower():
        return end if last in ORDINARY else at
    before = text[:at].rstrip(" \t")
    if before[_word(before, len(before)) :].lstrip(_QUOTES)[:1].isupper():
        return _opens(text, 0)
    return end if last.lower() in ORDINARY else at


def _word(text: str, end: int) -> int:
    """Where the word begins that goes on to `end`."""
    return max(text.rfind(" ", 0, end), text.rfind("\n", 0, end), text.rfind("\t", 0, end)) + 1


class _Watch:
    """Looks at one answer. What the caller said is asked for only where a text may hold anything."""

    __slots__ = ("_action", "_call", "_spans", "_watch")

    hold_chars_max = HOLD_CHARS_MAX

    def __init__(self, spans: Spans, call: Call, action: str) -> None:
        self._spans = spans
        self._call = call
        self._action = action
        self._watch: TextWatch | None = None

    def passes(self, channel: Channel, text: str) -> bool:
        return not _may_hold(text) or self._looking().passes(channel, text)

    def window(self, channel: Channel) -> TextWindow:
        return self._looking().window(channel)

    def over(self) -> None:
        return None

    def _looking(self) -> TextWatch:
        if self._watch is None:
            self._watch = TextWatch(NAME, self._spans.allowing(InputText(self._call.doc).holds), self._action)
        return self._watch


@cache
def _scanner() -> Scanner:
    """One for all workloads and configurations: to make it ready takes a while."""
    return Scanner(_DETECTORS)


class _Filter:
    def __init__(self, action: str) -> None:
        self._spans = Spans(_scanner(), _may_hold, _opens, _opens_plain, HOLD_CHARS_MAX)
        self._action = action

    def watch(self, call: Call) -> _Watch:
        return _Watch(self._spans, call, self._action)


def make(use: GuardUse, means: Means) -> Guard:
    options = use.options
    assert isinstance(options, NoPersonalData)
    return Guard(use, answer=_Filter(ACTION_OF[options.action]), scanner=_scanner())
