"""Whether one question may stand for another as far as words can tell: what turns a question round must be the same.

Encoders put a question beside its opposite. So before an answer is given for a question in other words, both are read:
numbers, versions, dates, names, negations and words of direction must be equal, in the same order. Where two questions
share most of their words, whatever else differs may be what was asked for: that they mean the same has to be learnt
then (cache/risk.py keeps such pairs apart). That holds in any language. Texts without blanks are compared character by
character.
"""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

import msgspec

from signalbox.cache.words import LITTLE, NEGATIONS, NUMBERS, TURNS
from signalbox.core.pattern import compiled_later

# In other words, or with other endings. With another word where the point of it may be. With another number, name,
# negation, direction or order: never the same question.
REWORDED, CHANGED, OPPOSED = "reworded", "changed", "opposed"
# From this share of common words on, two questions are one question with something changed.
ALIKE_SHARE = 0.5
# Answers whose words are common to this share say the same, if nothing in them is turned round.
SAME_SHARE = 0.8
# What is longer says the same only where all the rest is the same, letter by letter.
ANSWER_CHARS_MAX = 4000
# Letters that two endings of one word have in common.
STEM_CHARS, STEM_SHARE, ENDING_CHARS = 4, 0.7, 3

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f"
_TOKENS = compiled_later(
    rf"v?\d[\d.,:/\-]*\d\w*|\d\w*|[{_CJK}]|[^\W\d_{_CJK}](?:[^\W_{_CJK}]|['’\-.](?=[^\W_]))*|[€$£¥₹%<>=≤≥≠+*/@#&]"
)
_SENTENCE_ENDS = compiled_later(r"[.!?:;\n¿¡\"“”«»(]")
_NEGATED = compiled_later(
    r"n['’]t$|^(?:do|does|did|ca|wo|is|are|was|were|should|would|could|have|has|had)nt$|^(?:un|non|dis)(?=\w{4})|less$"
)
_CJK_NEGATIONS = frozenset("不没無无非未別别勿ないめ안못없")


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What verification needs of a text, read once. tokens: in lower case, in order. firm: numbers, names, negations
    and words of direction, in order."""

    tokens: tuple[str, ...]
    firm: tuple[str, ...]


def read(text: str) -> Reading:
    """Splits a text; the same for everybody and every time."""
    text = unicodedata.normalize("NFKC", text)
    tokens: list[str] = []
    firm: list[str] = []
    end = 0
    for match in _TOKENS.finditer(text):
        token = match.group()
        lower = token.lower()
        begins = not tokens or _SENTENCE_ENDS.search(text, end, match.start()) is not None
        end = match.end()
        tokens.append(lower)
        kept = _firm(token, lower, begins)
        if kept:
            firm.append(kept)
    return Reading(tuple(tokens), tuple(firm))


def read_answer(text: str) -> Reading:
    """The beginning of an answer by its words, and the rest of a long one as if it were a single word."""
    reading, rest = read(text[:ANSWER_CHARS_MAX]), text[ANSWER_CHARS_MAX:]
    if not rest:
        return reading
    whole = blake2b(rest.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return Reading((*reading.tokens, whole), (*reading.firm, whole))


def same(one: Reading, other: Reading) -> bool:
    """Whether two answers say the same as far as their words can tell."""
    if one.tokens == other.tokens:
        return True
    if one.firm != other.firm or compare(one, other) != REWORDED:
        return False
    mine, yours = set(one.tokens), set(other.tokens)
    return len(mine & yours) >= SAME_SHARE * len(mine | yours)


def _firm(token: str, lower: str, begins: bool) -> str:
    """What must be the same on both sides, or nothing."""
    number = NUMBERS.get(lower)
    if number is not None:
        return number
    if lower[0].isdigit() or any(letter.isdigit() for letter in lower) or not lower[0].isalnum():
        return lower
    if lower in NEGATIONS or lower in _CJK_NEGATIONS or _NEGATED.search(lower):
        return "!"
    if not begins and len(token) > 1 and token[0].isupper() and lower not in LITTLE:
        return f"@{lower}"
    if len(token) > 1 and token.isupper():
        return f"@{lower}"
    return f"^{lower}" if lower in TURNS and lower not in LITTLE else ""


def compare(asked: Reading, known: Reading) -> str:
    """REWORDED, CHANGED or OPPOSED: what `asked` is to a question that was answered."""
    if asked.tokens == known.tokens:
        return REWORDED
    if asked.firm != known.firm and not _same_but_turns(asked.firm, known.firm):
        return OPPOSED
    mine, yours = set(asked.tokens), set(known.tokens)
    if len(mine & yours) < ALIKE_SHARE * min(len(mine), len(yours)) or _differ_in_little(asked, known):
        return REWORDED
    return OPPOSED if _shuffled(asked, known) else CHANGED


def _same_but_turns(mine: tuple[str, ...], yours: tuple[str, ...]) -> bool:
    """In other words, words of direction may be missing; numbers, names and negations may not."""
    return _hard(mine) == _hard(yours) and not _opposed(mine, yours)


def _hard(firm: tuple[str, ...]) -> list[str]:
    return [each for each in firm if not each.startswith("^")]


def _opposed(mine: tuple[str, ...], yours: tuple[str, ...]) -> bool:
    """Each has another word of one group of counterparts."""
    left, right = _by_group(mine), _by_group(yours)
    shared = left.keys() & right.keys()
    return any(left[group] - right[group] and right[group] - left[group] for group in shared)


def _by_group(firm: tuple[str, ...]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for each in firm:
        if each[0] == "^":
            for group in TURNS[each[1:]]:
                found.setdefault(group, set()).add(each)
    return found


def _differ_in_little(asked: Reading, known: Reading) -> bool:
    """The same words in the same order, but for little words and endings."""
    mine = [token for token in asked.tokens if token not in LITTLE]
    yours = [token for token in known.tokens if token not in LITTLE]
    return len(mine) == len(yours) and all(
        one == other or _inflected(one, other) for one, other in zip(mine, yours, strict=True)
    )


def _shuffled(asked: Reading, known: Reading) -> bool:
    """The same words in another order: who does what to whom."""
    mine = [token for token in asked.tokens if token not in LITTLE]
    yours = [token for token in known.tokens if token not in LITTLE]
    return sorted(mine) == sorted(yours)


def _inflected(one: str, other: str) -> bool:
    """Two forms of one word: a long common beginning and short endings."""
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < STEM_CHARS or len(longer) - len(shorter) > ENDING_CHARS or not (one + other).isalpha():
        return False
    common = next((at for at, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    return common >= STEM_CHARS and common >= STEM_SHARE * len(longer)
