"""Loops of agents: calls that come again and again with the same words, or ask for the same tool call every time.

What a conversation holds tells of its tool calls. Equal calls are counted in a small table that all processes of the
installation share: keyed hashes, counts and times in a file of fixed size, of which nothing outlives its window.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import Any, cast

import msgspec

from signalbox.core.call import Call
from signalbox.core.errors import ConfigError, Looping
from signalbox.core.loops import Loops

BUCKETS = 4096
SLOTS = 8
_SLOT = Struct("<16sII")
_BUCKET_BYTES = SLOTS * _SLOT.size
_FILE_BYTES = BUCKETS * _BUCKET_BYTES
TOOL_CALLS_MAX = 64
# How much of the last turns is compared.
TEXT_CHARS_MAX = 64 * 1024
_DEPTH_MAX = 32
# Made anew for every turn, whatever it says.
_CHANGING = frozenset(("id", "tool_call_id", "tool_use_id", "call_id", "signature", "encrypted_content", "status"))


class Repeats:
    """The counts of one installation. Used from one thread; other processes may use the same file at the same time."""

    def __init__(self, path: Path, key: bytes, now_s: Callable[[], float]) -> None:
        self._path = path
        self._now_s = now_s
        self._hash = hashlib.blake2b(digest_size=16, key=key, person=b"repeats")
        self._file = -1
        self._table: mmap.mmap | None = None

    def check(self, call: Call, loops: Loops) -> None:
        """Raises Looping. A call that is refused counts as well: a loop ends when its calls do."""
        most = loops.same_tool_call_max
        if most:
            count = same_tool_calls(call.doc)
            if count > most:
                raise Looping(f"The same tool was called with the same arguments {count} times; {most} are allowed.")
        most = loops.same_call_max
        if most and self._count(self._identity(call), loops.window_s) > most:
            raise Looping(
                f"More than {most} calls ended in the same words within {loops.window_s} s: this looks like a loop."
            )

    def close(self) -> None:
        if self._table is not None:
            self._table.close()
            os.close(self._file)
            self._table = None

    def _identity(self, call: Call) -> bytes:
        principal = call.principal
        hashed = self._hash.copy()
        session = call.for_whom.session
        for part in (principal.tenant, principal.key_id, call.workload.name, session, last_turns(call.doc)):
            data = part.encode("utf-8", "replace")
            hashed.update(len(data).to_bytes(4, "big") + data)
        return hashed.digest()

    def _count(self, identity: bytes, window_s: int) -> int:
        """How often this came, this time included."""
        table = self._opened()
        offset = int.from_bytes(identity[:4], "little") % BUCKETS * _BUCKET_BYTES
        now_s = int(self._now_s())
        fcntl.lockf(self._file, fcntl.LOCK_EX, _BUCKET_BYTES, offset)
        try:
            slots = [
                (at, *cast("tuple[bytes, int, int]", _SLOT.unpack_from(table, at)))
                for at in range(offset, offset + _BUCKET_BYTES, _SLOT.size)
            ]
            for at, known, count, until_s in slots:
                if known == identity and until_s > now_s:
                    _SLOT.pack_into(table, at, identity, min(count + 1, 0xFFFFFFFF), until_s)
                    return count + 1
            # What has ended goes first, then what came least often.
            at = min(slots, key=lambda slot: (slot[3] > now_s, slot[2], slot[3]))[0]
            _SLOT.pack_into(table, at, identity, 1, now_s + window_s)
            return 1
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _BUCKET_BYTES, offset)

    def _opened(self) -> mmap.mmap:
        if self._table is None:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                if os.fstat(self._file).st_size < _FILE_BYTES:
                    os.ftruncate(self._file, _FILE_BYTES)
                self._table = mmap.mmap(self._file, _FILE_BYTES)
            except OSError as error:
                raise ConfigError(
                    [f"{self._path}: cannot be used ({error.strerror}). Check the state directory."]
                ) from None
        return self._table


def last_turns(doc: dict[str, Any]) -> str:
    """The last two turns of any body, without what changes with every turn."""
    turns: object = doc.get("messages", doc.get("input", doc.get("prompt")))
    said: list[str] = []
    left = TEXT_CHARS_MAX
    for text in _texts(cast("list[object]", turns)[-2:] if isinstance(turns, list) else turns, 0):
        said.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return " ".join("\0".join(said).casefold().split())


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < _DEPTH_MAX and isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            if name not in _CHANGING:
                yield from _texts(inner, depth + 1)
    elif depth < _DEPTH_MAX and isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _texts(inner, depth + 1)


def same_tool_calls(doc: dict[str, Any]) -> int:
    """How many of the last tool calls of a conversation are the same as the very last one."""
    turns: object = doc.get("messages", doc.get("input"))
    if not isinstance(turns, list):
        return 0
    last, count, seen = None, 0, 0
    for turn in reversed(cast("list[object]", turns)):
        if not isinstance(turn, dict):
            continue
        for called in reversed(list(_tool_calls(cast("dict[str, Any]", turn)))):
            last = called if last is None else last
            count += called == last
            seen += 1
            if seen >= TOOL_CALLS_MAX:
                return count
    return count


def _tool_calls(turn: dict[str, Any]) -> Iterator[tuple[object, bytes]]:
    """Name and arguments, in the shapes of chat, the Messages API and Responses."""
    if turn.get("type") == "function_call":
        yield turn.get("name"), _arguments(turn.get("arguments"))
    calls: object = turn.get("tool_calls")
    for call in cast("list[object]", calls) if isinstance(calls, list) else ():
        function: object = cast("dict[str, Any]", call).get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            fields = cast("dict[str, Any]", function)
            yield fields.get("name"), _arguments(fields.get("arguments"))
    content: object = turn.get("content")
    for block in cast("list[object]", content) if isinstance(content, list) else ():
        if isinstance(block, dict) and cast("dict[str, Any]", block).get("type") == "tool_use":
            fields = cast("dict[str, Any]", block)
            yield fields.get("name"), _arguments(fields.get("input"))


def _arguments(value: object) -> bytes:
    """The same arguments are the same bytes, however they are spaced and ordered."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return str(value).encode("utf-8", "replace")
    return msgspec.json.encode(value, order="sorted")
