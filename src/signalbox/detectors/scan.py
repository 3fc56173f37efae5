"""The public face of detection: `scan` tells what a text contains and where, `classify` only which labels it needs."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from signalbox.core.labels import NONE, Labels, labels_of
from signalbox.detectors import encoded
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import FOUND_MAX, RAISES, Found
from signalbox.detectors.normalise import digits_mended, normal
from signalbox.detectors.table import DETECTORS
from signalbox.detectors.view import View


class Scanner:
    """A set of detectors with the gate over them: one lookup of the text's words decides which of them look."""

    __slots__ = ("_detectors", "_lexicon", "_signs", "_wide_lexicon", "_words")

    def __init__(self, detectors: Sequence[Detector] = DETECTORS) -> None:
        self._detectors = tuple(detectors)
        self._lexicon: dict[bytes, int] = {}
        self._wide_lexicon: dict[str, int] = {}
        for index, detector in enumerate(self._detectors):
            for words, bit in ((detector.words, 1 << index), (detector.context, 0)):
                for word in words:
                    if max(word) < "\u0100":
                        key = word.encode("latin-1")
                        self._lexicon[key] = self._lexicon.get(key, 0) | bit
                    else:
                        self._wide_lexicon[word] = self._wide_lexicon.get(word, 0) | bit
        self._words = frozenset(self._lexicon)
        self._signs = tuple(
            (1 << index, detector.kinds, detector.sign)
            for index, detector in enumerate(self._detectors)
            if detector.kinds or detector.sign is not None
        )

    def scan(self, text: str | bytes) -> list[Found]:
        """Everything found, by position. Offsets are characters of the
        text; bytes are read as UTF-8, where each undecodable one counts as one character."""
        text = text if isinstance(text, str) else text.decode("utf-8", "replace")
        plain, offsets = normal(text)
        found = self._plain(plain, 0, [encoded.DECODED_CHARS_MAX, encoded.PARTS_MAX])
        if offsets is not None:
            offsets.append(len(text))
            found = [replace(one, start=offsets[one.start], end=offsets[one.end - 1] + 1) for one in found]
        return resolved(found)

    def _plain(self, text: str, depth: int, budget: list[int]) -> list[Found]:
        """Findings in a normal text and, to a depth and within a budget of characters and parts, in what it encodes."""
        view = View(text)
        if b"0A0" in view.shape or b"0a0" in view.shape:
            mended = digits_mended(text)
            view = view if mended == text else View(mended)
        self._look(view)
        if depth >= encoded.DEPTH_MAX:
            return view.found
        for start, end, inner in encoded.parts(view):
            if budget[0] < len(inner) or budget[1] == 0:
                view.found.append(Found("encoded", "opaque", start, end, 0.6, "beyond-bounds"))
                break
            budget[0] -= len(inner)
            budget[1] -= 1
            view.found += self._inner(inner, start, end, depth, budget)
        return view.found

    def _inner(self, text: str, start: int, end: int, depth: int, budget: list[int]) -> list[Found]:
        """What an encoded part contains, each finding once, all at the place of the part."""
        best: dict[tuple[str, str], Found] = {}
        for one in self._plain(normal(text)[0], depth + 1, budget):
            key = (one.detector, one.kind)
            if key not in best or best[key].confidence < one.confidence:
                best[key] = replace(one, start=start, end=end)
        return list(best.values())

    def classify(self, text: str | bytes) -> Labels:
        """The labels of everything found with enough confidence."""
        labels = NONE
        tags = {found.tag for found in self.scan(text) if found.confidence >= RAISES}
        if tags:
            labels = labels_of(tags)
        return labels

    def _look(self, view: View) -> None:
        fired = self._fired(view)
        index = 0
        while fired:
            if fired & 1:
                self._run(self._detectors[index], view)
            fired >>= 1
            index += 1

    def _run(self, detector: Detector, view: View) -> None:
        left = FOUND_MAX
        for found in detector.find(view):
            view.found.append(found)
            left -= 1
            if left == 0:
                return

    def _fired(self, view: View) -> int:
        """One bit for every detector that has a reason to look."""
        lexicon, fired = self._lexicon, 0
        view.hits = hits = self._words.intersection(view.lower.split())
        for word in hits:
            fired |= lexicon[word]
        if view.wide and self._wide_lexicon:
            view.wide_hits = self._wide_lexicon.keys() & set(view.wide_words())
            for word in view.wide_hits:
                fired |= self._wide_lexicon[word]
        kinds = 0
        for _, _, one in view.numbers:
            kinds |= one
        for bit, wanted, sign in self._signs:
            if not fired & bit and (wanted & kinds or (sign is not None and sign(view))):
                fired |= bit
        return fired


# Detectors that read the same numbers in different ways.
_NUMBERS = frozenset(("cards", "bank", "national_ids", "phone", "ip"))


def resolved(found: list[Found]) -> list[Found]:
    """By position; a number is one thing only: where readings of it overlap, the most confident one stays."""
    if len(found) < 2:
        return found
    kept: list[Found] = []
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        clash = None
        if one.detector in _NUMBERS:
            clash = next((k for k in reversed(kept[-4:]) if k.end > one.start and k.detector in _NUMBERS), None)
        if clash is None:
            kept.append(one)
        elif one.confidence > clash.confidence:
            kept[kept.index(clash)] = one
    return kept


_DEFAULT = Scanner()
scan = _DEFAULT.scan
classify = _DEFAULT.classify
