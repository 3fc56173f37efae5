"""IP and hardware addresses. Addresses that identify nobody (private, loopback, documentation) raise no label."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.shapes import IPV4
from signalbox.detectors.view import View

_V6_HINT = re.compile(rb":(?::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:)")
_V6_CHARS = b"0123456789abcdefABCDEF:."
_MAC = re.compile(rb"(?<![0-9A-Fa-f:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])")
_VERSION_BEFORE = re.compile(rb"(?i)(?:\bv|version|release|ver\.?|==|>=|<=|\^|~)[ :=\"']{0,3}$")


def _worth(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> float:
    return 0.75 if address.is_global and not address.is_multicast else 0.3


def find(view: View) -> Iterator[Found]:
    for start, end, kinds in view.numbers:
        if not kinds & IPV4:
            continue
        try:
            address = ipaddress.IPv4Address(view.text[start:end])
        except ValueError:
            continue
        if _VERSION_BEFORE.search(view.flat[max(0, start - 12) : start]):
            continue
        yield Found("ip", "personal", start, end, _worth(address), "ipv4")
    yield from _v6(view)


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
        yield Found("ip", "personal", start, start + len(raw), _worth(address), "ipv6")


DETECTOR = Detector("ip", find, tags=("personal",), kinds=IPV4, marks=(b"::",))
