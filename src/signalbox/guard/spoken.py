"""Who says what in a request: every text of a body, with whether the operator, the caller, the model or nobody we know
speaks there.

What the operator says is the system prompt. What nobody vouches for is the content of tool results, files, documents
and search results; where it cannot be read, such as in an image, it is told as an empty text. Keys and fields that this
version does not know count as the caller's.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

SYSTEM, USER, MODEL, UNTRUSTED, TOOLS = "system", "user", "model", "untrusted", "tools"

_ROLES = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "assistant": MODEL,
    "tool": UNTRUSTED,
    "function": UNTRUSTED,
}
# Blocks and items whose content comes from outside the conversation.
_OUTSIDE = frozenset(
    (
        "tool_result", "function_call_output", "custom_tool_call_output", "computer_call_output",
        "local_shell_call_output", "shell_call_output", "apply_patch_call_output", "mcp_tool_result",
        "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
        "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
        "document", "file", "input_file", "search_result", "web_search_call", "file_search_call", "mcp_call",
        "mcp_list_tools",
        "code_interpreter_call",
    )
)  # fmt: skip
# Items that this version does not know name themselves alike.
_OUTSIDE_ENDS = ("_output", "_tool_result")
_OWN = frozenset(("function_call", "custom_tool_call", "reasoning", "tool_use", "thinking", "output_text", "refusal"))
# Constants of the protocols, ids, and bytes that nobody reads as text.
_NO_TEXT = frozenset(
    (
        "role", "type", "id", "model", "call_id", "tool_call_id", "tool_use_id", "signature", "encrypted_content",
        "image_url", "media_type", "data", "file_data", "status", "detail", "previous_response_id", "service_tier",
        "reasoning_effort", "effort", "tool_choice", "prompt_cache_key", "safety_identifier", "user", "truncation",
        "encoding_format", "file_id", "stop_sequences", "stop",
    )
)  # fmt: skip
_TOP = {"system": SYSTEM, "instructions": SYSTEM, "tools": TOOLS, "functions": TOOLS, "response_format": TOOLS}
# What stands under these cannot be read as it is, but a model reads it.
_MEDIA = frozenset(("image_url", "data", "file_data", "file_id", "encrypted_content"))
_TEXT_FILE = re.compile(r"data:(?:text/|application/(?:json|xml|yaml))[^,]{0,200};base64,", re.IGNORECASE)
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml")
DEPTH_MAX = 64


class Said(msgspec.Struct, gc=False):
    """One string, `holder[key]`. where: JSON pointer of it. turn: pointer of the message it is part of."""

    speaker: str
    holder: Any
    key: Any
    where: str
    turn: str

    @property
    def text(self) -> str:
        return self.holder[self.key]


class _TextFile:
    """The text of a file that stands in a body as base64: what is put in its place is encoded again. Raises
    binascii.Error or UnicodeDecodeError for what is no text."""

    __slots__ = ("_fields", "_head", "_name", "_text")

    def __init__(self, fields: dict[str, Any], name: str, head: str) -> None:
        self._text = base64.b64decode(fields[name][len(head) :]).decode("utf-8")
        self._fields = fields
        self._name = name
        self._head = head

    def __getitem__(self, key: object) -> str:
        return self._text

    def __setitem__(self, key: object, text: str) -> None:
        self._text = text
        self._fields[self._name] = self._head + base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")


def spoken(doc: dict[str, Any], outside: frozenset[str] = frozenset()) -> Iterator[Said]:
    """Every text of a request body of any dialect, keys of what nobody knows included, in its order. outside: pointers
    of texts that nobody vouches for although the dialect cannot say so, see `carried_in`."""
    for said in _spoken(doc):
        if said.where in outside:
            said.speaker = UNTRUSTED
        yield said


def carried_in(client: dict[str, Any], written: dict[str, Any]) -> frozenset[str]:
    """Pointers of texts in a translated body that nobody vouches for, as the client's own body says: documents and
    search results have become texts of the message around them where the other dialect has no such blocks."""
    outside = [said.text for said in _spoken(client) if said.speaker == UNTRUSTED and said.text]
    if not outside:
        return frozenset()
    texts = list(_spoken(written))
    told = "\n".join(["", *(said.text for said in texts if said.speaker == UNTRUSTED), ""])
    missing = [f"\n{text}\n" for text in outside if f"\n{text}\n" not in told]
    return frozenset(
        said.where for said in texts if said.speaker == USER and any(text in f"\n{said.text}\n" for text in missing)
    )


def _spoken(doc: dict[str, Any]) -> Iterator[Said]:
    for key, value in doc.items():
        if key in ("messages", "input") and isinstance(value, list):
            for at, turn in enumerate(cast("list[Any]", value)):
                where = f"/{key}/{at}"
                speaker = _speaker(turn, USER)
                yield from _member(speaker, value, at, where, where, 0)
        elif key not in _NO_TEXT:
            yield from _member(_TOP.get(key, USER), doc, key, f"/{key}", f"/{key}", 0)


def _speaker(value: Any, otherwise: str) -> str:
    """Who speaks in a turn, an item or a block."""
    if not isinstance(value, dict):
        return otherwise
    fields = cast("dict[str, Any]", value)
    kind = fields.get("type")
    if isinstance(kind, str):
        if kind in _OUTSIDE or kind.endswith(_OUTSIDE_ENDS):
            return UNTRUSTED
        if kind in _OWN and otherwise != UNTRUSTED:
            return MODEL
    role = fields.get("role")
    return _ROLES.get(role, USER) if isinstance(role, str) else otherwise


def _member(speaker: str, holder: Any, key: Any, where: str, turn: str, depth: int) -> Iterator[Said]:
    value = holder[key]
    if isinstance(value, str):
        if value:
            yield Said(speaker, holder, key, where, turn)
        return
    if depth >= DEPTH_MAX:
        return
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        inside = _speaker(fields, speaker)
        for name in fields:
            if inside == UNTRUSTED and name in _MEDIA and fields.get("type") != "text":
                yield _file(fields, name, f"{where}/{name}", turn)
            elif name not in _NO_TEXT or (name == "data" and fields.get("type") == "text"):
                yield from _member(inside, fields, name, f"{where}/{_escaped(name)}", turn, depth + 1)
        yield from _keys(inside, fields, where, turn)
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        for at, item in enumerate(items):
            yield from _member(_speaker(item, speaker), items, at, f"{where}/{at}", turn, depth + 1)


def _file(fields: dict[str, Any], name: str, where: str, turn: str) -> Said:
    """What came from outside and is no string of text: a file of text, or something that only a model reads."""
    data = fields[name]
    if isinstance(data, str) and name in ("data", "file_data"):
        head = _TEXT_FILE.match(data)
        if head is not None or str(fields.get("media_type")).startswith(_TEXT_TYPES):
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                return Said(UNTRUSTED, _TextFile(fields, name, head[0] if head is not None else ""), 0, where, turn)
    return Said(UNTRUSTED, [""], 0, where, turn)


# A key of more words than a name has may be a sentence.
_KEY_CHARS_MIN = 12


def _keys(speaker: str, fields: dict[str, Any], where: str, turn: str) -> Iterator[Said]:
    for name in fields:
        if len(name) >= _KEY_CHARS_MIN and " " in name:
            yield Said(speaker, [name], 0, f"{where}/{_escaped(name)[:80]}", turn)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def system_prompt(doc: dict[str, Any]) -> str:
    """What the operator says, all of it."""
    return "\n".join(said.text for said in spoken(doc) if said.speaker == SYSTEM)


def others(doc: dict[str, Any]) -> str:
    """What anybody but the operator and its tools says."""
    return "\n".join(said.text for said in spoken(doc) if said.speaker in (USER, UNTRUSTED))
