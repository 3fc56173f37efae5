"""Who says what in a request: every text of a body, with whether the operator, the caller, the model or nobody we know
speaks there.

What the operator says is the system prompt. What nobody vouches for is the content of tool results, documents and
search results. Names of files, keys and fields that this version does not know count as the caller's.
"""

from __future__ import annotations

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
        "document", "search_result", "web_search_call", "file_search_call", "mcp_call", "mcp_list_tools",
        "code_interpreter_call",
    )
)  # fmt: skip
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


def spoken(doc: dict[str, Any]) -> Iterator[Said]:
    """Every text of a request body of any dialect, keys of what nobody knows included, in its order."""
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
        if kind in _OUTSIDE:
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
            if name not in _NO_TEXT or (name == "data" and fields.get("type") == "text"):
                yield from _member(inside, fields, name, f"{where}/{_escaped(name)}", turn, depth + 1)
        yield from _keys(inside, fields, where, turn)
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        for at, item in enumerate(items):
            yield from _member(_speaker(item, speaker), items, at, f"{where}/{at}", turn, depth + 1)


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
