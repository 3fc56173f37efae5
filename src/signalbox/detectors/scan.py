"""The public face of detection: `scan` tells what a text contains and where, `classify` only which labels it needs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace

from signalbox.core.labels import NONE, Labels, labels_of
from signalbox.detectors import encoded
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import FOUND_MAX, RAISES, Found
from signalbox.detectors.normalise import digits_mended, given, may_confuse, normal
from signalbox.detectors.table import DETECTORS
from signalbox.detectors.view import View

# What health data is told by: known or not, it must be found where health data may be.
_IDENTIFYING = frozenset(("personal", "national-id", "pci", "financial"))


class Scanner:
    """A set of detectors with the gate over them: one lookup of the text's words decides which of them look."""

    __slots__ = ("_detectors", "_lexicon", "_signs", "_wide_lexicon", "_wide_words", "_words")

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
        self._wide_words = frozenset(self._wide_lexicon)
        self._signs = tuple(
            (1 << index, detector.kinds, detector.sign)
            for index, detector in enumerate(self._detectors)
            if detector.kinds or detector.sign is not None
        )

    def scan(self, text: str | bytes) -> list[Found]:
        """Everything found, by position. Offsets are characters of the text; bytes are read as UTF-8, where each
        undecodable one counts as one character."""
        text = text if isinstance(text, str) else text.decode("utf-8", "replace")
        plain, dropped = normal(text)
        found = self._plain(plain, 0, [encoded.DECODED_CHARS_MAX, encoded.PARTS_MAX], None)
        if dropped is not None:
            found = [
                replace(one, start=given(dropped, one.start), end=given(dropped, one.end - 1) + 1) for one in found
            ]
        return resolved(found)

    def classify(self, text: str | bytes, known: Labels = NONE) -> Labels:
        """The labels of everything found with enough confidence, without those already known.

        Cheaper than a scan: each label is looked for only until it is found once.
        """
        text = text if isinstance(text, str) else text.decode("utf-8", "replace")
        names = known.names() if known is not NONE else ()
        raised = set(names)
        if "phi" not in raised:
            raised -= _IDENTIFYING
        self._plain(normal(text)[0], 0, [encoded.DECODED_CHARS_MAX, encoded.PARTS_MAX], raised)
        raised.difference_update(names)
        return labels_of(raised) if raised else NONE

    def _plain(self, text: str, depth: int, budget: list[int], raised: set[str] | None) -> list[Found]:
        """Findings in a normal text and, to a depth and within a budget of characters and parts, in what it encodes.

        raised: labels that need not be found again, added to; None to find everything.
        """
        brief = raised is not None
        view = View(text, brief)
        if may_confuse(view.flat, view.shape):
            mended = digits_mended(text)
            view = view if mended == text else View(mended, brief)
        self._look(view, raised)
        if depth >= encoded.DEPTH_MAX or not encoded.may_hold(view):
            return view.found
        for start, end, inner in encoded.parts(view):
            if budget[0] < len(inner) or budget[1] == 0:
                view.found.append(Found("encoded", "opaque", start, end, 0.6, "beyond-bounds"))
                if raised is not None:
                    raised.add("opaque")
                break
            budget[0] -= len(inner)
            budget[1] -= 1
            view.found += self._inner(inner, start, end, depth, budget, raised)
        return view.found

    def _inner(
        self, text: str, start: int, end: int, depth: int, budget: list[int], raised: set[str] | None
    ) -> list[Found]:
        """What an encoded part contains, each finding once, all at the place of the part."""
        best: dict[tuple[str, str], Found] = {}
        for one in self._plain(normal(text)[0], depth + 1, budget, raised):
            key = (one.detector, one.kind)
            if key not in best or best[key].confidence < one.confidence:
                best[key] = replace(one, start=start, end=end)
        return list(best.values())

    def _look(self, view: View, raised: set[str] | None) -> None:
        fired = self._fired(view)
        for detector in self._detectors:
            if fired & 1:
                if raised is None:
                    view.found += islice(detector.find(view), FOUND_MAX)
                elif not raised.issuperset(detector.tags):
                    self._raise(detector, view, raised)
            fired >>= 1

    def _raise(self, detector: Detector, view: View, raised: set[str]) -> None:
        """Lets a detector look until all labels it can give are raised."""
        for found in islice(detector.find(view), FOUND_MAX):
            view.found.append(found)
            if found.confidence >= RAISES and found.tag not in raised:
                raised.add(found.tag)
                if raised.issuperset(detector.tags):
                    return

    def _fired(self, view: View) -> int:
        """One bit for every detector that has a reason to look."""
        lexicon, fired = self._lexicon, 0
        view.hits = hits = self._words.intersection(view.words)
        for word in hits:
            fired |= lexicon[word]
        if view.wide:
            view.wide_hits = self._wide_words & view.wide_words()
            for word in view.wide_hits:
                fired |= self._wide_lexicon[word]
        kinds = view.kinds
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
    return sorted(kept, key=lambda f: (f.start, -f.end))


_DEFAULT = Scanner()
scan = _DEFAULT.scan
classify = _DEFAULT.classify
