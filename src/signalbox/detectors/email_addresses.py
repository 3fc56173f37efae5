"""E-mail addresses: from each `@` outwards, so that text without one costs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.view import View

_AT = re.compile(rb"@(?=([A-Za-z0-9\xc0-\xff](?:[A-Za-z0-9\xc0-\xff.-]{0,250}+)))")
_LOCAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-'!#$&*=^{}~" + bytes(range(0xC0, 256))
_DOMAIN = re.compile(rb"(?:[A-Za-z0-9\xc0-\xff](?:[A-Za-z0-9\xc0-\xff-]{0,61}[A-Za-z0-9\xc0-\xff])?\.)+[A-Za-z]{2,24}")
# Addresses of functions, not of people: still reported, below the threshold that raises a label.
_ROLE = frozenset((b"noreply", b"no-reply", b"donotreply", b"git"))
_NOT_TLD = frozenset((b"png", b"jpg", b"svg", b"webp", b"gif", b"js", b"css", b"local"))


def find(view: View) -> Iterator[Found]:
    flat = view.flat
    for match in _AT.finditer(flat):
        at = match.start()
        domain = _DOMAIN.match(match[1])
        if domain is None or domain[0].rpartition(b".")[2].lower() in _NOT_TLD:
            continue
        before = flat[max(0, at - 64) : at]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(b".'{}=&!#$*^~%")
        if not local:
            continue
        start, end = at - len(local), at + 1 + domain.end()
        if flat[start - 1 : start] == b":" and flat[max(0, start - 80) : start].find(b"//") >= 0:
            continue  # user:password@host of a URL belongs to the secrets detector
        confidence = 0.3 if local.lower() in _ROLE else 0.97
        yield Found("email", "personal", start, end, confidence, "email")


DETECTOR = Detector("email", find, tags=("personal",), triggers=(b"@",))
