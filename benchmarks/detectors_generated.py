"""Recall and precision on cards and addresses that are made here, in every written form, among what is neither.

Run: python -m benchmarks.detectors_generated [--n 4800] [--seed 1] [--misses FORM]. Nothing is read but a seed, so
anybody can draw other ones. A find is right when it overlaps the value that was put in and raises a label.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.detectors import table, wilson
from signalbox.detectors.found import RAISES
from signalbox.detectors.scan import scan


class Case(NamedTuple):
    """value: what is to be found, empty where nothing is. form: how it is written, or what it is instead."""

    text: str
    value: str
    form: str


_BRANDS = (
    ("4", 16), ("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15), ("37", 15), ("6011", 16),
    ("65", 16), ("36", 14), ("3528", 16), ("3589", 16), ("62", 16), ("62", 19), ("2200", 16), ("4", 13), ("4", 19),
)  # fmt: skip
_CARD_PLACES = (
    "My card number is {}, please charge it.", "Please bill {} for the hotel.", "{}", "Card: {} exp 04/29",
    "Kreditkarte {} bitte belasten", "Mi tarjeta es {} y vence en mayo", "numéro de carte : {}", "カード番号は{}です",
    "我的信用卡号是{}。", "номер карты {}, срок до 05/28", "카드 번호는 {} 입니다", "رقم بطاقتي {} شكرا",
    '{{"card": "{}", "cvc": null}}', '{{"payment": {{"pan": "{}"}}}}', "2026-03-02T10:11:12Z INFO paid with {} ok",
    "name,card,city\nAnna,{},Bonn", "<card>{}</card>", "| Anna | {} | Bonn |", "number={}&exp=0529", "a) {}\nb) none",
    "Call me at 555 about {} and nothing else.", "the last one ({}) was declined", "`{}`", "“{}”",
)  # fmt: skip
_FORMS_OF_DIGITS = ("٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９", "०१२३४५६७८९")
_ARABIC, _FULL, _INDIC = (str.maketrans("0123456789", digits) for digits in _FORMS_OF_DIGITS)


def _luhn_digit(digits: str) -> str:
    doubled = [int(char) * (2 - at % 2) for at, char in enumerate(reversed(digits))]
    return str(-sum(one - 9 * (one > 9) for one in doubled) % 10)


def _card(chance: random.Random) -> str:
    prefix, size = chance.choice(_BRANDS)
    body = prefix + "".join(chance.choice("0123456789") for _ in range(size - len(prefix) - 1))
    return body + _luhn_digit(body)


def _grouped(digits: str, by: str) -> str:
    sizes = (4, 6, 5) if len(digits) == 15 else (4, 6, 4) if len(digits) == 14 else (4, 4, 4, 4, 3)
    parts, at = list[str](), 0
    for size in sizes:
        parts.append(digits[at : at + size])
        at += size
    return by.join(part for part in parts if part)


_CARD_FORMS: dict[str, Callable[[str], str]] = {
    "no separator": lambda digits: digits,
    "spaces": lambda digits: _grouped(digits, " "),
    "dashes": lambda digits: _grouped(digits, "-"),
    "dots": lambda digits: _grouped(digits, "."),
    "no-break spaces": lambda digits: _grouped(digits, "\u00a0"),
    "thin spaces": lambda digits: _grouped(digits, "\u2009"),
    "non-breaking hyphens": lambda digits: _grouped(digits, "\u2011"),
    "Arabic digits": lambda digits: _grouped(digits, " ").translate(_ARABIC),
    "Devanagari digits": lambda digits: _grouped(digits, " ").translate(_INDIC),
    "full-width digits": lambda digits: _grouped(digits, " ").translate(_FULL),
    "zero-width between": lambda digits: "\u200b".join(digits),
    "digits set apart": lambda digits: " ".join(digits),
}


def _masked(chance: random.Random) -> str:
    card, mark = _card(chance), chance.choice("*X•x#")
    shown = chance.choice(((0, 4), (6, 4), (4, 4), (0, 0)))
    hidden = card[: shown[0]] + mark * (len(card) - sum(shown)) + card[len(card) - shown[1] :]
    return _grouped(hidden, chance.choice((" ", "-", "")))


def _wrong_check(chance: random.Random) -> str:
    card = _card(chance)
    return _grouped(card[:-1] + str((int(card[-1]) + chance.randint(1, 9)) % 10), chance.choice((" ", "-", "")))


def _cards(chance: random.Random, n: int) -> Iterator[Case]:
    forms = tuple(_CARD_FORMS)
    for at in range(n):
        form = forms[at % len(forms)]
        value = _CARD_FORMS[form](_card(chance))
        yield Case(chance.choice(_CARD_PLACES).format(value), value, form)
    for at in range(n // 4):
        form, make = (("masked", _masked), ("wrong check digit", _wrong_check))[at % 2]
        yield Case(chance.choice(_CARD_PLACES).format(make(chance)), "", form)


def _v4(chance: random.Random) -> str:
    while True:
        address = ipaddress.IPv4Address(chance.getrandbits(32))
        if address.is_global and not address.is_multicast:
            return str(address)


def _v6(chance: random.Random) -> ipaddress.IPv6Address:
    first = chance.choice((0x2001_0470, 0x2A00_1450, 0x2606_4700, 0x2404_6800, 0x2A02_0908, 0x2800_03F0))
    rest = chance.getrandbits(96) if chance.random() < 0.5 else chance.getrandbits(32) << 64 | chance.getrandbits(16)
    return ipaddress.IPv6Address(first << 96 | rest)


_IP_FORMS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "v4": lambda chance: ((one := _v4(chance)), one),
    "v4 with port": lambda chance: ((one := _v4(chance)), f"{one}:{chance.randint(1, 65535)}"),
    "v4 network": lambda chance: ((one := _v4(chance)), f"{one}/{chance.choice((16, 20, 24, 32))}"),
    "v4 range": lambda chance: ((one := _v4(chance)), f"{one}-{_v4(chance)}"),
    "v4 in a URL": lambda chance: ((one := _v4(chance)), f"http://{one}/index.html"),
    "v6": lambda chance: ((one := str(_v6(chance))), one),
    "v6 written out": lambda chance: ((one := _v6(chance).exploded), one),
    "v6 in capitals": lambda chance: ((one := str(_v6(chance)).upper()), one),
    "v6 with port": lambda chance: ((one := str(_v6(chance))), f"[{one}]:{chance.randint(1, 65535)}"),
    "v6 network": lambda chance: ((one := str(_v6(chance))), f"{one}/{chance.choice((48, 64, 128))}"),
    "v4 in v6": lambda chance: ((one := f"::ffff:{_v4(chance)}"), one),
}
_IP_PLACES = (
    "The request came from {} at noon.", "{}", "client={} status=200", '{{"ip": "{}"}}', "ssh root@{}",
    "{} - - [02/Mar/2026:10:11:12 +0000] \"GET / HTTP/1.1\" 200", "Meine IP ist {}.", "blocked: {}; reason: abuse",
    "IP地址是{}。", "адрес {} заблокирован", "| host | {} |", "X-Forwarded-For: {}, 10.0.0.1", "host ({}) is down",
    "peer {}, up 3d", "<ip>{}</ip>", "`{}`",
)  # fmt: skip


def _no_ip(chance: random.Random) -> tuple[str, str]:
    four = [str(chance.randint(0, 40)) for _ in range(4)]
    dotted = ".".join(four)
    kinds = (
        ("version", f"version {dotted}"), ("version", f"v{dotted} is out"), ("version", f"pip install foo=={dotted}"),
        ("version", f"Chrome/1{four[0]}.0.60{four[1]}.{four[2]}"), ("version", f"release {dotted} fixes it"),
        ("section", f"see section {dotted} of the manual"), ("section", f"as chapter {dotted} says"),
        ("object identifier", f"OID 1.3.6.1.{dotted}"),
        ("time", f"at 1{four[0][0]}:2{four[1][0]}:3{four[2][0]} it began"),
        ("code", "std::vector<int>::iterator it = a::b::c();"), ("code", "slice[::2] and x[1::]"),
        ("too large", f"{chance.randint(256, 999)}.{dotted[dotted.find('.') + 1:]}"), ("not global", "127.0.0.1"),
        ("not global", "0.0.0.0:8080"), ("not global", "::1"), ("not global", "fe80::1ff:fe23:4567:890a"),
        ("not global", "192.0.2.17"), ("not global", "2001:db8::17"),
        ("sum", f"{four[0]}.{four[1]} + {four[2]}.{four[3]}"),
    )  # fmt: skip
    form, text = chance.choice(kinds)
    return f"not an address: {form}", text


def _ips(chance: random.Random, n: int) -> Iterator[Case]:
    forms = tuple(_IP_FORMS)
    for at in range(n):
        form = forms[at % len(forms)]
        value, written = _IP_FORMS[form](chance)
        yield Case(chance.choice(_IP_PLACES).format(written), value, form)
    for _ in range(n // 4):
        form, text = _no_ip(chance)
        yield Case(text, "", form)


def _measured(detector: str, cases: Iterator[Case], misses: str | None) -> None:
    total: dict[str, int] = defaultdict(int)
    found: dict[str, int] = defaultdict(int)
    wrong: dict[str, int] = defaultdict(int)
    right = 0
    for case in cases:
        total[case.form] += 1
        at = case.text.find(case.value) if case.value else len(case.text)
        spans = [
            (one.start, one.end) for one in scan(case.text) if one.detector == detector and one.confidence >= RAISES
        ]
        hits = [start < at + len(case.value) and end > at for start, end in spans]
        found[case.form] += any(hits)
        right += sum(hits)
        # The other end of a range, and a forwarder, are addresses as well.
        others = 0 if case.form in ("v4 range",) else len(hits) - sum(hits)
        wrong[case.form] += others
        if misses and case.form.startswith(misses) and (others or any(hits) != bool(case.value)):
            print(json.dumps(case.text, ensure_ascii=False), [case.text[a:b] for a, b in spans])
    put_in = [form for form in total if not form.startswith(("not ", "masked", "wrong"))]
    table(
        f"{detector}: made here",
        ("form", "n", "found", "found besides"),
        ((form, n, wilson(found[form], n) if form in put_in else "-", wrong[form]) for form, n in total.items()),
    )
    n = sum(total[form] for form in put_in)
    print(f"\nrecall {wilson(sum(found[form] for form in put_in), n)} of {n}, ", end="")
    print(f"precision {wilson(right, right + sum(wrong.values()))}, beside {sum(total.values()) - n} that are none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=4800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--misses", help="print what was missed or wrong in forms that begin with this")
    arguments = parser.parse_args()
    _measured("cards", _cards(random.Random(arguments.seed), arguments.n), arguments.misses)
    _measured("ip", _ips(random.Random(arguments.seed + 1), arguments.n), arguments.misses)


if __name__ == "__main__":
    main()
