"""The text parts of a call: every string of a body, whatever its dialect, grouped into what one conversation turn adds.

A part is one message, one item, the system prompt, the tool definitions, or whatever else holds text. Structure
decides only where parts begin; no string is left out but the constants of the protocols themselves, the model's name
(ours, by the time bytes leave) and media bytes that the workload's `opaque` class stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

# Text of one role that is split at a part's border is read across it, so far to both sides.
CARRY_CHARS = 128

# Words of the protocols: nobody's content, wherever they stand.
_CONSTANTS = frozenset(
    (
        "text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal", "function", "custom",
        "object", "string", "array", "integer", "number", "boolean", "null", "user", "assistant", "system", "developer",
        "tool", "message", "function_call", "function_call_output", "tool_use", "tool_result", "image", "image_url",
        "input_image", "input_file", "input_audio", "file", "document", "base64", "url", "ephemeral", "auto", "none",
        "required", "any", "json_object", "json_schema", "thinking", "redacted_thinking", "enabled", "disabled",
        "adaptive", "completed", "in_progress", "low", "medium", "high", "default", "standard_only", "grammar",
        "reasoning", "custom_tool_call", "custom_tool_call_output", "5m", "1h", "float",
    )
)  # fmt: skip
# What is longer is none of them, and need not be hashed to know: that takes as long as reading it.
_CONSTANT_CHARS_MAX = max(map(len, _CONSTANTS))
# Keys of the protocols: not content themselves, and their values need no name before them to be understood.
_STRUCTURE = frozenset(
    (
        "role", "type", "content", "text", "name", "id", "call_id", "tool_call_id", "tool_use_id", "input", "output",
        "arguments", "function", "parameters", "description", "properties", "required", "items", "enum", "anyOf",
        "oneOf", "additionalProperties", "input_schema", "schema", "strict", "tool_calls", "image_url", "url",
        "detail", "file", "file_data", "source", "media_type", "data", "cache_control", "summary", "status", "refusal",
        "annotations", "model", "max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "top_p",
        "top_k", "n", "stream", "stream_options", "include_usage", "stop", "stop_sequences", "presence_penalty",
        "frequency_penalty", "seed", "logprobs", "top_logprobs", "logit_bias", "response_format", "json_schema",
        "tools", "tool_choice", "parallel_tool_calls", "store", "metadata", "reasoning", "reasoning_effort", "effort",
        "thinking", "budget_tokens", "signature", "instructions", "messages", "system", "prompt", "include",
        "truncation", "service_tier", "user", "encoding_format", "dimensions", "is_error", "format", "verbosity",
        "echo", "best_of", "suffix", "ttl", "title", "caption", "filename", "input_text", "format", "minimum",
        "maximum", "default", "$schema", "minLength", "maxLength", "pattern", "const", "items", "definitions", "$defs",
        "$ref", "examples", "encrypted_content", "previous_response_id", "prompt_cache_key", "safety_identifier",
    )
)  # fmt: skip
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n"
# Where media bytes stand, as (key of the string, type of the object around it or None for any).
_MEDIA = frozenset(
    (
        ("data", "base64"), ("data", "redacted_thinking"), ("signature", "thinking"), ("image_url", "input_image"),
        ("file_data", "input_file"), ("encrypted_content", "reasoning"), ("url", None), ("file_data", None),
        ("data", None),
    )
)  # fmt: skip
# Shorter ones are read like any other text: it costs little.
_MEDIA_CHARS_MIN = 512
_MEDIA_PIECE_CHARS = 64 * 1024
# What the caller's own tools take may look like anything: nothing in it counts as media.
_FREE = frozenset(("input", "arguments", "parameters", "input_schema", "schema", "metadata"))
_JSON_STARTS = frozenset('{["')
_ESCAPES = (("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ('\\"', '"'), ("\\/", "/"))
# A whole number in such a text that some JSON writers spell as a fraction.
_WHOLE = re.compile(r"(?<![\w.])([1-9][0-9]{6,})\.0+(?![\w.])")
# Numbers from here on may be somebody's; a JSON number is as readable to a model as a string.
_NUMBER_MIN = 1_000_000


class Part(msgspec.Struct, gc=False):
    """role: who speaks, empty where nobody does. text: its strings, one a line. seam: what the splits between its
    strings, and between it and the role's part before, could hide: their ends put together; empty without splits."""

    role: str
    text: str
    seam: str = ""


def parts(doc: dict[str, Any], *, opaque: bool) -> list[Part]:
    """All parts of a body in the order of the document, but its system prompt first.

    opaque: the call takes the class of unreadable parts, so their bytes need not be read."""
    found: list[Part] = []
    first: list[Part] = []
    rest: list[str] = []
    carried: dict[str, str] = {}
    for key, value in doc.items():
        kind = value.__class__
        if kind is list and (key == "messages" or key == "input"):
            _turns(cast("list[Any]", value), opaque, carried, found)
        elif kind is bool or kind is None.__class__ or key == "model":
            if key not in _STRUCTURE:
                rest.append(key)
        elif (kind is int or kind is float) and -_NUMBER_MIN < value < _NUMBER_MIN and key in _STRUCTURE:
            continue  # a limit or a temperature: nothing to read
        elif key in _OWN_PART:
            strings: list[str] = []
            _strings(value, strings, opaque)
            if strings:
                part = _part(_OWN_PART[key], strings, carried)
                (first if part.role == "system" else found).append(part)
        else:
            _strings({key: value}, rest, opaque)
    if rest:
        found.append(Part("", "\n".join(rest)))
    if first:
        found = first + found
    for part in found:
        if not part.text:
            return [part for part in found if part.text]
    return found


_OWN_PART = {"system": "system", "instructions": "system", "input": "user", "prompt": "user", "tools": ""}


def pointers(doc: dict[str, Any], *, opaque: bool) -> Iterator[tuple[str, str, int]]:
    """Every string that `parts` reads, one by one: (JSON pointer, text, how many characters of it stand before the
    value), the last -1 where offsets into the text are none into the value."""
    for key, value in doc.items():
        if key != "model":
            yield from _pointers(f"/{_escaped(key)}", key, value, opaque, doc)


def _turns(items: list[Any], opaque: bool, carried: dict[str, str], found: list[Part]) -> None:
    """Most messages are a role and a text: those are read right here, because a long history has hundreds."""
    for item in items:
        if item.__class__ is dict and len(item) == 2:
            role, text = item.get("role"), item.get("content")
            if text.__class__ is str and role.__class__ is str and role in _CONSTANTS and text not in _CONSTANTS:
                if text[:1] in _JSON_STARTS:
                    text = _unescaped(text)
                before = carried.get(role, "")
                carried[role] = text[-CARRY_CHARS:] if len(text) >= CARRY_CHARS else (before + text)[-CARRY_CHARS:]
                found.append(Part(role, text, before + text[:CARRY_CHARS] if before else ""))
                continue
        elif item.__class__ is int and _small(items):
            return  # token numbers: opaque, and none of them is a text
        found.append(_turn(item, opaque, carried))


def _turn(item: object, opaque: bool, carried: dict[str, str]) -> Part:
    strings: list[str] = []
    _strings(item, strings, opaque)
    return _part(_role(item), strings, carried)


def _role(item: object) -> str:
    if item.__class__ is not dict:
        return ""
    fields = cast("dict[str, Any]", item)
    role, kind = fields.get("role"), fields.get("type")
    if isinstance(role, str):
        return role
    return _ROLE_OF_ITEM.get(kind, "user") if isinstance(kind, str) else "user"


_ROLE_OF_ITEM = {
    "function_call": "assistant",
    "custom_tool_call": "assistant",
    "reasoning": "assistant",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
}


def _part(role: str, strings: list[str], carried: dict[str, str]) -> Part:
    if not role or not strings:
        return Part(role, "\n".join(strings))
    if len(strings) == 1:
        return _single(role, strings[0], carried)
    before = carried.get(role, "")
    ends = [s if len(s) <= 2 * CARRY_CHARS else f"{s[:CARRY_CHARS]}\n{s[-CARRY_CHARS:]}" for s in strings]
    seam = before + "".join(ends)
    carried[role] = seam[-CARRY_CHARS:]
    return Part(role, "\n".join(strings), seam)


def _single(role: str, text: str, carried: dict[str, str]) -> Part:
    before = carried.get(role, "")
    carried[role] = text[-CARRY_CHARS:] if len(text) >= CARRY_CHARS else (before + text)[-CARRY_CHARS:]
    return Part(role, text, before + text[:CARRY_CHARS] if before else "")


def _strings(value: object, out: list[str], opaque: bool) -> None:
    """The strings of one JSON value, keys included, each with the key that names it. Depth is bounded by the parse."""
    kind = value.__class__
    if kind is str:
        out.append(_unescaped(cast(str, value)))
    elif kind is list:
        items = cast("list[Any]", value)
        if items and items[0].__class__ is int and _small(items):
            return
        for item in items:
            _strings(item, out, opaque)
    elif kind is dict:
        fields = cast("dict[str, Any]", value)
        for key, item in fields.items():
            kind = item.__class__
            if kind is str:
                if len(item) <= _CONSTANT_CHARS_MAX and item in _CONSTANTS and key in _STRUCTURE:
                    continue
                if opaque and _is_media(key, item, fields):
                    continue
                if item[:1] in _JSON_STARTS:
                    item = _unescaped(item)
                out.append(item if key in _STRUCTURE else f"{key}: {item}")
            elif kind is dict or kind is list:
                if key not in _STRUCTURE:
                    out.append(f"{key}:")
                _strings(item, out, opaque and key not in _FREE)
            elif kind is int or kind is float:
                number = _number(item)
                if key not in _STRUCTURE:
                    out.append(f"{key}: {number}")
                elif number:
                    out.append(number)
            elif key not in _STRUCTURE:
                out.append(key)
    elif kind is int or kind is float:
        number = _number(cast(float, value))
        if number:
            out.append(number)


def _pointers(at: str, key: str, value: object, opaque: bool, around: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    named = bool(key) and key not in _STRUCTURE
    kind = value.__class__
    if kind is dict:
        if named:
            yield at, key, 0
        fields = cast("dict[str, Any]", value)
        for name, item in fields.items():
            yield from _pointers(f"{at}/{_escaped(name)}", name, item, opaque and name not in _FREE, fields)
    elif kind is list:
        if named:
            yield at, key, 0
        for position, item in enumerate(cast("list[Any]", value)):
            yield from _pointers(f"{at}/{position}", "", item, opaque, around)
    elif kind is str:
        text = cast(str, value)
        if (text in _CONSTANTS and not named) or (opaque and key and _is_media(key, text, around)):
            return
        prefix, plain = f"{key}: " if named else "", _unescaped(text)
        yield at, prefix + plain, len(prefix) if plain == text else -1
    elif kind is bool or value is None:
        if named:
            yield at, key, 0
    else:
        number = _number(cast(float, value))
        prefix = f"{key}: " if named else ""
        if number or named:
            yield at, prefix + number, len(prefix)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _number(value: float) -> str:
    """A number as somebody would read it, empty when it is too small to identify anything."""
    if -_NUMBER_MIN < value < _NUMBER_MIN:
        return ""
    return str(int(value)) if value.__class__ is int or value.is_integer() else ""


def _small(numbers: list[Any]) -> bool:
    """Whether a list is nothing but small whole numbers, such as tokens."""
    try:
        return min(numbers) > -_NUMBER_MIN and max(numbers) < _NUMBER_MIN
    except TypeError:
        return False


def _unescaped(text: str) -> str:
    """A JSON text inside a string, such as a tool's arguments, as its reader sees it. Nothing is dropped: only the
    escapes that would keep words and lines apart are made plain; detectors know the numeric ones themselves. Whole
    numbers lose the zeros behind their point, as in `_number`."""
    if text[:1] not in _JSON_STARTS:
        return text
    if ".0" in text:
        text = _WHOLE.sub(r"\1", text)
    if "\\" not in text:
        return text
    for escape, plain in _ESCAPES:
        text = text.replace(escape, plain)
    return text


def _is_media(key: str, text: str, around: dict[str, Any]) -> bool:
    """Whether a string is the bytes of an image, a sound, a file or an encrypted thought, and nothing else."""
    if len(text) < _MEDIA_CHARS_MIN:
        return False
    kind = around.get("type")
    if (key, kind) not in _MEDIA and ((key, None) not in _MEDIA or kind is not None):
        return False
    comma = text.find(",")
    if comma >= 0:
        head = text[:comma]
        if not head.startswith("data:") or not head.endswith(";base64") or head.startswith("data:text"):
            return False
    # By pieces: copies of a whole image cost more than reading it.
    for at in range(comma + 1, len(text), _MEDIA_PIECE_CHARS):
        piece = text[at : at + _MEDIA_PIECE_CHARS]
        if not piece.isascii() or piece.encode().translate(None, _BASE64):
            return False
    return True
