"""What the caller's own text holds: for guards that let an answer repeat it."""

from __future__ import annotations

from typing import Any, cast

# More of a request is not kept beside it; what is beyond counts as not said by the caller.
CHARS_MAX = 4 * 1024 * 1024


class InputText:
    """Every string of a request, put together the first time that somebody asks."""

    __slots__ = ("_digits", "_doc", "_text")

    def __init__(self, doc: dict[str, Any]) -> None:
        self._doc = doc
        self._text: str | None = None
        self._digits = ""

    def holds(self, value: str) -> bool:
        """Whether the caller said this, in any case and with the digits of a number grouped in any way."""
        if self._text is None:
            strings: list[str] = []
            _collect(self._doc, strings)
            self._text = "\n".join(strings)[:CHARS_MAX].casefold()
            self._digits = "".join([char for char in self._text if char.isdigit() or char == "\n"])
        folded = value.casefold().strip()
        if folded in self._text or " ".join(folded.split()) in self._text:
            return True
        digits = "".join([char for char in folded if char.isdigit()])
        return len(digits) >= 7 and digits in self._digits


def _collect(value: object, strings: list[str]) -> None:
    if value.__class__ is str:
        strings.append(cast(str, value))
    elif value.__class__ is list:
        for inner in cast("list[object]", value):
            _collect(inner, strings)
    elif value.__class__ is dict:
        for key, inner in cast("dict[str, object]", value).items():
            strings.append(key)
            _collect(inner, strings)
    elif value.__class__ is int:
        strings.append(str(value))
