"""Where a shape has numbers somebody may be known by: its runs of digits, and what each can be where it stands."""

from __future__ import annotations

import re
from functools import lru_cache

from signalbox.detectors.national_shapes import SHAPES
from signalbox.detectors.shapes import PHONE, candidates, is_dull, is_hopeless

# From the first digit over digits, capitals and single-line separators: the superset of every written number.
_RUN = re.compile(rb"0[0A .\-/()+]{4,63}+")
_RUN_MAX = 64
# Needed in a text for any number, over its bytes: no number has fewer than six characters, so a digit and five more, or
# all of an identifier whose first digit stands later. Wider than what is a number, and the cheaper for it: what needs
# counting takes the engine twice as long.
_SIGN = rb"A-Z\xc0-\xd6\xd8-\xde"
NUMBER = b"|".join(
    (
        rb"[0-9][0-9%b \t\xa0.\-/()+]{5}" % _SIGN,
        *sorted(
            b"".join(
                {"A": rb"[%b]" % _SIGN, "0": b"[0-9]"}.get(char, re.escape(char.encode())) for char in shape.decode()
            )
            for shape in SHAPES
            if 0 <= len(shape) - shape.find(b"0") < 6
        ),
    )
)

# Numbers a run may have left of its first digit: country letters, `+`, an opening bracket.
_BEFORE = b"A0"
_GAPS = (b" ", b"-")
_LETTERED = (b"A", b"0", b"A ", b"A-")
_LETTERS = frozenset(b"aA0")
# What stands before a run may belong to it where it is made of these; so much of it is ever looked at.
_ATTACHED = b"A0 -"
_ATTACHED_MAX = 28

Number = tuple[int, int, int]
_HYPHEN, _CAPITAL = b"-A"
# What a run is: its kinds, how many characters before it were looked at, and its numbers by offsets from there on.
# Negative kinds: more of what stands before it has to be looked at.
_Told = tuple[int, int, tuple[Number, ...]]
_UNSURE: _Told = (-1, 0, ())
# Remembered of runs with two, with eight and with all characters before them, and with the one behind.
_NEAR: dict[bytes, _Told] = {}
_WIDER: dict[bytes, _Told] = {}
_WIDEST: dict[bytes, _Told] = {}
_REMEMBERED_MAX = 8192
# Runs that are no number whatever stands before them.
_HOPELESS: set[bytes] = set()
_LINED = b"\n" * 8


def numbers(shape: bytes, hopeless: set[bytes] = _HOPELESS) -> tuple[int, list[tuple[int, tuple[Number, ...]]]]:
    """All kinds of number in a shape (View.shape); and by the place of their runs what each run holds, as an offset and
    (start, end, kinds) from there on. Runs that can be read in many ways are not written out for each place.

    hopeless: runs that need not be looked at."""
    # Line ends on both sides, so that every run has neighbours.
    lined = b"".join((_LINED, shape, b"\n"))
    spans = [match.span() for match in _RUN.finditer(lined) if match[0] not in hopeless]
    every = 0
    found: list[tuple[int, tuple[Number, ...]]] = []
    near, wider, widest = _NEAR, _WIDER, _WIDEST
    for start, end in spans:
        around = lined[start - 2 : end + 1]
        told = near.get(around) or _by_two(around)
        if told is _UNSURE:
            around = lined[start - 8 : end + 1]
            told = wider.get(around) or _by_eight(around)
            if told is _UNSURE:
                if end - start == _RUN_MAX and hopeless is _HOPELESS:
                    return numbers(shape, set())  # it is cut, and digits before the rest of it belong to that
                # Near the beginning there are fewer characters before it, and where it begins would not be told.
                around = lined[start - _ATTACHED_MAX : end + 1] if start >= _ATTACHED_MAX else b""
                told = widest.get(around) or _by_all(lined, start, end, around)
        kinds, before, parts = told
        if kinds:
            every |= kinds
            found.append((start - before - 8, parts))
        elif is_hopeless(lined[start:end]):
            if len(hopeless) >= _REMEMBERED_MAX:
                hopeless.clear()
            hopeless.add(lined[start:end])
    return every, found


def _by_two(around: bytes) -> _Told:
    """What a run is with two characters before it, where none of them may belong to it, and it ends where it ends."""
    before = around[1]
    if len(around) == _RUN_MAX + 3 or (
        before in _ATTACHED and (before in _BEFORE or before == _HYPHEN or around[0] == _CAPITAL)
    ):
        return _remembered(_NEAR, around, _UNSURE)
    kinds, parts = _of_run(around[1:], 1)
    return _remembered(_NEAR, around, (kinds, 1, parts))


def _by_eight(around: bytes) -> _Told:
    """What a run is with eight characters before it, where those that may belong to it are fewer, and no UUID's."""
    if len(around) == _RUN_MAX + 9 or around[7] == _HYPHEN == around[2] or not around[:8].rstrip(_ATTACHED):
        return _remembered(_WIDER, around, _UNSURE)
    before = _attached(around[:8]) if around[7] in _BEFORE or around[6] == _CAPITAL else 1
    kinds, parts = _of_run(around[8 - before :], before)
    return _remembered(_WIDER, around, (kinds, before, parts))


def _by_all(lined: bytes, start: int, end: int, around: bytes) -> _Told:
    """What a run is with all before it that may belong to it."""
    told = _with_all(lined, start, end)
    return _remembered(_WIDEST, around, told) if around else told


def _with_all(lined: bytes, start: int, end: int) -> _Told:
    before = lined[start - 1]
    if before == _HYPHEN and start > 24 and lined[start - 16 : start : 5] == b"----":
        return 0, 1, ()  # the tail of a UUID
    size = 1
    if before in _BEFORE or lined[start - 2] == _CAPITAL:
        size = _attached(lined[max(0, start - _ATTACHED_MAX) : start])
    kinds, parts = _of_run(lined[start - size : end + 1], size)
    return kinds, size, parts


def _remembered(told: dict[bytes, _Told], around: bytes, one: _Told) -> _Told:
    if len(told) >= _REMEMBERED_MAX:
        told.clear()
    told[around] = one
    return one


def _attached(before: bytes) -> int:
    """How much of what stands before a run may belong to it, and one character more."""
    return min(len(before), len(before) - len(before.rstrip(_ATTACHED)) + 1)


@lru_cache(maxsize=8192)
def _of_run(around: bytes, start: int) -> tuple[int, tuple[Number, ...]]:
    """The kinds and the numbers of a run that begins at `start` and ends one before the last character, by offsets into
    `around`. Texts repeat few runs with few surroundings, so each is thought about once."""
    end = len(around) - 1
    run = around[start:end]
    if not around[max(0, start - 2) : start].endswith(_LETTERED) and is_dull(run):
        return 0, ()
    if around[end] == 97:
        end -= len(run) - len(run.rstrip(b"A"))
    left = start
    while left > 0 and start - left < 8 and around[left - 1] in _BEFORE:
        left -= 1
    parts = candidates(around[left:end])
    if around[left - 1 : left] in _GAPS and around[left - 2 : left - 1] == b"A":
        wide = _with_letters(around, left)
        inner = tuple((low + left - wide, high + left - wide, kinds) for low, high, kinds in parts)
        parts, left = (*candidates(around[wide:end]), *inner), wide
    found: list[Number] = []
    every = 0
    for low, high, kinds in parts:
        if around[left + high] == 97 and kinds & PHONE and not around[left + low : left + high].isdigit():
            kinds = PHONE  # `555-867-5309x42`: whether that is an extension, its detector asks
        elif around[left + high] in _LETTERS:
            continue
        if around[left + low - 1] not in _LETTERS:
            found.append((left + low, left + high, kinds))
            every |= kinds
    return every, tuple(found)


def _with_letters(shape: bytes, left: int) -> int:
    """Where a number begins whose leading letters stand apart, as in `AB 12 34 56 C` or `X-1234567-L`."""
    for _ in range(2):
        start = left - 1
        while start > 0 and left - start < 6 and shape[start - 1] == 65:
            start -= 1
        if not 1 <= left - 1 - start <= 3 or (start and shape[start - 1 : start] in (b"A", b"a", b"0")):
            break
        left = start
        if shape[left - 1 : left] not in _GAPS or shape[left - 2 : left - 1] != b"A":
            break
    return left
