"""The forms of a text in which an injection may hide: invisible, look-alike, spaced, spelled with digits, encoded.

`words` reads a text as words; `forms` yields what else a model may read in it. Every form costs one cheap test where
there is nothing of its kind, and what is decoded is bounded.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from operator import add
from urllib.parse import unquote

from signalbox.detectors.encoded import unpacked
from signalbox.detectors.injection_lexicon import LETTERS, UNSPACED
from signalbox.detectors.normalise import normal

# What one text may be decoded to, and how deep one encoding may hide in another.
DECODED_CHARS_MAX = 65_536
FORMS_MAX = 12
DEPTH_MAX = 2
# So many runs of letters without spaces, or with one between any two, are taken apart.
RUNS_MAX = 32

_ENDERS = ".!?;:\n\r\t|\u3002\uff01\uff1f\uff1b\uff1a"
_PLAIN = {code: (" " if not chr(code).isalnum() else chr(code)) for code in range(128)}
_PLAIN.update({ord(char): "|" for char in _ENDERS})
_PLAIN.update(dict.fromkeys(map(ord, "'`’´"), ""))
_PLAIN[ord("#")] = " "
_FRAME = re.compile(
    r"<\|?/?(?:im_start|im_end|system|endoftext|user|assistant|inst|s)\b[^<>\n]{0,20}>|<</?sys>>"
    r"|\[/?(?:inst|system|user|assistant|admin)[^\[\]\n]{0,16}\]"
    r"|#{2,6} ?(?:instruction|system|new |end|response|human|assistant|user)"
    r"|[=-]{3,20} ?end|\]{4,}|\}{4,}"
    r"|(?:^|\n|\\n|\. )[ \t]{0,8}(?:system|assistant|human|user|admin) ?: "
)
_FRAME_SIGNS = (
    ("<", ("<|", "</", "<s", "<a", "<u", "<<")),
    ("[", ("[/", "[inst", "[sys", "[user", "[assis", "[admin")),
    ("#", ("##",)),
    ("=", ("===",)),
    ("-", ("---",)),
    ("]", ("]]]]",)),
    ("}", ("}}}}",)),
    (":", ("tem:", "ant:", "man:", "ser:", "min:", "tem :", "ant :")),
)

_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_MARKED = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]")
_SCRIPTS = re.compile("[\u0370-\u058f\u13a0-\u13ff\u1d00-\u1d7f\u2c60-\u2c7f\ua4d0-\ua4ff\u0180-\u02af]")
_LEET_WORD = re.compile(r"[a-z0-9@$!|+]+")
_LEET_LETTERS = str.maketrans("0134578@$!|+", "oieastbasiit")
_LEET_OTHER = str.maketrans("0134578@$!|+", "oleastbaslit")
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W_][ .\-_*·~/,]{1,4}){5,2000}[^\W_](?![^\W_])")
_PACKED_MIN = 20
_OCTETS = re.compile(r"(?:[01]{8}[ ,]{0,2}){6,}")
_HEX_BYTES = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{2}[ ,:]{1,2}){8,}[0-9A-Fa-f]{2}(?![0-9A-Za-z])")
# Texts as classes of characters: letters `a`, what stands for letters `0`; hexadecimal digits `h`; those of base64.
_AS_LEET = bytes(97 if 97 <= c <= 122 else 48 if c in b"0134578@$!|+" else 32 for c in range(256))
_AS_HEX = bytes(104 if c in b"0123456789abcdef" else 32 if c in b" ,:" else 120 for c in range(256))
_AS_PACKED = bytes(c if c < 128 and (chr(c).isalnum() or c in b"+/_-=") else 32 for c in range(256))
_ESCAPED = re.compile(r"\\(?:u\{?([0-9a-fA-F]{4,6})\}?|x([0-9a-fA-F]{2}))")
_LONG = re.compile(r"[^\W\d_]{18,400}")

# Look-alikes of Latin letters, also where a whole word is written in them.
_ALIKE = {
    ord(alike): letter
    for letter, group in (
        ("a", "\u0430\u03b1\u0251\u1d00\u13aa"),
        ("b", "\u042c\u044c\u0432\u03b2\u0299\u13f4"),
        ("c", "\u0441\u03f2\u1d04\u13df"),
        ("d", "\u0501\u1d05\u13a0"),
        ("e", "\u0435\u03b5\u1d07\u0454\u13ac"),
        ("f", "\ua730\u0192"),
        ("g", "\u0261\u0262\u0581\u13c0"),
        ("h", "\u04bb\u029c\u043d\u0570\u13bb"),
        ("i", "\u0456\u03b9\u026a\u0269\u0131\u13a5"),
        ("j", "\u0458\u03f3\u1d0a\u13ab"),
        ("k", "\u043a\u03ba\u1d0b\u13e6"),
        ("l", "\u04cf\u029f\u01c0\u13de"),
        ("m", "\u043c\u1d0d\u13b7"),
        ("n", "\u0578\u0274\u03b7\u03c0\u043f"),
        ("o", "\u043e\u03bf\u1d0f\u0585\u13a4"),
        ("p", "\u0440\u03c1\u1d18\u13e2"),
        ("q", "\u051b\u0566"),
        ("r", "\u0433\u0280\u13a1"),
        ("s", "\u0455\ua731\u13da"),
        ("t", "\u0442\u03c4\u1d1b\u13a2"),
        ("u", "\u057d\u03c5\u1d1c"),
        ("v", "\u03bd\u1d20\u0475\u13d9"),
        ("w", "\u051d\u03c9\u1d21\u0561\u13b3"),
        ("x", "\u0445\u03c7"),
        ("y", "\u0443\u03b3\u028f\u04af"),
        ("z", "\u1d22\u01b6\u13c3"),
    )
    for alike in group
}

_COMMON = tuple(
    """
    the and you your all that this with what from will are not ignore previous instructions instruction prompt
    system password reveal repeat above everything show forget disregard rules tell please print message
    secret access developer mode prior follow answer instead output write text translate now must directives
    give pretend without anything restrictions have
    """.split()  # noqa: SIM905
)
# Words that are not English in disguise: written backwards, or with the alphabet moved on by so many places.
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def _moved(text: str, places: int) -> str:
    moved = _ALPHABET[places:] + _ALPHABET[:places]
    return text.translate(str.maketrans(_ALPHABET, moved))


def _coded() -> dict[str, int]:
    """Each disguised word to what undoes it: 1 to 25, letters to move on by; 0 backwards."""
    coded: dict[str, int] = {}
    for places in (*range(1, 13), *range(14, 26), 13):
        coded.update({_moved(word, -places % 26): places for word in _COMMON if len(word) > 3 or places == 13})
    coded.update({word[::-1]: 0 for word in _COMMON})
    return {word: code for word, code in coded.items() if word not in LETTERS and word not in _COMMON and len(word) > 2}


_CODED = _coded()
_STRONG = frozenset(word for word, letter in LETTERS.items() if letter in "IPNRKS" and len(word) > 5)
_KNOWN = frozenset(LETTERS) | frozenset(_COMMON)


def plain(text: str) -> str:
    """The text in lower case, invisible characters gone and full-width or styled letters made plain."""
    if text.isascii():
        return text.lower()
    text = normal(text)[0]
    if _MARKED.search(text) is not None:
        text = _MARKED.sub("", unicodedata.normalize("NFKD", text))
    return text.lower()


def words(low: str) -> list[str]:
    """The words of a plain text; `|` between sentences, `#` for a forged frame."""
    for char, signs in _FRAME_SIGNS:
        if char in low and any(map(low.__contains__, signs)):
            low = _FRAME.sub(" \x01 ", low)
            break
    if not low.isascii():
        for char, word in UNSPACED:
            if char in low:
                low = low.replace(char, word)
    return low.translate(_PLAIN).replace("|", " | ").replace("\x01", " # ").split()


def forms(text: str, low: str, read: list[str]) -> Iterator[tuple[str, str]]:
    """(name, text) of every other form of a text, of which `low` is the plain form and `read` the words."""
    yield from _forms(text, low, read, 0)


def _forms(text: str, low: str, read: list[str], depth: int) -> Iterator[tuple[str, str]]:
    left = DECODED_CHARS_MAX
    for name, other in islice(_undone(text, low, read), FORMS_MAX):
        left -= len(other)
        if left < 0:
            return
        below = plain(other)
        yield name, below
        if depth < DEPTH_MAX:
            yield from _forms(other, below, words(below), depth + 1)


def _undone(text: str, low: str, read: list[str]) -> Iterator[tuple[str, str]]:
    if not text.isascii():
        yield from _beyond_ascii(text, low)
    flat = low.encode("latin-1", "replace")
    leet = flat.translate(_AS_LEET)
    if leet.count(b"a0a") + leet.count(b" 0a") > 2:
        yield "leet", _LEET_WORD.sub(_spelled, low)
    lengths = list(map(len, read))
    if lengths.count(1) - read.count("|") > 7 and _SPACED.search(low) is not None:
        yield "spaced", _SPACED.sub(_closed, low, count=RUNS_MAX)
    elif max(lengths, default=0) > 17:
        parted = _LONG.sub(_parted, low, count=RUNS_MAX)
        if parted != low:
            yield "unspaced", parted
    if len(_STRONG.intersection(map(add, read, read[1:]))) > 1:
        yield "split", " ".join(_merged(read))
    coded = _CODED.keys() & set(read)
    if len(coded) > 1:
        yield from _uncoded(low, coded)
    yield from _decoded(text, flat)


def _beyond_ascii(text: str, low: str) -> Iterator[tuple[str, str]]:
    if _SELECTORS.search(text) is not None:
        raw = [bytes(map(_selected, run)) for run in _SELECTORS.findall(text)]
        yield "smuggled", b" ".join(raw).decode("utf-8", "replace")
    if _SCRIPTS.search(low) is not None:
        folded = low.translate(_ALIKE)
        if folded != low:
            yield "look-alikes", folded


def _selected(char: str) -> int:
    code = ord(char)
    return code - 0xFE00 if code < 0xFF00 else (code - 0xE0100 + 16) & 0xFF


def _spelled(match: re.Match[str]) -> str:
    """A word in which digits stand for letters, as letters; a number stays one."""
    word = match[0]
    if word.isalpha() or word.isdigit():
        return word
    with_i = word.rstrip("!|+").translate(_LEET_LETTERS)
    if with_i in _KNOWN:
        return with_i
    with_l = word.rstrip("!|+").translate(_LEET_OTHER)
    return with_l if with_l in _KNOWN else with_i


def _closed(match: re.Match[str]) -> str:
    run = match[0]
    gaps = Counter(_WIDTH.findall(run))
    single = min((len(gap) for gap in gaps), default=1)
    parts = re.split(rf"[ .\-_*·~/,]{{{single + 1},}}", run)
    joined = (re.sub(r"[^\w]|_", "", part) for part in parts)
    return " ".join(_segmented(part) if len(part) > 12 else part for part in joined)


_WIDTH = re.compile(r"[ .\-_*·~/,]+")


def _parted(match: re.Match[str]) -> str:
    return _segmented(match[0])


def _segmented(run: str) -> str:
    """A run of letters without spaces as words, where most of it is words that are known."""
    run = run[:400]
    best: list[tuple[int, int]] = [(0, 0)]
    for end in range(1, len(run) + 1):
        score, start = best[end - 1][0] - 1, end - 1
        for length in range(2, min(16, end) + 1):
            if run[end - length : end] in _KNOWN_WIDE:
                here = best[end - length][0] + length * length
                if here > score:
                    score, start = here, end - length
        best.append((score, start))
    pieces: list[str] = []
    end = len(run)
    while end:
        start = best[end][1]
        pieces.append(run[start:end])
        end = start
    known = sum(len(piece) for piece in pieces if piece in _KNOWN_WIDE)
    return " ".join(reversed(pieces)) if known * 4 >= len(run) * 3 else run


_KNOWN_WIDE = frozenset(word for word in _KNOWN if len(word) > 1) | frozenset(
    """to of in on is it as at by be an or if so do no up go he me my we us for was has had have but can who how out did
    does just like into over then them they there here when where why which would could should about after only also
    than some more most very been being because through hello world file user name number list one two three""".split()  # noqa: SIM905
)


def _merged(read: list[str]) -> Iterator[str]:
    at = 0
    while at < len(read):
        if at + 1 < len(read) and read[at] + read[at + 1] in _STRONG:
            yield read[at] + read[at + 1]
            at += 2
        else:
            yield read[at]
            at += 1


def _uncoded(low: str, coded: set[str]) -> Iterator[tuple[str, str]]:
    for code, found in Counter(_CODED[word] for word in coded).items():
        if found < 2:
            continue
        if code:
            yield "rotated", _moved(low, code)
        else:
            yield "reversed", low[::-1]
            yield "reversed", re.sub(r"[^\W_]+", lambda match: match[0][::-1], low)


def _decoded(text: str, flat: bytes) -> Iterator[tuple[str, str]]:
    runs = text.encode("latin-1", "replace").translate(_AS_PACKED).split()
    for run in [one for one in runs if len(one) >= _PACKED_MIN]:
        inner = unpacked(run.decode("ascii"))
        if inner is not None and " " in inner:
            yield "encoded", inner
    if "0110" in text and _OCTETS.search(text) is not None:
        for match in _OCTETS.finditer(text):
            bits = re.findall("[01]{8}", match[0])
            yield "encoded", bytes(int(octet, 2) for octet in bits).decode("utf-8", "replace")
    elif b"hh hh hh hh hh" in (flat.replace(b", ", b" ") if b", " in flat else flat).translate(_AS_HEX):
        for match in _HEX_BYTES.finditer(text):
            digits = re.sub(r"[^0-9A-Fa-f]", "", match[0])
            yield "encoded", bytes.fromhex(digits[: len(digits) & ~1]).decode("utf-8", "replace")
    if text.count("%") > 3 and (opened := unquote(text, errors="replace")) != text:
        yield "escaped", opened
    if "\\u" in text or "\\x" in text:
        opened = _ESCAPED.sub(_unescaped, text)
        if opened != text:
            yield "escaped", opened
    if text.count("&#") > 3:
        yield "escaped", html.unescape(text)


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1] or match[2], 16)
    return chr(code) if code < 0x110000 else " "
