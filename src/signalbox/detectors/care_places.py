"""Places in clinical text that no word for a place gives away: `seen at Johns Hopkins`, `our Dallas office`.

Only for text that is clinical already: elsewhere a capital after `at` says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from signalbox.detectors.dates import MONTHS
from signalbox.detectors.view import PLACES_MAX, View

Place = tuple[int, int, str, float]

_CAP = r"[A-ZÀ-ÖØ-Þ][\w'’&-]*[\w]"
_WHOLE = rf"(?:St\. |Mt\. )?{_CAP}(?: (?:(?:of|&|de|del|la) )?{_CAP}){{0,3}}"
_AT = re.compile(rf"(?:our |the |my )?({_WHOLE})")
# A town is written with small letters after its capital; `in ICU`, `to CT` are none.
_TOWN_IN = re.compile(r"(?:our |the |downtown )?((?:[A-ZÀ-ÖØ-Þ][a-zà-ÿ'’]+[ -]){0,2}[A-ZÀ-ÖØ-Þ][a-zà-ÿ]+)(?![\w-])")
# What is done somewhere, and where it is.
_DONE = re.compile(
    r"(?i)\b(?:clinic|office|hospital|practice|cent(?:er|re)|ward|unit|facility|seen|diagnosed|treated|admitted|"
    r"hospitali[sz]ed|evaluated|assessed|examined|operated|surgery|visit|visited|procedure|presented|presenting|"
    r"transferred|referred|discharged|followed|relocated|moved|lives?|living|resid(?:es|ing)|works|born|"
    r"raised|travel(?:l?ed|ing)?)"
    r"\b[^.?!\n]{0,16}$"
)
_OUR = re.compile(
    rf"\b(?:our|the|their|my) ({_CAP}(?: {_CAP}){{0,2}}) "
    r"(?:office|clinic|location|branch|practice|facility|site|campus|hospital|lab|center|centre|ward|team)\b"
)
_OURS = frozenset(b"office clinic location branch practice facility site campus hospital lab center centre".split())
_ZIP = re.compile(r"(?i:[ _-]?code)?[\"']?(?: is)?[ :#=\"']{1,4}(\d{5}(?:-\d{4})?)\b")
_ZIP_WORDS = frozenset((b"zip", b"zipcode", b"postcode"))
# Words that stand capitalised after `at` and `in` and name no place.
_NO_PLACE_TEXT = """
    week weeks day days month months year years visit baseline stage level phase grade age home discharge admission
    night christmas easter thanksgiving monday tuesday wednesday thursday friday saturday sunday spring summer
    autumn fall winter type class group patients adults children women men er ed icu nicu picu or ob obgyn pcp gp ct
    mri ekg ecg iv bp hr bmi ldl hba1c tsh egfr er's time risk least most first last dr mr mrs ms english spanish
    french german emergency intensive care she he the his her this that what which when who
"""
_NO_PLACE = frozenset((*_NO_PLACE_TEXT.split(), *MONTHS.split()))
WORDS = frozenset(word.decode() for word in _OURS | _ZIP_WORDS)


def places(view: View) -> Iterator[Place]:
    """(start, end, kind, confidence) of each."""
    text = view.text
    for lead in (b" at ", b" @ "):
        for end in _ends(view.flat, lead):
            match = _AT.match(text, end)
            if match is not None and _names(match[1]):
                yield match.start(1), match.end(1), "place", 0.65
    for lead in (b" in ", b" to ", b" from ", b" near "):
        for end in _ends(view.flat, lead):
            match = _TOWN_IN.match(text, end)
            if match is None and lead == b" to ":
                match = _AT.match(text, end)
            if match is not None and _names(match[1]) and _DONE.search(text, max(0, end - 36), end - len(lead)):
                yield match.start(1), match.end(1), "place", 0.6
    for _, end in view.after(_OURS):
        match = _OUR.search(text, max(0, end - 56), end)
        if match is not None and match.end() == end and _names(match[1]):
            yield match.start(1), match.end(1), "place", 0.6
    for _, end in view.after(_ZIP_WORDS):
        match = _ZIP.match(text, end)
        if match is not None:
            yield match.start(1), match.end(1), "place", 0.65


def _ends(flat: bytes, lead: bytes) -> Iterator[int]:
    """Where words stand that end in `lead`; the first PLACES_MAX of them."""
    at, left = flat.find(lead), PLACES_MAX
    while at >= 0 and left:
        yield at + len(lead)
        left -= 1
        at = flat.find(lead, at + 1)


def _names(place: str) -> bool:
    return place.split(" ", 1)[0].rstrip(".").lower() not in _NO_PLACE
