"""Postal addresses: a house number with a street, in the ways of many countries, and towns with their codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.view import PLACES_MAX, View

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
    b"calle av avda ctra camino c avenida plaza paseo carretera via viale piazza corso rua travessa pra\xe7a ul al "
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
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|"
    "PA|RI|"
    "SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR|AE|AP|AA"
)
_GERMAN = re.compile(rf"{_CAP}(?: {_CAP})? Str\. ?{_NUMBER}")
# Joints of a word and a number looked at in one text.
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
_UNIT = re.compile(r"\.? ?#?\d{1,5}[A-Za-z]?\b")


def find(view: View) -> Iterator[Found]:
    if not view.hits.isdisjoint(_WORDS):
        yield from _announced(view)
    if b" 0" in view.shape:
        yield from _compound(view)
        yield from _towns(view)


def _announced(view: View) -> Iterator[Found]:
    """Addresses with a word that says so."""
    text = view.text
    for word, end in view.after(_ENGLISH):
        start = end - len(word)
        if view.shape[start : start + 1] == b"A":
            match = _BEFORE_ENGLISH.search(text, max(0, start - 60), start)
            if match is not None:
                yield Found("addresses", "personal", match.start(), end, 0.65, "street")
    for word, end in view.after(_FORWARD_WORDS):
        match = _FORWARD.match(text, end)
        if match is not None:
            yield Found("addresses", "personal", end - len(word), match.end(), 0.65, "street")
    for word, end in view.after(_FRENCH_WORDS):
        start = end - len(word)
        before, after = _FRENCH.search(text, max(0, start - 10), start), _FRENCH_AFTER.match(text, end)
        if before is not None and after is not None:
            yield Found("addresses", "personal", before.start(), after.end(), 0.65, "street")
    for _, end in view.after(_FIELDS):
        match = _FIELD.match(text, end)
        if match is not None:
            yield Found("addresses", "personal", match.start(1), match.end(1), 0.65, "field")
    for word, end in view.after(_UNITS):
        match = _UNIT.match(text, end)
        if match is not None and view.shape[end - len(word) : end - len(word) + 1] == b"A":
            yield Found("addresses", "personal", end - len(word), match.end(), 0.55, "unit")
    for word, end in view.after(_BOX_WORDS):
        match = _BOX.match(text, end)
        if match is not None and (word != b"box" or _POST.search(text, max(0, end - 18), end - 3)):
            yield Found("addresses", "personal", end - len(word), match.end(), 0.6, "box")


def _towns(view: View) -> Iterator[Found]:
    """`Springfield, IL 62701` and British postcodes."""
    text = view.text
    for literal in (b"A 00000", b"A, 00000"):
        for at in _joints(view.shape, literal):
            low = max(0, text.rfind("\n", 0, at) + 1, at - 40)
            match = _US_TOWN.search(text, low, at + 16)
            if match is not None:
                yield Found("addresses", "personal", match.start(), match.end(), 0.6, "town")
    for at in _joints(view.shape, b" 0AA"):
        match = _UK_CODE.search(text, max(0, at - 4), at + 4)
        if match is not None and not text[max(0, match.start() - 1) : match.start()].isalnum():
            yield Found("addresses", "personal", match.start(), match.end(), 0.6, "postcode")


def _joints(shape: bytes, literal: bytes) -> Iterator[int]:
    """Where a few characters of a shape occur: a search that skips, unlike a pattern."""
    at = shape.find(literal)
    for _ in range(_JOINTS_MAX):
        if at < 0:
            return
        yield at
        at = shape.find(literal, at + 1)


def _compound(view: View) -> Iterator[Found]:
    """`Hauptstraße 12`, `Storgatan 5`: each letter-blank-digit joint whose word ends like a street."""
    lower = view.lower
    for at in _joints(view.shape, b"a 0"):
        if lower.endswith(_SUFFIXES, max(0, at - 30), at + 1):
            yield from _street(view, lower, at)
    for joint in islice(re.finditer(rb"tr\. ?\d", view.flat), PLACES_MAX):
        if lower[joint.start() - 2 : joint.start() + 1] == b" st":
            match = _GERMAN.search(view.text, max(0, joint.start() - 32), joint.end() + 5)
            if match is not None:
                yield Found("addresses", "personal", match.start(), match.end(), 0.65, "street")
        yield from _street(view, view.lower, joint.start() + 1, joint.start() + 3)


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
_WORDS = _FIELDS | _UNITS | _ENGLISH | _FORWARD_WORDS | _FRENCH_WORDS | _BOX_WORDS
DETECTOR = Detector(
    "addresses",
    find,
    tags=("personal",),
    words=frozenset(word.decode("latin-1") for word in _WORDS),
    sign=lambda view: b" 0" in view.shape,
)
