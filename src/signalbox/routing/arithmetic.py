"""The sums that a text states, reckoned again: `3 x 60 = 180` holds, `3 x 60 = 190` does not. Linear in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Equations beyond these are not looked at, nor longer left sides.
EQUATIONS_MAX = 200
SIDE_CHARS_MAX = 160
# What a stated result may differ by: it may be rounded to the digits it shows, or to whole cents.
_SLACK = 0.011
# A row of digits may stand for anything; nothing is told from numbers beyond this.
_LARGEST = 1e15

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")
_LEFT = "0123456789., \t\n$€£()*xX×·/÷+-−–%\\"
_RIGHT = re.compile(
    r"\s*[$€£]?\s*(-?\s?[$€£]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\s?[$€£]?\d+(?:\.\d+)?)(\s*/\s*\d+)?(\s*%)?"
)
_OPERATORS = {
    "+": "+",
    "-": "-",
    "−": "-",
    "–": "-",
    "*": "*",
    "x": "*",
    "X": "*",
    "×": "*",
    "·": "*",
    "/": "/",
    "÷": "/",
}


def numbers(text: str) -> list[float]:
    """The numbers in a text, in order."""
    return [_value(found) for found in _NUMBER.findall(text)]


def _value(text: str) -> float:
    return min(_LARGEST, float(text.replace(",", "")))


def equations(text: str) -> Iterator[bool]:
    """For each equation between numbers alone, whether it holds. What cannot be read as one is passed over."""
    place, left = text.find("="), EQUATIONS_MAX
    while place >= 0 and left:
        held = _holds(text[max(0, place - SIDE_CHARS_MAX) : place], text[place + 1 : place + 1 + SIDE_CHARS_MAX])
        if held is not None:
            left -= 1
            yield held
        place = text.find("=", place + 1)


def _holds(before: str, after: str) -> bool | None:
    side, result = before[len(before.rstrip(_LEFT)) :], _RIGHT.match(after)
    if not side or result is None:
        return None
    reckoned = _reckon(side)
    if reckoned is None:
        return None
    number, divided, percent = result.groups()
    told = float(re.sub(r"[$€£,\s]", "", number))
    if divided:
        divisor = float(divided.replace("/", ""))
        if not divisor:
            return None
        told /= divisor
    near = max(_SLACK, abs(told) * 1e-3)
    if percent and abs(reckoned * 100 - told) <= near:
        return True
    return abs(reckoned - told) <= near


def _reckon(side: str) -> float | None:
    """The value of a side with at least one operator, None when it is no such thing."""
    read = _Side(side)
    value = read.sum()
    return value if value is not None and read.done and read.operators else None


class _Side:
    """A reader of sums and products. operators: how many there were."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self.operators = 0

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
        if self.done or depth > 8:
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
        self.operators += 1
        return sign


def _tokens(text: str) -> list[float | str]:
    found: list[float | str] = []
    place = 0
    while place < len(text):
        number = _NUMBER.match(text, place)
        if number is not None:
            if found and (isinstance(found[-1], float) or found[-1] == ")"):
                found.clear()  # two numbers side by side: the first one ends what was said before
            value, place = _value(number.group()), number.end()
            if text[place : place + 1] == "%":
                value, place = value / 100, place + 1
            found.append(value)
            continue
        char = text[place]
        place += 1
        if char in "()":
            found.append(char)
        elif char in _OPERATORS:
            found.append(_OPERATORS[char])
    # What stands before the sum belongs to the sentence.
    while found and isinstance(found[0], str) and found[0] not in "(-":
        del found[0]
    return found
