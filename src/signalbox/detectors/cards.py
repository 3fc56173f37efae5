"""Payment cards: account numbers by issuer range, length and Luhn; security codes and track data by their form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from signalbox.detectors.checksums import luhn
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.shapes import CARD
from signalbox.detectors.view import PLACES_MAX, View, Words

# Brand, lowest and highest leading digits, lengths (ISO/IEC 7812 issuer ranges as the networks publish them).
_RANGES: tuple[tuple[str, int, int, frozenset[int]], ...] = (
    ("amex", 34, 34, frozenset((15,))),
    ("amex", 37, 37, frozenset((15,))),
    ("visa", 4, 4, frozenset((13, 16, 19))),
    ("mastercard", 51, 55, frozenset((16,))),
    ("mastercard", 2221, 2720, frozenset((16,))),
    ("discover", 6011, 6011, frozenset((16, 19))),
    ("discover", 644, 659, frozenset((16, 19))),
    ("diners", 300, 305, frozenset((14, 16))),
    ("diners", 3095, 3095, frozenset((14, 16))),
    ("diners", 36, 36, frozenset((14, 16, 19))),
    ("diners", 38, 39, frozenset((14, 16))),
    ("jcb", 3528, 3589, frozenset((16, 17, 18, 19))),
    ("jcb", 1800, 1800, frozenset((15,))),
    ("jcb", 2131, 2131, frozenset((15,))),
    ("unionpay", 62, 62, frozenset((16, 17, 18, 19))),
    ("mir", 2200, 2204, frozenset((16, 17, 18, 19))),
    ("rupay", 508, 508, frozenset((16,))),
    ("rupay", 60, 60, frozenset((16,))),
    ("rupay", 81, 82, frozenset((16,))),
    ("maestro", 50, 50, frozenset((12, 13, 14, 15, 16, 17, 18, 19))),
    ("maestro", 56, 59, frozenset((12, 13, 14, 15, 16, 17, 18, 19))),
    ("maestro", 60, 61, frozenset((13, 15, 16, 18, 19))),
    ("maestro", 63, 63, frozenset((12, 13, 14, 15, 16, 17, 18, 19))),
    ("maestro", 66, 69, frozenset((12, 13, 14, 15, 16, 17, 18, 19))),
    ("troy", 9792, 9792, frozenset((16,))),
)


def _by_start() -> list[dict[int, str]]:
    """For each four leading digits the network of every length; where ranges overlap, the first of them."""
    table: list[dict[int, str]] = [{} for _ in range(10_000)]
    for name, low, high, lengths in _RANGES:
        step = 10 ** (4 - len(str(low)))
        for start in range(low * step, (high + 1) * step):
            for length in lengths:
                table[start].setdefault(length, name)
    return table


_BY_START = _by_start()
_WORD_LIST = (
    "card cards visa mastercard amex credit debit pan cc payment karte kreditkarte carte tarjeta carta cartão kort "
    "kreditkort kaart creditcard karta karty kredi kart discover diners jcb maestro luottokortti карта карты 卡 "
    "カード 카드 بطاقة κάρτα"
)
_WORDS = Words(_WORD_LIST.split())
# Behind these a number is a card's whoever issues it (ranges are given out faster than tables of them are changed),
# unless one of the others stands there as well: theirs have the same lengths and the same check digit.
_CARD_LIST = (
    "card cards creditcard karte kreditkarte carte tarjeta carta cartão kreditkort kaart karta karty luottokortti "
    "карта карты 卡 カード 카드 بطاقة κάρτα"
)
_CARD_WORDS = Words(_CARD_LIST.split())
_OTHER_LIST = "sim imei iccid esim order invoice tracking reference ref transaction ticket"
_OTHER_NUMBERS = Words(_OTHER_LIST.split())
# A time in milliseconds and a day with its time of day; the cards inside telephones.
_NO_CARD = re.compile(r"1\d{12}|(?:19|20)\d{12}|89\d{10,17}")
# What nobody may keep once a payment is authorised (PCI DSS 3.3) has a label of its own, besides that of its card.
AUTHENTICATION = "pci-sad"
# After the word that announces it: `CVV: 123`, `security code is 123`.
_CODE_WORDS = frozenset(b"cvv cvv2 cvc cvc2 cid cryptogramme security verification".split())
_SECURITY_CODE = re.compile(
    rb"(?: (?:code|value|number))?[\"']?(?: (?:is|code|number|no))?[ :=#\"'-]{0,4}(\d{3,4})\b(?![.,-]?\d)",
    re.IGNORECASE,
)
_CODE_TEXT = (b"security", b"verification")
_SURE_CODES = frozenset(b"cvv cvv2 cvc cvc2 cryptogramme".split())
# How the shape of each begins, which is found in a fraction of the time.
_TRACKS = (
    (b"%A0000000000000", re.compile(rb"%B\d{13,19}\^[^^\n]{2,26}\^\d{7}")),
    (b";0000000000000", re.compile(rb";\d{13,19}=\d{7,40}\?")),
)
_SEPARATORS = b" \t.-"
# A number that goes on in the next line, and the forms that any such text has.
_BREAKS = (b"0000\n0000", b"0000 \n0000", b"0000-\n0000")
_BROKEN = re.compile(
    rb"(?<![0A])(?<!0[ .,-])0{4}(?:[ -]?0{4,6}){0,2}[ -]?\n0{4,6}(?:[ -]?0{4,6}){0,2}(?:[ -]?0{1,3})?(?![0A]|[ .,-]?0)"
)


def brand(digits: str) -> str | None:
    """The network whose issuer ranges and lengths this number fits, None for no card number."""
    return _BY_START[int(digits[:4])].get(len(digits)) if len(digits) >= 12 else None


def find(view: View) -> Iterator[Found]:
    flat = view.flat
    says = view.wide or not _CARD_WORDS.narrow.isdisjoint(view.hits)
    for start, end, kinds in view.numbers:
        if not kinds & CARD:
            continue
        digits = flat[start:end].translate(None, _SEPARATORS).decode("latin-1")
        name = brand(digits)
        if name is None and not says:
            continue
        if not luhn(digits) or len(set(digits)) < 2:
            continue
        if name is None:
            if _is_said(view, start, digits):
                yield Found("cards", "pci", start, end, 0.8, "card")
            continue
        grouped = end - start > len(digits)
        confidence = 0.95 if grouped else 0.8 if name != "maestro" else 0.4
        if view.near(start, _WORDS, 64, 32, end):
            confidence = 0.99
        yield Found("cards", "pci", start, end, confidence, name)
    yield from _over_lines(view)
    for word, after in view.after(_CODE_WORDS):
        match = _SECURITY_CODE.match(view.flat, after)
        if match is not None and (word not in _CODE_TEXT or view.lower.startswith(b" code", after)):
            near_card = view.near(match.start(), _WORDS, 64, 32, match.end())
            start, end = match.span(1)
            yield Found(
                "cards", "pci", start, end, 0.9 if near_card or word not in _CODE_TEXT else 0.4, "security-code"
            )
            if near_card or word in _SURE_CODES:
                yield Found("cards", AUTHENTICATION, start, end, 0.9, "security-code")
    for began, pattern in _TRACKS:
        if view.shape.find(began) >= 0:
            for match in pattern.finditer(view.flat):
                for tag in ("pci", AUTHENTICATION):
                    yield Found("cards", tag, match.start(), match.end(), 0.99, "track")


def _is_said(view: View, start: int, digits: str) -> bool:
    """Whether the words before a number with the check digit of a card say that it is one."""
    return (
        view.near(start, _CARD_WORDS, 40)
        and not view.near(start, _OTHER_NUMBERS, 40)
        and not _NO_CARD.fullmatch(digits)
    )


def _is_broken(view: View) -> bool:
    return any(view.shape.find(form) >= 0 for form in _BREAKS)


def _over_lines(view: View) -> Iterator[Found]:
    """Numbers broken over two lines, near a word for a card: columns of numbers are full of what looks like one."""
    if not _is_broken(view):
        return
    for match in islice(_BROKEN.finditer(view.shape), PLACES_MAX):
        start, end = match.span()
        digits = "".join(char for char in view.text[start:end] if char.isdecimal())
        name = brand(digits)
        if name is None or not luhn(digits) or len(set(digits)) < 2:
            continue
        if view.near(start, _WORDS, 64, 32, end):
            yield Found("cards", "pci", start, end, 0.9, name)


DETECTOR = Detector(
    "cards",
    find,
    tags=("pci", AUTHENTICATION),
    words=frozenset(word.decode() for word in _CODE_WORDS),
    kinds=CARD,
    hinting=frozenset(_WORD_LIST.split()),
    hinted=_is_broken,
    triggers=(b"%",),
)
