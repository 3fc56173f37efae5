"""What a head reads of a call: hashed byte 4-grams, words and pairs of words, and a few dozen counts. Pure Python, so
that every install has it; the loops run inside the interpreter's own C code."""

from __future__ import annotations

import re
import sys
from array import array
from math import log1p, sqrt
from typing import Any
from zlib import crc32

import msgspec

from signalbox.routing.difficulty.normalise import normalise

_words = re.compile(rb"[a-z0-9_\x80-\xff]+").findall
_MARKS = tuple(bytes((code,)) for code in b"?,.:;(=+*/<>{[$\\^%\"'-|_`#")
_PHRASES = (
    *(b"if ", b"not ", b"which ", b"what ", b"how ", b"why ", b"who ", b"when ", b"true", b"false", b"each ", b"all "),
    *(b"total", b"per ", b"than ", b"more ", b"prove", b"explain", b"write", b"code", b"def ", b"return", b"example"),
    *(b"following", b"except", b"best", b"most", b"then ", b"half", b"twice", b"left", b"cost"),
)
# Names of the dense features, in order; what explanations show.
DENSE: tuple[str, ...] = (
    *("characters", "words", "word_length", "distinct_words", "numbers", "number_length", "number_share"),
    *("system_characters", "turns", "tools", "json_output", "unreadable_parts"),
    *(f"mark {mark.decode()}" for mark in _MARKS),
    *(f"phrase {phrase.decode().strip()}" for phrase in _PHRASES),
)


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What is asked, and around what. text: the last words of the user. system_chars: length of what stands before the
    conversation. turns: messages of the conversation. json_output: the answer is to be JSON. unreadable: images and
    the like are part of it."""

    text: str
    system_chars: int = 0
    turns: int = 1
    tools: int = 0
    json_output: bool = False
    unreadable: bool = False


class Features(msgspec.Struct, frozen=True, gc=False):
    """dense: in the order of DENSE. grams, words: hashes, each once; gram_scale, word_scale: what one of them weighs.
    text: as it was judged. vector: of its meaning, where an encoder was asked: a numpy array of unit length."""

    text: str
    dense: tuple[float, ...]
    grams: set[int]
    words: set[int]
    gram_scale: float
    word_scale: float
    vector: Any = None


def features(asked: Asked) -> Features:
    text, chars = normalise(asked.text)
    raw = text.encode("utf-8", "replace")
    words = _words(raw)
    single = list(map(crc32, words))
    hashes = set(single)
    distinct = len(hashes)
    # A checksum that goes on from the word before: the pair, without ever putting it together.
    hashes.update(map(crc32, words[1:], single))
    grams = _grams(raw)
    numbers = list(filter(bytes.isdigit, words))
    count = len(words) + 1.0
    dense = (
        log1p(chars),
        log1p(len(words)),
        sum(map(len, words)) / count,
        distinct / count,
        log1p(len(numbers)),
        log1p(max(map(len, numbers), default=0)),
        len(numbers) / count,
        log1p(asked.system_chars),
        log1p(asked.turns),
        log1p(asked.tools),
        float(asked.json_output),
        float(asked.unreadable),
        *map(log1p, map(raw.count, _MARKS)),
        *map(log1p, map(raw.count, _PHRASES)),
    )
    return Features(text, dense, grams, hashes, 1 / sqrt(len(grams) or 1), 1 / sqrt(len(hashes) or 1))


def _grams(raw: bytes) -> set[int]:
    """Every four bytes in a row as a number, the same on every machine."""
    padded = b" %b   " % raw
    found: set[int] = set()
    for start in range(4):
        count = (len(padded) - start) // 4
        window = array("I", padded[start : start + 4 * count])
        if sys.byteorder == "big":
            window.byteswap()
        found.update(window)
    return found
