"""National identifiers: personal numbers, tax numbers and social security numbers, by shape, check and context."""

from __future__ import annotations

from collections.abc import Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.national_table import NATIONAL, NationalId
from signalbox.detectors.shapes import ID
from signalbox.detectors.view import View, Words

_BY_SHAPE: dict[str, list[NationalId]] = {}
for _id in NATIONAL:
    for _written in _id.shapes:
        _BY_SHAPE.setdefault(_written, []).append(_id)

_WORDS = {entry.kind: Words(entry.words) for entry in NATIONAL}
_SEPARATORS = str.maketrans("", "", " .-/()+")


def find(view: View) -> Iterator[Found]:
    for start, end, kinds in view.numbers:
        if not kinds & ID:
            continue
        bare = view.text[start:end].translate(_SEPARATORS)
        shape = view.shape[start:end].decode("latin-1")
        entries = _BY_SHAPE.get(shape)
        if entries is None:
            entries = _BY_SHAPE.get("".join("0" if char.isdigit() else "A" for char in bare), ())
        valid = [(entry, True) for entry in entries if entry.check is None or entry.check(bare)]
        doubtful = [(entry, False) for entry in entries if entry.invalid and (entry, True) not in valid]
        if valid or doubtful:
            best = _best(view, start, end, valid + doubtful)
            if best is not None:
                yield best


def _best(view: View, start: int, end: int, entries: list[tuple[NationalId, bool]]) -> Found | None:
    """The most confident reading of a number, given the words around it."""
    kind, most = "", 0.0
    around = view.window(start, end, 56, 24)
    for entry, valid in entries:
        named = view.says(around, _WORDS[entry.kind])
        confidence = (entry.named if named else entry.alone) if valid else (entry.invalid if named else 0.0)
        if confidence > most:
            kind, most = entry.kind, confidence
    return Found("national_ids", "national-id", start, end, most, kind) if most else None


DETECTOR = Detector("national_ids", find, tags=("national-id",), kinds=ID)
