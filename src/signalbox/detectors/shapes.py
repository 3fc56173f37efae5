"""Which kinds of number a shape can be: pure functions of the shape alone, remembered, so that logs cost little.

A shape is a slice of View.shape: `0` for a digit, `A` for a capital, separators as written. Texts repeat few shapes
(every timestamp of a log has one), so the expensive question is asked once per shape and not once per number.
"""

from __future__ import annotations

import re
from functools import lru_cache

from signalbox.detectors.national_shapes import SHAPES

CARD, IBAN, IPV4, PHONE, ID = 1, 2, 4, 8, 16
# So many different sets of them.
KINDS = 32

# A run of many blank-separated groups is a table or a spaced-out number, not a place to try every part.
_CHUNKS_MAX = 8

_CHUNK = re.compile(rb"[^ ]+")
_EDGES = b" .-/()+"
_JOINED = re.compile(rb"[ .\-/()+]")
# An address, a network of them, or from one to another.
_IPV4 = re.compile(rb"0{1,3}(?:\.0{1,3}){3}(?:/0{1,2}|-0{1,3}(?:\.0{1,3}){3})?")
_DATE = re.compile(rb"0000([-/.])0{1,2}\1 ?0{1,2}|0{1,2}([-/.]) ?0{1,2}\2 ?0000|0{1,2}([-/.])0{1,2}\3 ?00|00000000")
_CARD = re.compile(
    rb"0{12,19}|0000([ .-])0000\1(?:0000\1(?:0{4}|0{1,3}|0{4}\1?0{1,3})|00000)|0000([ .-])0{6}\2(?:0{4,5}|0{9})"
)
# Groups of two digits or more, one separator between them, brackets round one group. Not decimals, not year ranges.
_PHONE = re.compile(rb"\(?0{1,5}\)?(?:(?: ?[-./] ?| {1,2})?\(?0{1,5}\)?){0,6}0{1,8}")
_NOT_PHONE = re.compile(
    rb"0{1,5}[.]0+|0000 ?- ?0000|0000[ .]0000[ .]0000[ .]0000.*+|0{1,3}(?:\.000)+|0{1,2}(?: 000)+|000(?: 000){3,}"
)
# A Polish account number is an IBAN without its country.
_POLISH_ACCOUNT = (b"0" * 26, b"00 0000 0000 0000 0000 0000 0000")
# What follows the letters of those identifiers that begin with some, and perhaps with gaps after them.
_LETTERED = frozenset(shape.lstrip(b"A -") for shape in SHAPES if shape[:1] == b"A")
_SPACED = re.compile(rb"[0A](?:([ .\-_])[0A](?:\1[0A])++)")


@lru_cache(maxsize=8192)
def candidates(shape: bytes) -> tuple[tuple[int, int, int], ...]:
    """(start, end, kinds) of the parts of a run that can be some kind of number."""
    digits = shape.count(b"0")
    if digits + shape.count(b"A") < 9 and digits < 6 and shape.count(b".") < 3:
        return ()
    spans = [match.span() for match in _CHUNK.finditer(shape)]
    found: dict[tuple[int, int], int] = {}
    last = len(spans)
    many = last > _CHUNKS_MAX
    for first in range(last):
        low = spans[first][0]
        starts_iban = shape[low : low + 2] == b"AA"
        if many and first and not starts_iban:
            continue
        for until in range(last, first, -1):
            start, end = _trimmed(shape, low, spans[until - 1][1])
            if many and until != last and not starts_iban and until - first != 4:
                continue
            kinds = _kinds(shape[start:end])
            if kinds:
                found[start, end] = found.get((start, end), 0) | kinds
    return tuple((start, end, kinds) for (start, end), kinds in found.items())


@lru_cache(maxsize=8192)
def is_dull(run: bytes) -> bool:
    """Whether a run without letters before it can be no number at all."""
    return not candidates(run) and not candidates(run.rstrip(b"A"))


@lru_cache(maxsize=8192)
def is_hopeless(run: bytes) -> bool:
    """Whether a run can be no number at all, whatever letters and gaps stand before it. Of runs in many groups nobody
    knows."""
    return run.count(b" ") < _CHUNKS_MAX and is_dull(run) and not any(map(_ends_lettered, (run, run.rstrip(b"A"))))


def _ends_lettered(run: bytes) -> bool:
    """Whether a number may begin with letters before a run and end in it."""
    for match in _CHUNK.finditer(run):
        head = run[: _trimmed(run, 0, match.end())[1]]
        bare = _JOINED.sub(b"", head)
        if head in _LETTERED or (bare[:2] == b"00" and 13 <= len(bare) <= 32):
            return True
    return False


def _trimmed(shape: bytes, start: int, end: int) -> tuple[int, int]:
    part = shape[start:end]
    end -= len(part) - len(part.rstrip(_EDGES))
    start += len(part) - len(part.lstrip(_EDGES))
    return start, end


def _kinds(part: bytes) -> int:
    """What this whole part can be."""
    if len(part) < 6 or part.find(b"0") < 0:
        return 0
    kinds = 0
    if part in SHAPES:
        kinds |= ID
    bare = _JOINED.sub(b"", part)
    if part in _POLISH_ACCOUNT:
        return kinds | IBAN
    if part[:2] == b"AA":
        # With fewer digits none is one.
        return kinds | IBAN if bare[2:4] == b"00" and 15 <= len(bare) <= 34 and part.count(b"0") >= 4 else kinds
    if part.find(b"A") >= 0:
        return kinds
    if _DATE.fullmatch(part):
        return kinds
    if _IPV4.fullmatch(part):
        return kinds | IPV4
    if _CARD.fullmatch(part):
        kinds |= CARD
    elif _SPACED.fullmatch(part):
        if bare in SHAPES:
            kinds |= ID
        return kinds | CARD if 13 <= len(bare) <= 19 else kinds
    if 7 <= len(bare) <= 15 and _PHONE.fullmatch(part) and not _NOT_PHONE.fullmatch(part):
        kinds |= PHONE
    return kinds
