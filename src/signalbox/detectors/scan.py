"""The public face of detection: `scan` tells what a text contains and where, `classify` only which labels it needs."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.core.labels import NONE, Labels, labels_of
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import FOUND_MAX, RAISES, Found
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
            for word in detector.words:
                try:
                    key = word.encode("latin-1")
                except UnicodeEncodeError:
                    self._wide_lexicon[word] = self._wide_lexicon.get(word, 0) | 1 << index
                else:
                    self._lexicon[key] = self._lexicon.get(key, 0) | 1 << index
        self._words = frozenset(self._lexicon)
        self._signs = tuple(
            (1 << index, detector.kinds, detector.sign)
            for index, detector in enumerate(self._detectors)
            if detector.kinds or detector.sign is not None
        )

    def scan(self, text: str | bytes) -> list[Found]:
        """Everything found, by position, without overlaps of one kind of data over another. Offsets are characters
        of the text; bytes are read as UTF-8, and each undecodable byte counts as one character."""
        view = View(text if isinstance(text, str) else text.decode("utf-8", "replace"))
        self._look(view)
        return resolved(view.found)

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


def resolved(found: list[Found]) -> list[Found]:
    """By position; where findings of different detectors overlap, the more confident one stays."""
    if len(found) < 2:
        return found
    kept: list[Found] = []
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        clash = next((k for k in reversed(kept[-4:]) if k.end > one.start and k.detector != one.detector), None)
        if clash is None:
            kept.append(one)
        elif one.confidence > clash.confidence:
            kept[kept.index(clash)] = one
    return kept


_DEFAULT = Scanner()
scan = _DEFAULT.scan
classify = _DEFAULT.classify
