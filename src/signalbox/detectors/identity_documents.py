"""Passports and driving licences: numbers without a check, which only the words before them tell."""

from __future__ import annotations

import re
from collections.abc import Iterator

from signalbox.detectors.found import Found
from signalbox.detectors.view import View

_PASSPORT_TEXT = """
    passport passports passportno passportnumber passportnr reisepass reisepassnummer passnummer passeport pasaporte
    passaporto passaporte paspoort paspoortnummer paszport paszportu pasnummer passnr pasport
"""
_DRIVING_TEXT = """
    license licence führerschein führerscheinnummer conduire conducir guida rijbewijs rijbewijsnummer jazdy
    driverslicense driverlicense drivinglicence
"""
WORDS = frozenset((*_PASSPORT_TEXT.split(), *_DRIVING_TEXT.split()))
_PASSPORT = frozenset(word.encode("latin-1") for word in _PASSPORT_TEXT.split())
_WORDS = frozenset(word.encode("latin-1") for word in WORDS)
# Software and halls have licences as well.
_LICENCE = frozenset((b"license", b"licence"))
_DRIVERS = re.compile(r"(?i:driv(?:er|ing)['’]?s?['’]?[ _-])$")

# `no. 533401234`, `number is C01X00T47`, `"_number": "AB1234567"`: at once, or after words for `number` and `is`.
_NUMBER = re.compile(
    r"(?:['’]s)?(?:[ ,_-]{1,2}(?i:no|nr|num|number|nummer|numer|numéro|número|numero|n|id|card|book|is|was|ist|est|es)"
    r"\b\.?){0,3}[\"']?[ \t]{0,2}[:=#№°º(]{0,2}[ \t]{0,2}[#\"']?"
    r"((?=(?:[A-Z-]?\d){4}|[A-Z]{1,5}-?\d{4}|[A-Z]\d\d[A-Z])(?:[A-Z0-9]{7,16}|[A-Z]{1,2}[ -]\d{6,8}|"
    r"[A-Z]\d{3}(?:-\d{2,3}){3,4}(?:-\d)?))"
    r"(?![\w-]|[.,]\d)"
)


def documents(view: View) -> Iterator[Found]:
    """Numbers behind the words for such a document."""
    if view.shape.find(b"00") < 0:
        return
    text = view.text
    for word, end in view.after(_WORDS):
        match = _NUMBER.match(text, end)
        if match is None:
            continue
        if word in _LICENCE and not _DRIVERS.search(text, max(0, end - len(word) - 10), end - len(word)):
            continue
        kind = "passport" if word in _PASSPORT else "driving-licence"
        yield Found("national_ids", "national-id", match.start(1), match.end(1), 0.85, kind)
