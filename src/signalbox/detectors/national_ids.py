"""National identifiers: personal numbers, tax numbers and social security numbers, by shape, check and context."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.health import RECORD_LEADS, RECORD_NUMBER, is_of_a_record
from signalbox.detectors.identity_documents import WORDS as DOCUMENT_WORDS
from signalbox.detectors.identity_documents import documents
from signalbox.detectors.national_table import NATIONAL, NationalId
from signalbox.detectors.shapes import ID
from signalbox.detectors.view import View, Words

_WORDS = {entry.kind: Words(entry.words) for entry in NATIONAL}
_SEPARATORS, _JOINING = str.maketrans("", "", " \t.-/()+"), b" .-/()+"


class _Readings(msgspec.Struct, frozen=True):
    """What a written form can be. words: those of all entries. alone: entries that need no word near them."""

    entries: tuple[NationalId, ...]
    words: Words
    alone: tuple[NationalId, ...]


def _readings() -> dict[bytes, _Readings]:
    by_shape: dict[str, list[NationalId]] = {}
    for entry in NATIONAL:
        for written in entry.shapes:
            by_shape.setdefault(written, []).append(entry)
    return {
        shape.encode("ascii"): _Readings(
            tuple(entries),
            Words(word for entry in entries for word in entry.words),
            tuple(entry for entry in entries if entry.alone >= RAISES),
        )
        for shape, entries in by_shape.items()
    }


_BY_SHAPE = _readings()
# Of clinical text `health` makes it health data, which is what it is; by itself it raises no label.
_OF_A_RECORD = 0.45


def find(view: View) -> Iterator[Found]:
    yield from documents(view)
    # What numbers are without a word near them: a text repeats few, and checks cost.
    alone: dict[tuple[bytes, str], tuple[str, float]] = {}
    for start, end, kinds in view.numbers:
        if not kinds & ID:
            continue
        shape = view.shape[start:end]
        readings = _BY_SHAPE.get(shape) or _BY_SHAPE.get(shape.translate(None, _JOINING))
        if readings is None:
            continue
        around = view.window(start, end, 56, 24)
        named = view.says(around, readings.words)
        # Files full of numbers have many: without a word near, only what is sure alone is checked.
        if not named and not readings.alone:
            continue
        bare = view.text[start:end].translate(_SEPARATORS)
        if named:
            kind, most = _best(readings.entries, [_confidence(view, entry, bare, around) for entry in readings.entries])
        else:
            known = alone.get((shape, bare))
            if known is None:
                entries = readings.alone
                known = _best(entries, [_worth(entry, bare, entry.alone, 0.0) for entry in entries])
                alone[shape, bare] = known
            kind, most = known
        if most and view.says(around, RECORD_LEADS) and _is_record(view, start, kind):
            most, kind = _OF_A_RECORD, RECORD_NUMBER
        if most:
            yield Found("national_ids", "national-id", start, end, most, kind)


def _is_record(view: View, start: int, kind: str) -> bool:
    """Whether a number in the form of an identifier is said to be that of a record or a plan: `MRN: 123-45-6789`."""
    return is_of_a_record(view, start) and not view.near(start, _WORDS[kind], 48)


def _confidence(view: View, entry: NationalId, bare: str, around: tuple[list[bytes], str]) -> float:
    named = view.says(around, _WORDS[entry.kind])
    if not named and entry.alone < RAISES:
        return 0.0
    return _worth(entry, bare, entry.named, entry.invalid) if named else _worth(entry, bare, entry.alone, 0.0)


def _worth(entry: NationalId, bare: str, right: float, wrong: float) -> float:
    # Checks are of the letters that identifiers are made of: `É` is none, but has the shape of one.
    return right if entry.check is None or (bare.isascii() and entry.check(bare)) else wrong


def _best(entries: tuple[NationalId, ...], worth: list[float]) -> tuple[str, float]:
    """The kind that is worth most, the first where several are, and how much; nothing where none is worth any."""
    most = max(worth)
    return (entries[worth.index(most)].kind, most) if most > 0 else ("", 0.0)


DETECTOR = Detector("national_ids", find, tags=("national-id",), words=DOCUMENT_WORDS, kinds=ID)
