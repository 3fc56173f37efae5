"""Request bodies as bytes: a strict parse that leaves no room for two readings, and splices that touch nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from signalbox.core.errors import BadRequest
from signalbox.wire.marks import LARGE_BYTES, RARE_BYTES, count, find

DEPTH_MAX = 64

_CONTAINERS = frozenset({dict, list})

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# Possessive, so that a long string full of escapes costs neither stack nor backtracking memory.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_match_scalar = re.compile(_STRING + rb"|[-+.0-9A-Za-z]++", re.DOTALL).match
_find_tokens = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL).finditer
_match_key = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL).match
_match_colon = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+").match
# A member's value where it is a string without escapes, as model names are.
_match_plain_string = re.compile(rb'[ \t\r\n]*+:[ \t\r\n]*+("[^"\\]*+")').match
_MODEL_KEY = b'"model"'
# Up to the first half of a character (a surrogate) by its escape that stands without the other half.
_HALF = rb"u[dD][89a-fA-F][0-9a-fA-F]{2}"
_WHOLE = rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_match_half = re.compile(
    rb"(?:[^\\]++|\\(?:" + _WHOLE + rb"|(?!" + _HALF + rb").))*+(\\" + _HALF + rb")", re.DOTALL
).match
# Errors are explained by what stands in so many bytes.
EXPLAINED_MAX = 1 << 20
_match_comma = re.compile(rb"[ \t\r\n]*+,").match


def parse(body: bytes, *, depth_max: int = DEPTH_MAX) -> dict[str, Any]:
    """The one meaning that these bytes have for every JSON parser, or BadRequest saying what is wrong and where.

    Refused besides malformed JSON: invalid UTF-8, a byte order mark, lone surrogates, NaN and infinities, numbers
    no double can hold, duplicate keys at any depth, nesting deeper than depth_max, anything but an object on top.
    """
    try:
        decoded: Any = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequest(_what_is_wrong(body, exc)) from None
    if decoded.__class__ is not dict:
        raise BadRequest("The request body must be a JSON object.")
    doc: dict[str, Any] = decoded
    small = len(body) < LARGE_BYTES
    openings = body.count(b"{") + body.count(b"[") if small else count(body, b"{") + count(body, b"[")
    if openings > depth_max and _deeper_than(doc, depth_max):
        raise BadRequest(f"The JSON body is nested too deeply (at most {depth_max} levels).")
    if not _surely_unique(body, doc):
        _refuse_duplicates(body)
    return doc


def _surely_unique(body: bytes, doc: dict[str, Any]) -> bool:
    """Whether no object had a key twice, proved by counting quotes instead of looking at every object.

    The decoder keeps the last of two equal keys. Written out again, every string that was kept has as many quote
    characters as it had before (two, and one for each escaped quote), unless a quote was spelled \\u0022; a
    member that was lost takes at least the two around its key with it. So equal counts mean that none was lost. Where
    the client writes JSON as this encoder does, without spaces, nothing needs to be counted. Of a large body with few
    strings the quotes that it would have are counted without writing it: another copy takes longer than all the rest.
    """
    if len(body) >= LARGE_BYTES:
        quotes = count(body, b'"')
        if quotes < len(body) // RARE_BYTES:
            return find(body, b"\\u0022") < 0 and quotes == _quotes(doc)
    written = _encode(doc)
    if written == body:
        return True
    # `find` and not `in`, here and on the whole path: for bytes in bytes CPython 3.11 makes an exception and drops it.
    if body.find(b"\\") >= 0 and body.find(b"\\u0022") >= 0:
        return False
    return body.count(b'"') == written.count(b'"')


def _quotes(doc: dict[str, Any]) -> int:
    """How many quote characters this has when it is written out."""
    quotes = 0
    waiting: list[Any] = [doc]
    while waiting:
        item = waiting.pop()
        if item.__class__ is str:
            quotes += 2 + item.count('"') if '"' in item else 2
        elif item.__class__ is dict:
            waiting += item.keys()
            waiting += item.values()
        elif item.__class__ is list:
            waiting += item
    return quotes


def _deeper_than(doc: dict[str, Any], depth_max: int) -> bool:
    level: list[Any] = [doc]
    for _ in range(depth_max):
        level = [
            value
            for node in level
            for value in (node.values() if node.__class__ is dict else node)
            if value.__class__ in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _refuse_duplicates(body: bytes) -> None:
    """Looks at every object, by a second parser. The body is known to be valid, and its depth bounded."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len(pairs) != len({key for key, _ in pairs}):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    raise BadRequest(f"The JSON body has the key {_encode(key[:80]).decode()} twice in one object.")
                seen.add(key)

    json.loads(body.decode(), object_pairs_hook=check, parse_int=_nothing, parse_float=_nothing)


def _nothing(_: str) -> None:
    """Numbers do not matter here, and converting giant ones would take time."""


def _what_is_wrong(body: bytes, exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "The JSON body is nested too deeply."
    if isinstance(exc, UnicodeDecodeError):
        try:
            body.decode()
        except UnicodeDecodeError as where:
            return f"The request body is not valid UTF-8 (byte {where.start})."
    if not body.strip():
        return "The request body is empty; a JSON object is needed."
    if body.startswith(b"\xef\xbb\xbf"):
        return "The request body must not start with a byte order mark."
    if isinstance(exc, msgspec.ValidationError):
        return "The JSON body holds a number that is out of range."
    half = _match_half(body, 0, EXPLAINED_MAX)
    if half is not None and half.end() < EXPLAINED_MAX - 6:  # where the other half would have been seen
        # Clients that cut text by UTF-16 units write this, and providers refuse it or read it in two ways.
        return (
            f"The request body holds half of a character, {half[1].decode()} at byte {half.start(1)}: a surrogate"
            " whose other half was cut off. Cut text between characters."
        )
    return f"The request body is not valid JSON: {str(exc).removeprefix('JSON is malformed: ')}."


class Edit(msgspec.Struct, frozen=True):
    """One licensed edit: the member called `name` gets `value`. A dot leads to a member of a top-level object, as in
    `stream_options.include_usage`; the name is also how the edit is recorded."""

    name: str
    value: Any


def splice(body: bytes, doc: dict[str, Any], edits: Sequence[Edit]) -> bytes:
    """The body with each edit done as one splice: a member's value replaced, or a member put first in its object.

    `doc` is what parse(body) returned. Raises BadRequest when the path leads through something that is neither an
    object nor null, and ValueError when two edits would touch the same top-level member.
    """
    # Slices of this are no copies, where copies would cost more than that.
    source = body if len(body) < LARGE_BYTES else memoryview(body)
    if len(edits) == 1:
        start, end, new = _span(body, doc, edits[0])
        return b"".join((body[:start], new, source[end:]))
    if len({edit.name.partition(".")[0] for edit in edits}) != len(edits):
        raise ValueError("two edits of one top-level member")
    spans = sorted(_span(body, doc, edit) for edit in edits)
    pieces: list[bytes | memoryview] = []
    at = 0
    inserted_first = False
    for start, end, new in spans:
        pieces.append(source[at:start])
        if start == end and inserted_first and not doc:  # the second of two members put into an empty object
            pieces.append(b",")
        inserted_first = inserted_first or start == end
        pieces.append(new)
        at = end
    pieces.append(source[at:])
    return b"".join(pieces)


def rename(body: bytes, doc: dict[str, Any], model: str) -> bytes:
    """`splice` of the model's name, which nearly every body gets, without its general way where that is safe: the key
    occurs once, and neither it nor its value can be spelled with escapes."""
    if len(body) >= LARGE_BYTES:
        return _rename_large(body, doc, model)
    if body.count(_MODEL_KEY) == 1 and (body.find(b"\\") < 0 or body.find(b"\\u00") < 0):
        for member, renamed in _members(doc["model"], model):
            before, found, after = body.partition(member)
            if found:
                return b"".join((before, renamed, after))
    return splice(body, doc, (Edit("model", model),))


def _rename_large(body: bytes, doc: dict[str, Any], model: str) -> bytes:
    """The same with one copy of the body, and looked through once."""
    if count(body, _MODEL_KEY) == 1 and find(body, b"\\u00") < 0:
        for member, renamed in _members(doc["model"], model):
            at = find(body, member)
            if at >= 0:
                return b"".join((body[:at], renamed, memoryview(body)[at + len(member) :]))
    return splice(body, doc, (Edit("model", model),))


@lru_cache(4096)
def _members(old: str, new: str) -> tuple[tuple[bytes, bytes], ...]:
    """The member that names the model, as the usual encoders write it, and what it becomes."""
    return tuple(
        (b"%b%b%b" % (_MODEL_KEY, colon, _encode(old)), b"%b%b%b" % (_MODEL_KEY, colon, _encode(new)))
        for colon in (b": ", b":")
    )


def _span(body: bytes, doc: dict[str, Any], edit: Edit) -> tuple[int, int, bytes]:
    """Where the edit goes and what it puts there."""
    top, below, quoted = _path(edit.name)
    value = edit.value
    if top not in doc:
        return _insertion(body, 0, len(body), top, {below: value} if below else value, alone=not doc)
    start, end = _locate(body, top, quoted)
    if not below:
        return start, end, _encode(value)
    inner: Any = doc[top]
    if inner is None:
        return start, end, _encode({below: value})
    if type(inner) is not dict:
        raise BadRequest(f"'{top}' must be an object.", param=top)
    if below not in inner:
        return _insertion(body, start, end, below, value, alone=not inner)
    inner_start, inner_end = _scan(body, start, below)
    return inner_start, inner_end, _encode(value)


def _insertion(body: bytes, start: int, end: int, key: str, value: Any, *, alone: bool) -> tuple[int, int, bytes]:
    at = body.index(b"{", start, end) + 1
    return at, at, b"%b:%b%b" % (_encode(key), _encode(value), b"" if alone else b",")


@lru_cache(256)
def _path(name: str) -> tuple[str, str, bytes | None]:
    """The two parts of an edit's name; and the first as it stands in JSON, None where it has letters that are not
    always spelled the same."""
    top, _, below = name.partition(".")
    plain = top.isascii() and top.replace("_", "").isalnum()
    return top, below, _encode(top) if plain else None


def _locate(body: bytes, key: str, quoted: bytes | None) -> tuple[int, int]:
    """Start and end of the value of a top-level member that exists.

    The short way needs no scan: when the quoted name occurs once and no ASCII letter anywhere is spelled as an
    escape, that occurrence must be the key itself, since the document is known to have it.
    """
    if quoted is None:
        return _scan(body, 0, key)
    seek = bytes.find if len(body) < LARGE_BYTES else find
    at = seek(body, quoted)
    after = at + len(quoted)
    if at >= 0 and seek(body, quoted, after) < 0 and (body.find(b"\\") < 0 or seek(body, b"\\u00") < 0):
        text = _match_plain_string(body, after)  # as a model's name is
        if text is not None:
            return text.span(1)
        colon = _match_colon(body, after)
        if colon is not None:
            return colon.end(), _value_end(body, colon.end())
    return _scan(body, 0, key)


def _scan(body: bytes, at: int, key: str) -> tuple[int, int]:
    """Start and end of a member's value in the object that starts at the first brace from `at`, member by member."""
    at = body.index(b"{", at) + 1
    while (member := _match_key(body, at)) is not None:
        start = member.end()
        end = _value_end(body, start)
        if _decode(member.group(1)) == key:
            return start, end
        comma = _match_comma(body, end)
        if comma is None:
            break
        at = comma.end()
    raise BadRequest(f"The request body has no '{key}'.", param=key)


def _value_end(body: bytes, start: int) -> int:
    """Where the value that starts here ends. The body is known to be valid JSON."""
    scalar = _match_scalar(body, start)
    if scalar is not None:
        return scalar.end()
    depth = 0
    for token in _find_tokens(body, start):
        mark = body[token.start()]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
            if depth == 0:
                return token.end()
    raise BadRequest("The request body is not valid JSON.")
