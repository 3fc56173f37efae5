"""Calendar dates as people write them, in digits and in the month names of many languages; and dates of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.view import View

MONTHS = (
    "january february march april may june july august september october november december jan feb mar apr jun jul aug "
    "sep sept oct nov dec januar februar märz mai juni juli oktober dezember jänner janvier février fevrier mars avril "
    "juin juillet août aout septembre octobre novembre décembre enero febrero marzo abril mayo junio julio agosto "
    "septiembre setiembre octubre noviembre diciembre gennaio febbraio aprile maggio giugno luglio settembre ottobre "
    "dicembre januari februari maart mei augustus stycznia lutego marca kwietnia maja czerwca lipca sierpnia września "
    "października listopada grudnia januari maj augusti tammikuuta helmikuuta maaliskuuta huhtikuuta toukokuuta "
    "kesäkuuta heinäkuuta elokuuta syyskuuta lokakuuta marraskuuta joulukuuta janeiro fevereiro março maio junho julho "
    "setembro outubro novembro dezembro januar marts april oktober december"
)
MONTH_WORDS = frozenset(month.encode("latin-1") for month in MONTHS.split() if max(month) < "\u0100")
_NAMES = "|".join(sorted({month for month in MONTHS.split() if max(month) < "\u0100"}, key=len, reverse=True))
_MONTH = rf"(?:{_NAMES})\b\.?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|\.|er|º)?"

# A day of a year; matched over lower-case latin-1 from a place where one may begin.
FULL = re.compile(
    (
        rf"\b(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}([-/.]) ?\d{{1,2}}\1 ?(?:\d{{4}}|\d{{2}})|"
        rf"{_DAY}(?: (?:of|de|del|d'))? ?{_MONTH}(?:,? (?:of |de |del )?(?:19|20)\d\d)?|"
        rf"{_MONTH} {_DAY}(?:,? (?:19|20)\d\d)?|{_MONTH},? (?:of |de |del )?(?:19|20)\d\d)\b"
    ).encode("latin-1")
)
_BIRTH_WORDS = frozenset(
    [
        "born",
        "dob",
        "birth",
        "birthdate",
        "birthday",
        "d.o.b",
        "geboren",
        "geb",
        "geburtsdatum",
        "geburtstag",
        "né",
        "née",
        "naissance",
        "nacimiento",
        "nacido",
        "nacida",
        "fecnac",
        "nato",
        "nata",
        "nascita",
        "nascimento",
        "nascido",
        "nascida",
        "geboortedatum",
        "födelsedatum",
        "född",
        "fødselsdato",
        "født",
        "syntymäaika",
        "syntynyt",
        "urodzenia",
        "urodzony",
        "urodzona",
        "ur",
        "birth_date",
    ]
)
_BIRTH_BYTES = frozenset(word.encode("latin-1") for word in _BIRTH_WORDS)
_WEAK = frozenset((b"born", b"ur", b"geb", b"birthday", b"nato", b"nata"))
_YEAR = re.compile(rb"(?:19|20)\d\d")


def find(view: View) -> Iterator[Found]:
    low = view.flat.lower()
    for word, end in view.after(_BIRTH_BYTES):
        match = FULL.search(low, end, end + 48)
        if match is None or low[end : match.start()].find(b"\n\n") >= 0:
            continue
        year = _YEAR.search(match[0])
        recent = year is None or int(year[0]) >= 1915
        confidence = 0.6 if word in _WEAK else 0.85
        yield Found("dates", "personal", match.start(), match.end(), confidence if recent else 0.3, "birth-date")


DETECTOR = Detector("dates", find, tags=("personal",), words=_BIRTH_WORDS)
