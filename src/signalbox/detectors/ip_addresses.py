"""IP and hardware addresses. Addresses that identify nobody (private, loopback, documentation) raise no label."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.shapes import IPV4
from signalbox.detectors.view import View, Words

_V6 = rb":(?::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:)"
_V6_HINT = re.compile(_V6)
_V6_CHARS = b"0123456789abcdefABCDEF:."
_MAC = re.compile(rb"(?<![0-9A-Fa-f:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])")
_VERSION_BEFORE = re.compile(
    rb"(?i)(?:\bv|versi[o\xf3]n[ei]?|release|ver\.?|build|firmware|rev(?:ision)?\.?|==|>=|<=|\^|~|\xa7|\b(?:sub)?section|"
    rb"sec\.|chapter|clause|article|paragraph|para\.|appendix|annex|figure|fig\.|table|rule|item|step|abschnitt|kapitel|"
    rb"artikel|secci\xf3n|cap\xedtulo|art\xedculo|chapitre|sezione|capitolo)s?[ :=\"']{0,3}$"
)


# `my address 10.2.8.31 is blocked`: an address inside a network is somebody's where it is said to be.
_ADDRESS_LIST = "address adresse dirección indirizzo endereço adres ip"
_SOMEBODY_LIST = (
    "my our user users username customer visitor employee patient caller laptop blocked banned meine mon mi mio minha "
    "mijn nutzer benutzer utilisateur usuario utente usuário gebruiker"
)
_ADDRESS_WORDS, _SOMEBODY = Words(_ADDRESS_LIST.split()), Words(_SOMEBODY_LIST.split())


def _worth(view: View, start: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> float:
    if address.is_global and not address.is_multicast:
        return 0.75
    if address.is_loopback or address.is_unspecified or address.is_link_local or not address.is_private:
        return 0.3
    if view.near(start, _ADDRESS_WORDS, 24) and view.near(start, _SOMEBODY, 64, 32, start + 7):
        return 0.6
    return 0.4  # an identifier in clinical text, whatever network it is of (45 CFR 164.514(b)(2)(i)(O))


def find(view: View) -> Iterator[Found]:
    for start, end, kinds in view.numbers:
        if not kinds & IPV4:
            continue
        if _VERSION_BEFORE.search(view.flat[max(0, start - 16) : start]):
            continue
        for written in view.text[start:end].split("-"):
            yield from _v4(view, start, written)
            start += len(written) + 1
    yield from _v6(view)


def _v4(view: View, start: int, written: str) -> Iterator[Found]:
    """An address, or one of a network: where the rest is 0 it is the network, and nobody's."""
    host, _, bits = written.partition("/")
    try:
        address = ipaddress.IPv4Address(host)
        is_network = (
            bits != "" and int(bits) < 31 and ipaddress.IPv4Interface(written).network.network_address == address
        )
    except ValueError:
        return
    worth = _worth(view, start, address)
    yield Found("ip", "personal", start, start + len(host), min(worth, 0.45) if is_network else worth, "ipv4")


def _v6(view: View) -> Iterator[Found]:
    flat, done = view.flat, 0
    for match in _V6_HINT.finditer(flat):
        if match.start() < done:
            continue
        before = flat[max(0, match.start() - 40) : match.start()]
        after = flat[match.end() : match.end() + 40]
        start = match.start() - (len(before) - len(before.rstrip(_V6_CHARS)))
        end = match.end() + (len(after) - len(after.lstrip(_V6_CHARS)))
        done = end
        raw = flat[start:end].rstrip(b".:") if not flat[start:end].endswith(b"::") else flat[start:end]
        if raw.count(b":") < 3 and raw.find(b".") < 0:
            continue  # `std::x`, `a::b` and times
        try:
            address = ipaddress.IPv6Address(raw.decode())
        except ValueError:
            if _MAC.fullmatch(raw):
                yield Found("ip", "personal", start, start + len(raw), 0.6, "mac")
            continue
        yield Found("ip", "personal", start, start + len(raw), _worth(view, start, address), "ipv6")


DETECTOR = Detector("ip", find, tags=("personal",), kinds=IPV4, triggers=(_V6,))
