"""How much of a confidential text an answer repeats, told while the answer streams.

The confidential text is indexed by its five-word sequences, plain, in rot13 and reversed; letters set apart, words run
together and base64, base32 or hexadecimal are undone as they come. An answer leaks when it repeats RUN_WORDS words in
a row, or follows the text closely with words changed, dropped or put in (`alignment`). What the caller wrote itself is
never a leak.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache

from signalbox.detectors.injection_forms import plain
from signalbox.guard.alignment import APART, HITS, SPAN, Follower, Text

GRAM_WORDS = 5
RUN_WORDS = 8
# Where an answer follows a text only closely, words within so many that the caller wrote in a row do not count.
OWN_WORDS = 3
# With words dropped or changed: so many of the last so many are in sequences of the text.
STRETCH_WORDS, STRETCH_COVERED = 40, 20
# Letters in a row, where words cannot be told apart.
RUN_LETTERS = 32
# Of longer texts the beginning is indexed.
INDEX_WORDS_MAX = 50_000
PACKED_MIN = 40
# How far back a canary may have begun, spaces and signs not counted.
_TAIL_CHARS = 512

_WORD = re.compile(r"[^\W_]+")
_NOT_PACKED = re.compile(r"[^A-Za-z0-9+/=_-]+")
_BREAKS = str.maketrans("", "", "\r\n")
_URL_SAFE = str.maketrans("-_", "+/")


def words_of(text: str) -> list[str]:
    return _WORD.findall(plain(text))


def grams_of(words: list[str], length: int = GRAM_WORDS) -> set[str]:
    return {" ".join(words[at : at + length]) for at in range(len(words) - length + 1)}


def own_of(words: list[str]) -> set[str]:
    """What is never a leak because somebody wrote it: its long sequences, and its short ones for what is changed."""
    return grams_of(words) | grams_of(words, OWN_WORDS)


class Index:
    """A confidential text, ready to be looked for. Immutable. Texts of fewer than RUN_WORDS words protect nothing."""

    __slots__ = ("canaries", "empty", "grams", "letters", "text")

    def __init__(self, text: str, canaries: tuple[str, ...] = ()) -> None:
        words = words_of(text)[:INDEX_WORDS_MAX]
        rotated = [codecs.encode(word, "rot13") for word in words]
        backwards = [word[::-1] for word in words]
        self.grams = grams_of(words) | grams_of(rotated) | grams_of(backwards) | grams_of(backwards[::-1])
        self.text = Text((*words, *APART, *rotated, *APART, *backwards[::-1]))
        squeezed = "".join(words)
        self.letters = (squeezed, squeezed[::-1], "".join(rotated))
        marks = ["".join(words_of(one)) for one in canaries]
        self.canaries = tuple(form for one in marks for form in (one, one[::-1], codecs.encode(one, "rot13")))
        self.empty = len(words) < RUN_WORDS and not canaries


@lru_cache(maxsize=256)
def index_of(text: str, canaries: tuple[str, ...]) -> Index:
    return Index(text, canaries)


class Overlap:
    """Reads one answer, or one channel of it, as it comes. own: the sequences of what the caller wrote, asked for when
    something is repeated at all."""

    __slots__ = (
        "_base",
        "_covered",
        "_decoded",
        "_depth",
        "_follower",
        "_index",
        "_inner",
        "_last",
        "_own",
        "_packed",
        "_part",
        "_recent",
        "_run",
        "_since",
        "_single",
        "_tail",
    )

    def __init__(self, index: Index, own: Callable[[], set[str]], depth: int = 0) -> None:
        self._index = index
        self._own = own
        self._depth = depth
        self._part = ""
        self._last: list[str] = []
        self._follower = Follower(index.text)
        self._recent: deque[str] = deque(maxlen=SPAN + OWN_WORDS)
        self._run = 0
        self._since = 0
        self._covered: deque[int] = deque(maxlen=STRETCH_WORDS)
        self._single = ""
        self._tail = ""
        self._packed = ""
        self._decoded = 0
        self._base = ""
        self._inner: Overlap | None = None

    @property
    def live(self) -> bool:
        """Whether what was read last may turn out to leak."""
        return self._follower.live

    def feed(self, text: str, last: bool = False) -> tuple[str, int] | None:
        """What it leaks by (overlap, letters, encoded or canary), and the character of `text` up to which nothing of
        it is shown; None when it does not. last: nothing follows."""
        leak = self._encoded(text) if self._depth < 2 else None
        if leak is not None:
            return leak
        low = plain(text)
        if "%" in low:
            low = low.replace("%20", " ")
        before = len(self._part)
        whole = self._part + low
        end = len(whole)
        if not last:
            while end and (whole[end - 1].isalnum()):
                end -= 1
        # A word without end is read in pieces.
        if len(whole) - end > 512:
            end = len(whole)
        same = len(low) == len(text)
        for match in _WORD.finditer(whole, 0, end):
            rule = self._word(match[0])
            if rule is not None:
                back = self._back(whole, match.start(), self._run) if same else 0
                return rule, max(0, back - before)
        self._part = whole[end:]
        return None

    @staticmethod
    def _back(whole: str, at: int, words: int) -> int:
        """Where the run began, of which the last word begins at `at`; 0 when that was before this text."""
        starts = [match.start() for match in _WORD.finditer(whole, 0, at + 1)]
        return starts[-words] if 0 < words <= len(starts) else 0

    def _word(self, word: str) -> str | None:
        index = self._index
        if index.canaries:
            self._tail = (self._tail + word)[-_TAIL_CHARS:]
            if any(one in self._tail for one in index.canaries):
                return "canary"
        if len(word) == 1:
            self._single += word
            if (
                len(self._single) >= RUN_LETTERS
                and len(self._single) % 4 == 0
                and self._has(self._single[-RUN_LETTERS:])
            ):
                return "letters"
            self._single = self._single[-1024:]
        elif self._single:
            self._single = ""
        if len(word) > RUN_LETTERS and any(
            self._has(word[at : at + RUN_LETTERS]) for at in range(0, min(len(word), 2048) - RUN_LETTERS + 1, 4)
        ):
            return "letters"
        self._recent.append(word)
        followed = self._follower.word(word)
        if followed and self._not_own(followed) >= HITS:
            self._run = self._follower.read - followed[0] + 1
            return "overlap"
        last = self._last
        last.append(word)
        if len(last) < GRAM_WORDS:
            return None
        if len(last) > GRAM_WORDS:
            del last[0]
        gram = " ".join(last)
        if gram not in index.grams or gram in self._own():
            self._run = 0
            self._since += 1
            if self._covered:
                self._covered.append(0)
            return None
        self._run = self._run + 1 if self._run else GRAM_WORDS
        # How many words more are now known to be of the text.
        self._covered.append(min(GRAM_WORDS, self._since + 1) if self._covered else GRAM_WORDS)
        self._since = 0
        return "overlap" if self._run >= RUN_WORDS or sum(self._covered) >= STRETCH_COVERED else None

    def _not_own(self, when: list[int]) -> int:
        """How many of these words, by when they were read, the caller did not write itself."""
        own = self._own()
        if not own:
            return len(when)
        words = list(self._recent)
        first = self._follower.read - len(words) + 1
        covered: set[int] = set()
        for at in range(len(words) - OWN_WORDS + 1):
            if " ".join(words[at : at + OWN_WORDS]) in own:
                covered.update(range(first + at, first + at + OWN_WORDS))
        return sum(one not in covered for one in when)

    def _has(self, letters: str) -> bool:
        return any(letters in one for one in self._index.letters)

    def _encoded(self, text: str) -> tuple[str, int] | None:
        """Follows the run of base64, base32 or hexadecimal letters that is under way, if one is."""
        flat = text.translate(_BREAKS) if "\n" in text else text
        pieces = _NOT_PACKED.split(flat)
        for at, piece in enumerate(pieces):
            if at:
                self._packed, self._decoded, self._inner, self._base = "", 0, None, ""
            self._packed += piece
            if len(self._packed) - self._decoded >= PACKED_MIN or (self._inner is not None and piece):
                if self._undo():
                    return "encoded", 0
                if len(self._packed) > 8192:
                    self._packed, self._decoded = self._packed[self._decoded :], 0
        return None

    def _undo(self) -> bool:
        """Decodes what is new of the run and reads it; whether it leaks."""
        run = self._packed.rstrip("=")
        step = {"16": 2, "32": 8, "64": 4}.get(self._base, 8)
        fresh = run[self._decoded : self._decoded + (len(run) - self._decoded) // step * step]
        if not fresh:
            return False
        if not self._base:
            self._base = _base_of(fresh)
        raw = _unpacked(fresh, self._base)
        self._decoded += len(fresh)
        if raw is None:
            return False
        self._inner = self._inner or Overlap(self._index, self._own, self._depth + 1)
        return self._inner.feed(raw) is not None


def _base_of(run: str) -> str:
    if all(char in "0123456789abcdefABCDEF" for char in run):
        return "16"
    return "32" if run.isupper() and run.isalnum() and not any(char in "0189" for char in run) else "64"


def _unpacked(run: str, base: str) -> str | None:
    try:
        if base == "16":
            raw = binascii.unhexlify(run)
        elif base == "32":
            raw = base64.b32decode(run)
        else:
            raw = base64.b64decode(run.translate(_URL_SAFE))
    except (binascii.Error, ValueError):
        return None
    return raw.decode("utf-8", "replace")
