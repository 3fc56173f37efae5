"""Bank data: IBANs by country length and check digits; BIC, routing and account numbers by the words before them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from signalbox.detectors.checksums import mod97, weighted
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.shapes import IBAN
from signalbox.detectors.view import View

# Lengths by country, from the SWIFT IBAN registry.
IBAN_LENGTHS: dict[str, int] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
_SEPARATORS = str.maketrans("", "", " \t.-/")

# What follows the word that announces a value.
_ACCOUNT = re.compile(
    rb"(?:[ -]?(?i:number|nummer|num|no|nr|n\xba|#))?\.?[\"']?(?: (?:is|ist|est|es))?[ :=#\"'.-]{0,4}"
    rb"(\d(?:[ -]?\d){6,16})\b(?![-.,]\d)"
)
_ROUTING = re.compile(rb"(?i:(?: transit)?(?: (?:number|no|nr))?)\.?[ :=#\"']{0,4}(?:is )?(\d{9})\b")
_SORT_CODE = re.compile(rb"(?i: ?code)?[ :=#\"']{0,4}(?:is )?(\d\d[- ]?\d\d[- ]?\d\d)\b")
_BIC = re.compile(rb"(?i:[ /-]?(?:code|swift|bic))?[ :=#\"']{1,4}(?:is )?([A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)\b")


def iban(text: str) -> bool:
    """Whether bare characters are an IBAN: known country, its length, check digits."""
    return IBAN_LENGTHS.get(text[:2]) == len(text) and text.isascii() and mod97(text[4:] + text[:4])


def routing(digits: str) -> bool:
    """The check of an ABA routing transit number."""
    return weighted(digits, (3, 7, 1) * 3) % 10 == 0 and digits[0] in "01236"


def find(view: View) -> Iterator[Found]:
    for start, end, kinds in view.numbers:
        if kinds & IBAN:
            # Length by country first: it is a lookup, and decides nearly always.
            bare = view.text[start:end].translate(_SEPARATORS)
            if iban(bare if bare[0].isalpha() else "PL" + bare):
                yield Found("bank", "financial", start, end, 0.99 if bare[0].isalpha() else 0.85, "iban")
    if b"iban" in view.hits:
        yield from _lower_case(view)
    for word, end in view.after(_WORDS):
        pattern, kind, confidence, check = _ANNOUNCED[word]
        match = pattern.match(view.flat, end)
        if match is not None and (check is None or check(match[1].decode())):
            yield Found("bank", "financial", match.start(1), match.end(1), confidence, kind)


_ANY_CASE = re.compile(r"(?i)\b[a-z]{2}\d\d(?:[ -]?[a-z0-9]){11,30}\b")


def _lower_case(view: View) -> Iterator[Found]:
    """IBANs written in small letters, only where the word IBAN stands in the text."""
    for match in _ANY_CASE.finditer(view.text):
        bare = match[0].translate(_SEPARATORS).upper()
        size = IBAN_LENGTHS.get(bare[:2], 0)
        if size and match[0].upper() != match[0] and iban(bare[:size]):
            yield Found("bank", "financial", match.start(), match.start() + _length(match[0], size), 0.97, "iban")


def _length(written: str, size: int) -> int:
    """How many written characters hold the first `size` bare ones."""
    for at, char in enumerate(written):
        size -= char not in " -"
        if size == 0:
            return at + 1
    return len(written)


_ANNOUNCED: dict[bytes, tuple[re.Pattern[bytes], str, float, Callable[[str], bool] | None]] = {
    **dict.fromkeys(
        b"account acct konto kontonummer compte cuenta conto rekening rekeningnummer conta".split(),
        (_ACCOUNT, "account", 0.75, None),
    ),
    **dict.fromkeys(b"routing aba rtn".split(), (_ROUTING, "routing", 0.9, routing)),
    **dict.fromkeys(b"sort sortcode".split(), (_SORT_CODE, "sort-code", 0.85, None)),
    **dict.fromkeys(b"bic swift".split(), (_BIC, "bic", 0.7, None)),
}
_WORDS = frozenset(_ANNOUNCED)
DETECTOR = Detector(
    "bank", find, tags=("financial",), words=frozenset((*(word.decode() for word in _ANNOUNCED), "iban")), kinds=IBAN
)
