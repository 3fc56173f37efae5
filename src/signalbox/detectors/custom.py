"""Detectors of the operator: patterns and terms from the configuration, compiled once, bounded in time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from signalbox.core.labels import labels_of
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import FOUND_MAX, Found
from signalbox.detectors.pattern_safety import UnsafePattern, literal, safe
from signalbox.detectors.view import View

TERMS_MAX, TERM_CHARS_MAX = 100_000, 200
_WORD = re.compile(r"[^\W_]+")


def custom(
    name: str, tag: str, patterns: Iterable[str] = (), terms: Iterable[str] = (), confidence: float = 0.9
) -> Detector:
    """A detector that raises `tag` (a tag or a level) where one of the patterns or terms occurs.

    terms: whole words or phrases in any case; those of scripts without blanks are found inside text. patterns: the
    safe subset of regular expressions that detectors/pattern_safety.py describes, `(?i)` first for any case. Raises
    ValueError with a reason: an unknown tag, an unsafe pattern, an empty or endless term.
    """
    labels_of((tag,))
    compiled: list[tuple[re.Pattern[str], str]] = []
    for pattern in patterns:
        try:
            source = safe(pattern)
        except UnsafePattern as error:
            raise ValueError(f"pattern {pattern[:80]!r} of {name}: {error}") from None
        compiled.append((re.compile(source), literal(source)))
    words, unspaced = _sorted_terms(name, terms)
    anchors = {word.encode("latin-1"): found for word, found in words.items() if max(word) < "\u0100"}
    wide = {word: found for word, found in words.items() if max(word) >= "\u0100"}
    joined = re.compile("|".join(map(re.escape, sorted(unspaced, key=len, reverse=True)))) if unspaced else None

    def find(view: View) -> Iterator[Found]:
        text = view.text
        low = text.lower() if compiled else ""
        for pattern, must in compiled:
            if must in low:
                for match in islice(pattern.finditer(text), FOUND_MAX):
                    yield Found(name, tag, match.start(), match.end(), confidence, "pattern")
        for word, end in view.after(frozenset(view.hits & anchors.keys())):
            yield from _terms(text, end - len(word), anchors[word])
        for word in sorted(view.wide_hits & wide.keys()):
            for match in islice(re.finditer(re.escape(word), text, re.IGNORECASE), FOUND_MAX):
                yield from _terms(text, match.start(), wide[word])
        if joined is not None and view.wide:
            for match in islice(joined.finditer(text), FOUND_MAX):
                yield Found(name, tag, match.start(), match.end(), confidence, "term")

    def _terms(text: str, at: int, terms: list[tuple[int, re.Pattern[str]]]) -> Iterator[Found]:
        for before, pattern in terms:
            # Blanks inside a term may be written as up to three.
            match = pattern.search(text, max(0, at - 3 * before), at + 2 * TERM_CHARS_MAX)
            if match is not None and match.start() <= at and not text[match.start() - 1 : match.start()].isalnum():
                yield Found(name, tag, match.start(), match.end(), confidence, "term")
                return

    always = bool(compiled)
    return Detector(
        name,
        find,
        tags=(tag,),
        words=frozenset(words),
        sign=(lambda _: True) if always else (lambda view: view.wide) if unspaced else None,
    )


def _sorted_terms(name: str, terms: Iterable[str]) -> tuple[dict[str, list[tuple[int, re.Pattern[str]]]], list[str]]:
    """Terms by their longest word, as (characters before that word, pattern), and those without words of their own."""
    words: dict[str, list[tuple[int, re.Pattern[str]]]] = {}
    unspaced: list[str] = []
    for count, term in enumerate(terms):
        term = " ".join(term.split())
        if not term or len(term) > TERM_CHARS_MAX or count >= TERMS_MAX:
            raise ValueError(
                f"terms of {name}: {term[:40]!r} is empty, longer than {TERM_CHARS_MAX} or one of over {TERMS_MAX}"
            )
        if any("\u0e00" <= char < "\u0e80" or "\u3000" < char < "\ud7b0" for char in term):
            unspaced.append(term)
            continue
        low = term.lower()
        found = list(_WORD.finditer(low))
        if not found:
            raise ValueError(f"terms of {name}: {term[:40]!r} has no letter or digit")
        anchor = max(found, key=lambda match: len(match[0]))
        pattern = re.compile(re.escape(low).replace(r"\ ", r"\s{1,3}") + r"(?!\w)", re.IGNORECASE)
        words.setdefault(anchor[0], []).append((anchor.start(), pattern))
    return words, unspaced
