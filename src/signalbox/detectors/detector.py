"""What a detector is: a function from a view to findings, and what must be in a text for it to look at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from signalbox.detectors.found import Found
from signalbox.detectors.view import View


class Detector(msgspec.Struct, frozen=True):
    """One detector. tags: all labels its findings can have.

    words: lower-case words of which one must occur before it looks. kinds: number shapes (detectors.shapes) of which
    one must occur. triggers: expressions over `view.flat` (detectors.triggers) of which one must occur. forms: the
    same, where the text has a token of sixteen characters as well; where nobody knows, such a token is enough. sign:
    any other cheap test; wide_sign: the same for texts beyond latin-1. One of them suffices. noted: words that `sign`
    and `find` look up in `view.hits` but that give no reason to look.
    context: words that `find`, `hinted` and `holds` look up there once a word has given a reason.

    hinting, hinted: these words are a reason to look where the test says so as well.

    pieces: what `find` looks up in `view.pieces`, where it is not None: found inside words as well. hinting_pieces:
    those of them that are a reason as hinting words are; where nobody has looked for them, any may occur.

    rests_on: labels whose findings it builds on: wherever it will look, they are looked for as well. holds: whether it
    will, once a word has given a reason; None where it will in any case.

    ready: compiles what it would compile at its first text.

    find: its findings in a view, in any order. Runs after the detectors above it in the table, whose findings are
    in `view.found`.
    """

    name: str
    find: Callable[[View], Iterable[Found]]
    tags: tuple[str, ...]
    words: frozenset[str] = frozenset()
    noted: frozenset[str] = frozenset()
    context: frozenset[str] = frozenset()
    kinds: int = 0
    triggers: tuple[bytes, ...] = ()
    pieces: frozenset[bytes] = frozenset()
    hinting: frozenset[str] = frozenset()
    hinting_pieces: frozenset[bytes] = frozenset()
    hinted: Callable[[View], bool] = lambda _: True
    forms: tuple[bytes, ...] = ()
    sign: Callable[[View], bool] | None = None
    wide_sign: Callable[[View], bool] | None = None
    rests_on: frozenset[str] = frozenset()
    holds: Callable[[View], bool] | None = None
    ready: Callable[[], None] | None = None
