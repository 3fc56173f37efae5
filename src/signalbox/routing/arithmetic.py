"""The sums that a text states, reckoned again: `3 x 60 = 180` holds, `3 x 60 = 190` does not. Linear in the text.

Sums may go on (`2 * (3 + 4) = 2 * 7 = 14`), name what they count (`3 hours / 2 = 1.5 hours`) and stand between words.
What holds a letter for an unknown, a power or a sign of another kind is passed over: nothing is told of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import msgspec

# Equations beyond these are not looked at, nor longer lines and sides.
EQUATIONS_MAX = 100
LINE_TOKENS_MAX, TOKENS_MAX = 1500, 64
_DEPTH_MAX = 8
# What a stated result may differ by: it may be rounded to the digits it shows, or to whole cents.
_SLACK, _SLACK_SHARE = 0.011, 1e-3
# Of the last digit that is shown.
_ROUNDED = 0.6
# A row of digits may stand for anything; nothing is told from numbers beyond this.
_LARGEST = 1e15

_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(_DIGITS)
# A sum set beside the words that state it, as worked examples of school arithmetic do: `is 3 x 60 = <<3*60=180>>180`.
_NOTE = re.compile(r"<<([^<>\n]{1,160})>>")
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]{1,60})\}\{([^{}]{1,60})\}")
# In brackets and no sum: `20 (for the main phone) + 4`.
_ASIDE = re.compile(r"\([^\W\d_]{2,60}(?: [^\W\d_]{1,60}){0,8}\)")
_BULLET = re.compile(r"\s*[-*+•]\s")
_MARKUP = re.compile(r"\\(?:left|right|text|mathrm|quad|,|;|!|\(|\)|\[|\])|\\(?=[$%*])|\*\*|[{}`]")
_WORD = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"
_TOKEN = re.compile(
    r"[^\S\n]*+(?:(?P<equals>\n?(?<![<>!=])=(?!=|>)\n?)"
    rf"|(?P<number>{_DIGITS})(?P<percent>\s?%)?(?P<unit>(?![xX]\s*[\d(])[^\W\d_]+)?"
    r"|(?P<times>[xX](?=\s*[$€£]?\s*[\d(.])|\\times|\\cdot|\\div|(?:times|plus|minus|divided by|multiplied by)"
    r"(?=\s+[$€£]?\s*[\d(.]))"
    rf"|(?P<word>{_WORD})|(?P<bracket>[()])|(?P<currency>[$€£])|(?P<end>[\n.,;:?\"“”…])"
    r"|(?P<operator>[-+*/×·÷−–])|(?P<other>.))"
)
_OPERATORS = {
    **dict.fromkeys(("+", "plus"), "+"),
    **dict.fromkeys(("-", "−", "–", "minus"), "-"),
    **dict.fromkeys(("*", "x", "X", "×", "·", "times", "\\times", "\\cdot", "multiplied by"), "*"),
    **dict.fromkeys(("/", "÷", "\\div", "divided by"), "/"),
}
_SIGNS = frozenset("+-*/")
_OF_NUMBERS = frozenset(("number", "percent", "unit"))
# Words of one letter that stand for nothing unknown.
_SHORT_WORDS = frozenset(("a", "i"))
# `60 + 30 minutes = 1.5 hours` holds as well: how many of its kind's smallest each measure is.
_SIZES: tuple[dict[str, float], ...] = (
    {"second": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "day": 86_400, "week": 604_800},
    {"day": 1, "week": 7, "month": 30, "year": 365},
    {"month": 1, "year": 12, "decade": 120},
    {"inch": 1, "inche": 1, "foot": 12, "feet": 12, "yard": 36, "mile": 63_360},
    {"mm": 1, "millimeter": 1, "cm": 10, "centimeter": 10, "meter": 1000, "km": 1e6, "kilometer": 1e6},
    {"mg": 1, "milligram": 1, "gram": 1000, "kg": 1e6, "kilogram": 1e6},
    {"ounce": 1, "pound": 16, "ton": 32_000},
    {"ml": 1, "milliliter": 1, "liter": 1000},
    {"cup": 1, "pint": 2, "quart": 4, "gallon": 16},
    {"cent": 1, "penny": 1, "pennie": 1, "nickel": 5, "dime": 10, "quarter": 25, "dollar": 100, "$": 100},
    {"cent": 1, "euro": 100, "€": 100, "£": 100},
)
_MEASURES = frozenset(name for sizes in _SIZES for name in sizes)


def numbers(text: str) -> list[float]:
    """The numbers in a text, in order."""
    return [_value(found) for found in _NUMBER.findall(text)]


def _value(text: str) -> float:
    return min(_LARGEST, float(text.replace(",", "")))


class _Side(msgspec.Struct):
    """What stands at one side of an equals sign, as far as it was read. unknown: it cannot be reckoned. digits: shown
    behind the point of its last number. measures: words that say in what it counts. percent: it has a per cent sign.
    worded: a word came after the last number."""

    tokens: list[float | str] = []
    unknown: bool = False
    digits: int = 0
    measures: set[str] = set()
    percent: bool = False
    worded: bool = False

    @property
    def complete(self) -> bool:
        """Whether an operator may follow."""
        return bool(self.tokens) and (isinstance(self.tokens[-1], float) or self.tokens[-1] == ")")

    def read(self, kind: str, sign: str, found: re.Match[str]) -> None:
        if kind == "number":
            self._number(found)
        elif kind in ("operator", "times"):
            # A sign behind a word belongs to what the word stands for.
            self.unknown = self.unknown or (not self.complete and (sign != "-" or self.worded))
            self._add(_OPERATORS[sign])
        elif kind == "word":
            self._word(sign.lower())
        elif kind == "bracket":
            if sign == "(" or self.depth > 0:
                self._add(sign)
        elif kind == "other":
            self.unknown = True

    def _number(self, found: re.Match[str]) -> None:
        value, percent, unit = _value(found["number"]), found["percent"], found["unit"]
        self._add(value / 100 if percent else value)
        self.percent = self.percent or percent is not None
        self.digits = len(found["number"].partition(".")[2])
        if unit is not None:
            # `6s` is six times an unknown, `6km` is not.
            self.unknown = self.unknown or len(unit) == 1
            self._word(unit.lower())

    def _add(self, token: float | str) -> None:
        self.worded = False
        if len(self.tokens) >= TOKENS_MAX:
            self.unknown = True
            self.tokens.pop()
        self.tokens.append(token)

    def _word(self, word: str) -> None:
        if word == "of" and self.percent_or_fraction:
            self._add("*")
            return
        if self.tokens and self.tokens[-1] in ("+", "-", "/") and not self.worded:
            # `5 - the price`, but `40 % of the price`
            self.unknown = True
        self.unknown = self.unknown or (len(word) == 1 and word not in _SHORT_WORDS)
        self.worded = True
        measure = word.rstrip("s")
        if measure in _MEASURES:
            self.measures.add(measure)

    @property
    def percent_or_fraction(self) -> bool:
        return self.complete and (self.percent or "/" in self.tokens[-2:-1])

    def cut(self) -> None:
        """Without what stands before a bracket that is still open."""
        opened: list[int] = []
        for place, sign in enumerate(self.tokens):
            if sign == "(":
                opened.append(place)
            elif sign == ")" and opened:
                opened.pop()
        if opened:
            del self.tokens[: opened[-1] + 1]

    @property
    def depth(self) -> int:
        return self.tokens.count("(") - self.tokens.count(")")


class Reckoned(msgspec.Struct, frozen=True):
    """The sums of a text. held: for each equation between numbers alone whether it holds. operations: the signs among
    `+-*/` by which anything was reckoned; a fraction that something is taken of divides it."""

    held: list[bool]
    operations: frozenset[str]


def reckoned(text: str) -> Reckoned:
    """What cannot be read as an equation is passed over, and so is a note that says what its line says."""
    held: list[bool] = []
    operations: set[str] = set()
    for line in _lines(text):
        told: set[tuple[float, float]] = set()
        for part, is_note in ((_plain(_NOTE.sub(" ", line)), False), *((note, True) for note in _NOTE.findall(line))):
            for chain in _chains(part):
                operations.update(*map(_operations, chain))
                for one, other, holds in _held(chain):
                    pair = (round(one, 2), round(other, 2))
                    if not (is_note and pair in told):
                        told.add(pair)
                        held.append(holds)
        if len(held) >= EQUATIONS_MAX:
            break
    return Reckoned(held[:EQUATIONS_MAX], frozenset(operations))


def _plain(line: str) -> str:
    bullet = _BULLET.match(line)
    if bullet is not None:
        line = line[bullet.end() :]
    return _ASIDE.sub(" ", _MARKUP.sub(" ", _FRACTION.sub(r"((\1)/(\2))", line)))


def _operations(side: _Side) -> Iterator[str]:
    if side.unknown or not _is_sum(side):
        return
    for token in side.tokens:
        if isinstance(token, str):
            if token in _SIGNS:
                yield token
        elif 0 < token < 1:
            yield "/"


def _lines(text: str) -> Iterator[str]:
    """Those with an equals sign. A line that begins with one, or comes after one that ends in it, goes on with the one
    before."""
    held: list[str] = []
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped:
            continue
        if held and (stripped[0] == "=" or held[-1].endswith("=")):
            held.append(stripped)
            continue
        if any("=" in part for part in held):
            yield "\n".join(held)
        held = [stripped]
    if any("=" in part for part in held):
        yield "\n".join(held)


def _held(chain: list[_Side]) -> Iterator[tuple[float, float, bool]]:
    """Both values of each equation that can be reckoned, and whether they agree."""
    values = [_reckon(side) for side in chain]
    for at, right in enumerate(chain[1:]):
        left, one, other = chain[at], values[at], values[at + 1]
        # A number alone may be of another measure than what it is said to equal.
        if one is None or other is None or not _is_sum(left):
            continue
        agree = _agree(one, other, left, right)
        if agree or not _is_mixed(left):
            yield one, other, agree


def _chains(line: str) -> Iterator[list[_Side]]:
    """Sides that equals signs join."""
    sides = [_Side()]
    before = ""
    for found in islice(_TOKEN.finditer(line), LINE_TOKENS_MAX):
        last = found.lastgroup or "other"
        kind = "number" if last in _OF_NUMBERS else last
        token = found[kind]
        if kind == "currency":
            if token in _MEASURES:
                sides[-1].measures.add(token)
            continue
        if _ends(sides[-1], kind, token, line, found.start(kind), before):
            if len(sides) > 1:
                yield sides
            # `2 1/2` and `2^3` are one number, `5 apples, 3` two.
            sides = [_Side(unknown=kind in ("number", "bracket") and before in ("number", "other"))]
        if kind == "equals":
            sides[-1].cut()
            sides.append(_Side())
        else:
            sides[-1].read(kind, token, found)
        before = "word" if last == "unit" else kind
    if len(sides) > 1:
        yield sides


def _ends(side: _Side, kind: str, sign: str, line: str, place: int, before: str) -> bool:
    """Whether a side is at its end before this token."""
    if kind == "end":
        return True
    if kind == "number" or sign == "(":
        return side.complete
    if sign == ")":
        return side.depth <= 0
    # `and -5` is a number, `and - 5` belongs to what the word stands for.
    return sign == "-" and before == "word" and line[place - 1 : place] == " " and line[place + 1 : place + 2] != " "


def _is_sum(side: _Side) -> bool:
    return any(token in _SIGNS for token in side.tokens[1:])


def _is_mixed(side: _Side) -> bool:
    """Whether it may add minutes to hours, or divide them."""
    return len(side.measures) > 1 and not {"+", "-", "/"}.isdisjoint(side.tokens)


def _agree(one: float, other: float, left: _Side, right: _Side) -> bool:
    if _is_near(one, other, right.digits):
        return True
    if _is_sum(right):
        # `45 - 5 = 40 / 2 = 20`: said in one breath, the sum goes on from its result.
        first = next((token for token in right.tokens if isinstance(token, float)), None)
        return first is not None and _is_near(one, first, 0)
    if (left.percent or right.percent) and (_is_near(one * 100, other, right.digits) or _is_near(one, other * 100, 0)):
        return True
    return any(_is_near(one, other * ratio, 0) for ratio in _ratios(left.measures, right.measures))


def _ratios(left: set[str], right: set[str]) -> Iterator[float]:
    """How many of the one measure make the other."""
    for sizes in _SIZES:
        for one in left & sizes.keys():
            for other in right & sizes.keys():
                yield sizes[other] / sizes[one]


def _is_near(one: float, other: float, digits: int) -> bool:
    rounded = _ROUNDED * 10.0**-digits if digits else 0.0
    return abs(one - other) <= max(_SLACK, rounded, abs(other) * _SLACK_SHARE)


def _reckon(side: _Side) -> float | None:
    """The value of a side, None when it has none."""
    if side.unknown:
        return None
    # `33 % of them`
    read = _Sum(side.tokens[:-1] if side.worded and side.tokens[-1:] == ["*"] else side.tokens)
    value = read.sum()
    return value if value is not None and read.done else None


class _Sum:
    """A reader of sums and products."""

    def __init__(self, tokens: list[float | str]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._tokens)

    def sum(self, depth: int = 0) -> float | None:
        value = self._product(depth)
        while value is not None and (operator := self._taken("+-")):
            other = self._product(depth)
            value = None if other is None else value + other if operator == "+" else value - other
        return value

    def _product(self, depth: int) -> float | None:
        value = self._factor(depth)
        while value is not None and (operator := self._taken("*/")):
            other = self._factor(depth)
            if other is None or (operator == "/" and not other):
                return None
            value = value * other if operator == "*" else value / other
        return value

    def _factor(self, depth: int) -> float | None:
        if self.done or depth > _DEPTH_MAX:
            return None
        sign = self._tokens[self._at]
        self._at += 1
        if isinstance(sign, float):
            return sign
        if sign == "-":
            inner = self._factor(depth + 1)
            return None if inner is None else -inner
        if sign != "(":
            return None
        value = self.sum(depth + 1)
        if self.done or self._tokens[self._at] != ")":
            return None
        self._at += 1
        return value

    def _taken(self, operators: str) -> str:
        sign = self._tokens[self._at] if not self.done else ""
        if not isinstance(sign, str) or not sign or sign not in operators:
            return ""
        self._at += 1
        return sign
