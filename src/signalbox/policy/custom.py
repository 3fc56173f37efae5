"""Detectors that a workload declares itself: patterns and word lists, each with the data class it stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from signalbox.core.snapshot import CustomClass
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.view import View

_PER_TEXT_MAX = 200
# From Thai on: scripts that put no space between words, or grow their words at the end.
_UNSPACED_FROM = "\u0e00"
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
    anchored: dict[str, list[str]] = {}
    loose: list[str] = []
    for phrase in declared.words:
        anchor = "" if max(phrase) >= _UNSPACED_FROM else _anchor(phrase)
        if anchor:
            anchored.setdefault(anchor, []).append(phrase)
        else:
            loose.append(phrase)

    def patterns(view: View) -> Iterator[re.Pattern[str]]:
        for word in view.hits:
            yield from map(_bordered, anchored.get(word.decode("latin-1"), ()))
        for wide in view.wide_hits:
            yield from map(_bordered, anchored.get(wide, ()))
        if _is_wide(view):
            text = view.text.casefold()
            yield from (_anywhere(phrase) for phrase in loose if phrase.casefold() in text)

    def find(view: View) -> Iterator[Found]:
        for pattern in patterns(view):
            for match in islice(pattern.finditer(view.text), _PER_TEXT_MAX):
                yield _found(declared, match)

    return Detector("custom", find, (declared.label,), words=frozenset(anchored), sign=_is_wide if loose else None)


def _is_wide(view: View) -> bool:
    return not view.text.isascii()


# Compiled when they are first met: a dictionary is long, and few of its words ever occur.
@lru_cache(maxsize=4096)
def _bordered(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)(?<!\w){_spaced(phrase)}(?!\w)")


@lru_cache(maxsize=4096)
def _anywhere(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?i){_spaced(phrase)}")


def _spaced(phrase: str) -> str:
    return r"\s+".join(re.escape(word) for word in phrase.split())


def _anchor(phrase: str) -> str:
    """The longest word of a phrase as a view splits words, empty where it would find none."""
    view = View(phrase)
    words = [word.decode("latin-1") for word in view.lower.split()] if not view.wide else []
    return max(words or view.wide_words(), key=len, default="")


def _found(declared: CustomClass, match: re.Match[str]) -> Found:
    return Found("custom", declared.label, match.start(), match.end(), _CONFIDENCE, declared.name)
