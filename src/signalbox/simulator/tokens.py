"""How the simulated providers count tokens: a rule of their own, deterministic and simple enough to check by hand.

Input: each string that a model would read (text, tool names, schemas, arguments) is one token per four characters
begun; each message adds 3; each picture, sound or file is 85, whatever its size. Output: one token a word with the
white space after it; tool arguments and JSON one token per four characters begun.
"""

from __future__ import annotations

import re
from typing import Any, cast

MESSAGE_TOKENS = 3
MEDIA_TOKENS = 85
_WORD = re.compile(r"\S+\s*|\s+")
_MEDIA_TYPES = frozenset(
    ("image", "image_url", "input_image", "document", "file", "input_file", "input_audio", "audio")
)


def of_text(text: str) -> int:
    return (len(text) + 3) // 4


def of_value(value: Any) -> int:
    """Tokens of any JSON value: its strings and keys, media as a lump. Iterative, so that depth costs no stack."""
    if isinstance(value, str):
        return of_text(value)
    total = 0
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            total += (len(item) + 3) // 4
        elif isinstance(item, list):
            todo.extend(cast("list[Any]", item))
        elif isinstance(item, dict):
            doc = cast("dict[str, Any]", item)
            kind = doc.get("type")
            if isinstance(kind, str) and kind in _MEDIA_TYPES:
                total += MEDIA_TOKENS
                continue
            for key, inner in doc.items():
                if key not in ("type", "cache_control"):
                    todo.append(inner)
        elif item is not None and not isinstance(item, bool):
            total += 1
    return total


def of_messages(messages: list[Any]) -> int:
    total = MESSAGE_TOKENS * len(messages)
    for message in messages:
        if isinstance(message, dict):
            doc = cast("dict[str, Any]", message)
            for key, inner in doc.items():
                if key not in ("role", "type", "id"):
                    total += of_value(inner)
        else:
            total += of_value(message)
    return total


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def pieces(text: str) -> list[str]:
    return [text[i : i + 4] for i in range(0, len(text), 4)]
