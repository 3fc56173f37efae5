"""Postal addresses: a house number with a street, in the ways of many countries, and towns with their codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.view import View

_CAP = r"[A-ZÀ-ÖØ-ÞŁŚŻ][\w'’.-]*"
_NUMBER = r"\d{1,5}(?: ?[a-zA-Z]\b|[-/]\d{1,4})?"

# `12 Main Street`: read backwards from the word for the street.
_BEFORE_ENGLISH = re.compile(rf"\b\d{{1,6}}[A-Za-z]?,? (?:[NSEW]\.? )?(?:(?:{_CAP}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,4}}$")
_ENGLISH = frozenset(
    b"street st avenue ave road rd drive dr lane ln boulevard blvd court ct place pl terrace way circle cir highway "
    b"hwy "
    b"parkway pkwy square sq crescent close grove gardens mews row alley".split()
)
# `rue de la Paix 12`, `calle Mayor, 3`, `Via Roma 1`, `ul. Długa 5`: read forwards.
_FORWARD = re.compile(
    rf"\.?,? (?:(?:de|du|des|de la|del|della|dei|do|da|dos|las|los|l['’]) ?)?{_CAP}(?: {_CAP}| (?:de|del|la|"
    rf"di)\b){{0,3}},? (?:n[.º°o]{{0,2}} ?)?{_NUMBER}\b"
)
_FORWARD_WORDS = frozenset(
    b"calle av avda ctra camino avenida plaza paseo carretera via viale piazza corso rua travessa pra\xe7a ul al "
    b"os ulica rue aleja "
    b"domicilio".split()
)
_FRENCH = re.compile(r"\b\d{1,4}(?: ?(?:bis|ter))?,? $")
_FRENCH_WORDS = frozenset(b"rue avenue boulevard chemin all\xe9e impasse quai place route".split())
_FRENCH_AFTER = re.compile(rf" (?:de |du |des |de la |de l['’]|d['’])?{_CAP}(?:[ -]{_CAP}){{0,3}}")
# One word for street and name, number after it.
_SUFFIXES = (
    b"stra\xdfe", b"strasse", b"str", b"weg", b"platz", b"gasse", b"allee", b"damm", b"ufer", b"straat", b"laan",
    b"plein",
    b"gracht", b"kade", b"gatan", b"v\xe4gen", b"gata", b"veien", b"vegen", b"vej", b"gade", b"katu", b"tie", b"polku",
)  # fmt: skip
_SUFFIX_ENDS = frozenset(suffix[-2:] for suffix in _SUFFIXES)
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|"
    "PA|RI|"
    "SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR|AE|AP|AA"
)
_GERMAN = re.compile(rf"{_CAP}(?: {_CAP})? Str\. ?{_NUMBER}")
# Numbers after a blank looked at in one text.
_JOINTS_MAX = 2000
_US_TOWN = re.compile(rf"{_CAP}(?: {_CAP}){{0,2}},? (?:{_STATES}),? \d{{5}}(?:-\d{{4}})?\b")
_UK_CODE = re.compile(
    r"(?:GIR 0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d|[A-HK-Y]\d\d|\d[A-HJKPSTUW]|"
    r"[A-HK-Y]\d[ABEHMNPRV-Y]) \d[ABD-HJLNP-UW-Z]{2})\b"
)
_BOX = re.compile(r":? ?\d{1,6}\b")
_POST = re.compile(r"(?i)(?:p\.? ?o\.?|post(?: office)?) ?$")


# `Address: …` with a number in the rest of the line.
_FIELDS = frozenset(
    b"address adresse anschrift wohnhaft domicilio direcci\xf3n direccion indirizzo residenza adres woonadres adress "
    b"endere\xe7o morada osoite postadresse bostadsadress".split()
)
_FIELD = re.compile(r"(?: is)?[\"']?[ \t]?[:=][ \t]{0,4}[\"']?((?=[^\n]{0,60}\d)[A-ZÀ-Þa-zà-ÿ0-9][^\n;|\"@]{5,80})")
_UNITS = frozenset(b"apt apartment suite ste flat unit".split())
_CELL = re.compile(r"\| *$")
_UNIT = re.compile(r"\.? ?#?\d{1,5}[A-Za-z]?\b")


def find(view: View) -> Iterator[Found]:
    if view.shape.find(b"0") < 0:
        return  # every address that is looked for has a number
    for word, end in view.after(_WORDS):
        span = _BY_WORD[word](view, end - len(word), end)
        if span is not None:
            start, until, kind, confidence = span
            yield Found("addresses", "personal", start, until, confidence, kind)
    yield from _numbered(view)


_Span = tuple[int, int, str, float] | None


def _english(view: View, start: int, end: int) -> _Span:
    if view.shape[start] != 65:
        return None
    match = _BEFORE_ENGLISH.search(view.text, max(0, start - 60), start)
    if match is not None:
        return match.start(), end, "street", 0.65
    return _forward(view, start, end) if view.lower[start:end] in _FORWARD_WORDS else None


def _forward(view: View, start: int, end: int) -> _Span:
    match = _FORWARD.match(view.text, end)
    return (start, match.end(), "street", 0.65) if match is not None else None


def _french(view: View, start: int, end: int) -> _Span:
    after = _FRENCH_AFTER.match(view.text, end)
    before = _FRENCH.search(view.text, max(0, start - 10), start) if after is not None else None
    if before is not None and after is not None:
        return before.start(), after.end(), "street", 0.65
    return _english(view, start, end) if view.lower[start:end] in _ENGLISH else _forward(view, start, end)


def _field(view: View, start: int, end: int) -> _Span:
    match = _FIELD.match(view.text, end)
    if match is not None:
        return match.start(1), match.end(1), "field", 0.65
    return _forward(view, start, end) if view.lower[start:end] in _FORWARD_WORDS else None


def _unit(view: View, start: int, end: int) -> _Span:
    match = _UNIT.match(view.text, end)
    if match is None or view.shape[start] != 65:
        return None
    # A cell of a table that begins with one is as likely a title or a role.
    return start, match.end(), "unit", 0.4 if _CELL.search(view.text, max(0, start - 8), start) else 0.55


def _box(view: View, start: int, end: int) -> _Span:
    match = _BOX.match(view.text, end)
    if match is not None and (end - start != 3 or _POST.search(view.text, max(0, end - 18), start)):
        return start, match.end(), "box", 0.6
    return None


def _numbered(view: View) -> Iterator[Found]:
    """What is told by a number after a blank: streets of one word, towns with their codes, British postcodes."""
    shape, lower = view.shape, view.lower
    at, left = shape.find(b" 0"), _JOINTS_MAX
    while at >= 0 and left:
        before = shape[at - 1 : at]
        if before == b"a":
            if lower[at - 2 : at] in _SUFFIX_ENDS and lower.endswith(_SUFFIXES, at - 31 if at > 31 else 0, at):
                yield from _street(view, lower, at - 1)
        elif before == b".":
            yield from _abbreviated(view, lower, at)
        elif before in (b"A", b",") and shape.startswith(b" 00000", at):
            yield from _town(view, at)
        if shape.startswith(b" 0AA", at):
            match = _UK_CODE.search(view.text, max(0, at - 4), at + 4)
            if match is not None and not view.text[max(0, match.start() - 1) : match.start()].isalnum():
                yield Found("addresses", "personal", match.start(), match.end(), 0.6, "postcode")
        left -= 1
        at = shape.find(b" 0", at + 1)


def _abbreviated(view: View, lower: bytes, at: int) -> Iterator[Found]:
    """`Lange Str. 5`, `Hauptstr. 5`."""
    if lower[at - 5 : at - 1] == b" str":
        match = _GERMAN.search(view.text, max(0, at - 33), at + 7)
        if match is not None:
            yield Found("addresses", "personal", match.start(), match.end(), 0.65, "street")
    elif lower[at - 4 : at - 1] == b"str":
        yield from _street(view, lower, at - 2, at)


def _town(view: View, at: int) -> Iterator[Found]:
    """`Springfield, IL 62701`, `Springfield, IL, 62701`."""
    low = max(at - 41, 0)
    match = _US_TOWN.search(view.text, view.text.rfind("\n", low, at) + 1 or low, at + 13)
    if match is not None:
        yield Found("addresses", "personal", match.start(), match.end(), 0.6, "town")


def _street(view: View, lower: bytes, last: int, number_at: int | None = None) -> Iterator[Found]:
    if not lower.endswith(_SUFFIXES, max(0, last - 30), last + 1):
        return
    word = lower[max(0, last - 30) : last + 1].rsplit(b" ", 1)[-1]
    if len(word) < 6:
        return
    start = last + 1 - len(word)
    if view.shape[start : start + 1] != b"A":
        return
    match = _HOUSE.match(view.text, number_at if number_at is not None else last + 1)
    if match is not None:
        strong = word.endswith(_SUFFIXES[:2] + _SUFFIXES[9:10] + _SUFFIXES[13:15])
        yield Found("addresses", "personal", start, match.end(), 0.65 if strong else 0.5, "street")


_HOUSE = re.compile(rf" ?{_NUMBER}(?![\d%.:])")
_BOX_WORDS = frozenset((b"box", b"postfach", b"postbus", b"apartado"))
_BY_WORD: dict[bytes, Callable[[View, int, int], _Span]] = {
    **dict.fromkeys(_FORWARD_WORDS, _forward),
    **dict.fromkeys(_ENGLISH, _english),
    **dict.fromkeys(_FRENCH_WORDS, _french),
    **dict.fromkeys(_FIELDS, _field),
    **dict.fromkeys(_UNITS, _unit),
    **dict.fromkeys(_BOX_WORDS, _box),
}
_WORDS = frozenset(_BY_WORD)
DETECTOR = Detector(
    "addresses",
    find,
    tags=("personal",),
    words=frozenset(word.decode("latin-1") for word in _WORDS),
    triggers=(rb"[ \t\xa0][0-9]",),
)
