"""An object in an answer where other dialects have its JSON as text: read and written as that text."""

from __future__ import annotations

from typing import Any

import msgspec

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class ObjectText:
    """What a tool is called with, `holder[key]`, as JSON. Its keys are the tool's own: none of them tells that a value
    is an id or a constant of the protocol. Text that is no JSON, because it was cut, leaves an empty object."""

    __slots__ = ("_holder", "_text")

    def __init__(self, holder: dict[str, Any], key: str) -> None:
        self._holder = holder
        self._text = _encode(holder[key]).decode()

    def __getitem__(self, key: str) -> str:
        return self._text

    def __setitem__(self, key: str, text: str) -> None:
        self._text = text
        try:
            self._holder[key] = _decode(text)
        except msgspec.DecodeError:
            self._holder[key] = {}
