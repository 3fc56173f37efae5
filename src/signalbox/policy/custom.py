"""Detectors that a workload declares itself: patterns and word lists, each with the data class it stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from signalbox.core.snapshot import CustomClass
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.view import View

_PER_TEXT_MAX = 200
_CONFIDENCE = 1.0


def detector(declared: CustomClass) -> Detector:
    """A detector for what the file declares. Raises re.error for a pattern that is none; loading refuses those."""
    return _of_pattern(declared) if declared.pattern else _of_words(declared)


def _of_pattern(declared: CustomClass) -> Detector:
    pattern = re.compile(declared.pattern)

    def find(view: View) -> Iterator[Found]:
        for match in islice(pattern.finditer(view.text), _PER_TEXT_MAX):
            if match.end() > match.start():
                yield _found(declared, match)

    return Detector("custom", find, (declared.label,), sign=lambda _: True)


def _of_words(declared: CustomClass) -> Detector:
    """Phrases by one of their words, so that a long dictionary costs one look at the words of a text."""
    anchored: dict[str, list[re.Pattern[str]]] = {}
    loose: list[re.Pattern[str]] = []
    for phrase in declared.words:
        body = r"\s+".join(re.escape(word) for word in phrase.split())
        pattern = re.compile(rf"(?i)(?<!\w){body}(?!\w)")
        anchor = _anchor(phrase)
        if anchor:
            anchored.setdefault(anchor, []).append(pattern)
        else:
            # Scripts without spaces between words have no word borders either.
            loose.append(re.compile(rf"(?i){body}"))

    def patterns(view: View) -> Iterator[re.Pattern[str]]:
        for word in view.hits:
            yield from anchored.get(word.decode("latin-1"), ())
        for wide in view.wide_hits:
            yield from anchored.get(wide, ())
        if _is_wide(view):
            yield from loose

    def find(view: View) -> Iterator[Found]:
        for pattern in patterns(view):
            for match in islice(pattern.finditer(view.text), _PER_TEXT_MAX):
                yield _found(declared, match)

    return Detector("custom", find, (declared.label,), words=frozenset(anchored), sign=_is_wide if loose else None)


def _is_wide(view: View) -> bool:
    return not view.text.isascii()


def _anchor(phrase: str) -> str:
    """The longest word of a phrase as a view splits words, empty where it would find none."""
    view = View(phrase)
    words = [word.decode("latin-1") for word in view.lower.split()] if not view.wide else []
    return max(words or view.wide_words(), key=len, default="")


def _found(declared: CustomClass, match: re.Match[str]) -> Found:
    return Found("custom", declared.label, match.start(), match.end(), _CONFIDENCE, declared.name)
