"""What a detector is: a function from a view to findings, and what must be in a text for it to look at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from signalbox.detectors.found import Found
from signalbox.detectors.view import View


class Detector(msgspec.Struct, frozen=True):
    """One detector. tags: all labels its findings can have.

    words: lower-case words of which one must occur before it looks. kinds: number shapes (detectors.shapes) of which
    one must occur. marks, forms: of which one must occur in `view.marks`, `view.shape`; each form has a digit.
    long: a token of sixteen characters is a reason to look. sign: any other cheap test, which holds only where one of
    the characters `sign_needs` is in `view.marks`, if it names some; wide_sign: the same for texts beyond latin-1. One
    of them suffices. context: words that `find` looks up in `view.hits` but that give no reason to look.

    hinting, hinted: these words are a reason to look where the test says so as well.

    pieces: what `find` and `sign` look up in `view.pieces`, where it is not None: found inside words as well.

    rests_on: labels whose findings it builds on: wherever `holds` says that it will look, they are looked for as well.

    find: its findings in a view, in any order. Runs after the detectors above it in the table, whose findings are
    in `view.found`.
    """

    name: str
    find: Callable[[View], Iterable[Found]]
    tags: tuple[str, ...]
    words: frozenset[str] = frozenset()
    context: frozenset[str] = frozenset()
    kinds: int = 0
    marks: tuple[bytes, ...] = ()
    forms: tuple[bytes, ...] = ()
    pieces: frozenset[bytes] = frozenset()
    hinting: frozenset[str] = frozenset()
    hinted: Callable[[View], bool] = lambda _: True
    long: bool = False
    sign_needs: bytes = b""
    sign: Callable[[View], bool] | None = None
    wide_sign: Callable[[View], bool] | None = None
    rests_on: frozenset[str] = frozenset()
    holds: Callable[[View], bool] = lambda _: True
