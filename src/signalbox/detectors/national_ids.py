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
_SEPARATORS = str.maketrans("", "", " .-/()")


def find(view: View) -> Iterator[Found]:
    for start, end, kinds in view.numbers:
        if not kinds & ID:
            continue
        bare = view.text[start:end].translate(_SEPARATORS)
        shape = view.shape[start:end].decode("latin-1")
        entries = _BY_SHAPE.get(shape)
        if entries is None:
            entries = _BY_SHAPE.get("".join("0" if char.isdigit() else "A" for char in bare), ())
        best: Found | None = None
        for entry in entries:
            valid = entry.check is None or entry.check(bare)
            if not valid and entry.invalid == 0.0:
                continue
            named = view.near(start, _WORDS[entry.kind], 56, 24, end)
            confidence = (entry.named if named else entry.alone) if valid else (entry.invalid if named else 0.0)
            if confidence and (best is None or confidence > best.confidence):
                best = Found("national_ids", "national-id", start, end, confidence, entry.kind)
        if best is not None:
            yield best


DETECTOR = Detector("national_ids", find, kinds=ID)
