"""Telephone numbers: a table of written forms, country codes and words; validity is a score, never a veto."""

from __future__ import annotations

import re
from collections.abc import Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.shapes import PHONE
from signalbox.detectors.view import View, Words

_WORD_LIST = """
    phone phones telephone tel tele call calls called calling cell cellphone mobile fax ph contact sms text whatsapp
    number dial reach hotline landline telefon telefonnummer handy mobil mobilnummer rufnummer anrufen ruf téléphone
    portable appeler appelez tél numéro teléfono telefono móvil movil celular llamar llame llamame número cellulare
    numero chiamare telefone telemóvel ligar telefoon mobiel bellen gsm nummer telefoni telefonu mobilnr tlf ring
    tfno telf tlfno answering messages office desk
    puhelin puhelinnumero soita matkapuhelin zadzwoń komórka telefonní тел телефон звоните номер τηλέφωνο κινητό هاتف
    جوال رقم 電話 携帯 电话 手机 전화 휴대폰 फोन โทร
"""
_WORDS = Words(_WORD_LIST.split())
# Those of them that announce any number, and words for numbers that are no telephone's.
_ANY_LIST = "number numero número numéro nummer номер رقم contact office desk messages reach ring"
_ANY = frozenset(_ANY_LIST.split())
_TELLING = Words(word for word in _WORD_LIST.split() if word not in _ANY)
_OTHER_LIST = """
    license licence passport policy insurance member mrn record invoice order ticket tracking serial reference ref
    case claim badge registration plate routing id
"""
_OTHERS = Words(_OTHER_LIST.split())
# ITU country codes of one and two digits; three-digit ones begin with these pairs.
_CODES_2 = frozenset(
    [
        "20",
        "27",
        "30",
        "31",
        "32",
        "33",
        "34",
        "36",
        "39",
        "40",
        "41",
        "43",
        "44",
        "45",
        "46",
        "47",
        "48",
        "49",
        "51",
        "52",
        "53",
        "54",
        "55",
        "56",
        "57",
        "58",
        "60",
        "61",
        "62",
        "63",
        "64",
        "65",
        "66",
        "81",
        "82",
        "84",
        "86",
        "90",
        "91",
        "92",
        "93",
        "94",
        "95",
        "98",
    ]
)
_CODES_3 = frozenset(("21", "22", "23", "24", "25", "26", "29", "35", "37", "38", "42", "50", "59", "67", "68", "69",
                      "80", "85", "87", "88", "96", "97", "99"))  # fmt: skip
_NANP = re.compile(rb"\(?000\)?[ .\-/]{0,2}000[ .-]{1,2}0000|00?0?[ .-]\(?000\)?[ .-]{1,2}000[ .-]0000")
_BRACKETED = re.compile(rb"\(?0{2,5}\) ?[0 -]{5,}")
_TRUNK = re.compile(
    rb"00(?:([ .-])00){4}|0{3,5}[ /-]0{3,4}[ -]?0{3,4}|0{2,5}[/-]0{5,8}|0{3,5} 0{6}|"
    rb"000 0000 0000|00 0000 0000"
)
# `2026-05-09 07` of a time of day, which words such as `desk` may stand beside.
_DATED = re.compile(rb"(?:19|20)\d\d([-./])(?:0[1-9]|1[0-2])\1[0-3]\d(?!\d)")
_NOT_BEFORE = (b"$", b"$ ", b"#", b"=", b"_", b"-", b".", b"/")
_EXTENSION = re.compile(rb"(?i),? ?(?:x|ext\.?|extension|#) ?\d{1,6}\b")


def country_code(digits: str) -> bool:
    """Whether digits after a plus sign begin with a country code and have a length that E.164 allows."""
    if digits[0] in "17":
        return len(digits) == 11
    return 9 <= len(digits) <= 15 and (digits[:2] in _CODES_2 or digits[:2] in _CODES_3)


def find(view: View) -> Iterator[Found]:
    flat, shape = view.flat, view.shape
    end_before = 0
    for start, end, kinds in view.numbers:
        if not kinds & PHONE or start < end_before:
            continue
        low = start
        plus = flat[start - 1 : start] == b"+" or flat[max(0, start - 2) : start] == b"+("
        if flat[start - 1 : start] == b"(":
            low -= 1
        if plus:
            low = flat.rfind(b"+", 0, start)
        elif flat[max(0, start - 4) : start].endswith(_NOT_BEFORE) and not view.near(start, _WORDS, 24):
            continue
        if any(known.start < end and start < known.end for known in view.found if known.confidence >= RAISES):
            continue  # a card, an account or an identity number is no telephone number as well
        if not plus and _DATED.match(flat, start):
            continue
        digits = "".join(char for char in view.text[start:end] if "0" <= char <= "9")
        written = shape[low:end] if low < start and not plus else shape[start:end]
        tail = _EXTENSION.match(flat, end)
        if tail is None and shape[end : end + 1] == b"a":
            continue
        score = _score(digits, written, plus)
        if score < 0.9:
            around = view.window(start, end, 40, 10)
            if view.says(around, _WORDS):
                score += 0.45
            # `license number 6940579`: something else is announced.
            if score >= RAISES and not view.says(around, _TELLING) and view.near(start, _OTHERS, 28):
                score -= 0.5
        if score < 0.3:
            continue
        if tail is not None:
            end, score = tail.end(), score + 0.2
        end_before = end
        yield Found("phone", "personal", low, end, min(score, 0.97), "phone")


def _score(digits: str, written: bytes, plus: bool) -> float:
    """How much this looks like a telephone number by itself."""
    if len(set(digits)) < 3:
        return 0.1
    if plus:
        return 0.9 if country_code(digits) else 0.45
    if digits.startswith("00") and len(digits) >= 11:
        return 0.6 if country_code(digits[2:]) else 0.2
    if _NANP.fullmatch(written):
        area = digits[-10:]
        return 0.75 if area[0] in "23456789" and area[3] in "23456789" else 0.55
    if _BRACKETED.fullmatch(written):
        return 0.55
    if digits[0] == "0" and _TRUNK.fullmatch(written):
        return 0.6
    return 0.1 if len(digits) < 9 or written.isdigit() else 0.2


DETECTOR = Detector("phone", find, tags=("personal",), kinds=PHONE)
