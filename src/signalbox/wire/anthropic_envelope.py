"""What a Messages body asks for beyond the model's answer, read before any decision is taken.

Fields that this version does not know never break it: the API's clients grow faster than we do.
"""

from __future__ import annotations

import re
from typing import Any, cast

from signalbox.core.call import Envelope
from signalbox.core.errors import BadRequest
from signalbox.wire.body_scan import BodyScan

MAX_TOKENS_MAX = 1 << 31

# Dated versions of a tool family run in the same place, so the family decides.
_VERSIONED = re.compile(r"(.+)_\d{8}")
# Tools that the caller runs, or that only choose among the caller's tools: nothing goes further than the model.
_CLIENT_FAMILIES = frozenset(
    {
        "custom",
        "bash",
        "text_editor",
        "computer",
        "memory",
        "browser_toolset",
        "computer_toolset",
        "tool_search_tool_bm25",
        "tool_search_tool_regex",
    }
)
# Tools that the provider runs, by the name that rules see.
_PROVIDER_FAMILIES = {
    "web_search": "web_search",
    "web_fetch": "web_fetch",
    "code_execution": "code_interpreter",
    "advisor": "advisor",
    "mcp_toolset": "mcp",
}
# Blocks whose whole content is string literals that detectors read.
_READABLE = frozenset(
    {
        "text",
        "tool_use",
        "server_tool_use",
        "mcp_tool_use",
        "mcp_tool_listing",
        "tool_reference",
        "tool_removal",
        "fallback",
        "browser_state",
    }
)
# Blocks that a provider has encrypted for itself.
_ENCRYPTED = frozenset({"redacted_thinking", "compaction"})
# Blocks that hold further blocks in `content`.
_NESTING = frozenset({"tool_result", "mcp_tool_result", "search_result"})


def read_envelope(doc: dict[str, Any], *, counting: bool = False) -> Envelope:
    """Raises BadRequest for wrong types of what must be understood; the rest is the upstream's to judge.

    counting: the body asks for a token count: no `max_tokens`, never a stream.
    """
    stream = doc.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("stream: Input should be a valid boolean", param="stream")
    scan = BodyScan()
    _parameters(doc, scan)
    _tools(doc.get("tools"), scan)
    _content(doc.get("system"), "system", scan)
    for position, message in enumerate(read_messages(doc)):
        _content(message.get("content"), f"messages.{position}.content", scan)
    return Envelope(
        stream=stream is True and not counting,
        max_tokens=None if counting else read_max_tokens(doc),
        onward=tuple(scan.onward),
        unknown_tools=tuple(scan.unknown_tools),
        opaque=scan.opaque,
        stateful=tuple(scan.stateful),
        media=scan.media,
    )


def read_max_tokens(doc: dict[str, Any]) -> int:
    """`max_tokens`, checked. 0 is allowed: it fills the prompt cache. Raises BadRequest."""
    value = doc.get("max_tokens")
    if value is None:
        raise BadRequest("max_tokens: Field required", param="max_tokens")
    if type(value) is not int:
        raise BadRequest("max_tokens: Input should be a valid integer", param="max_tokens")
    if not 0 <= value <= MAX_TOKENS_MAX:
        raise BadRequest(f"max_tokens: must be between 0 and {MAX_TOKENS_MAX}", param="max_tokens")
    return value


def read_messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
    """`messages`, checked to be a non-empty list of objects. Raises BadRequest."""
    messages = doc.get("messages")
    if messages is None:
        raise BadRequest("messages: Field required", param="messages")
    if not isinstance(messages, list):
        raise BadRequest("messages: Input should be a valid array", param="messages")
    if not messages:
        raise BadRequest("messages: at least one message is required", param="messages")
    for position, message in enumerate(cast("list[Any]", messages)):
        if not isinstance(message, dict):
            where = f"messages.{position}"
            raise BadRequest(f"{where}: Input should be an object", param=where)
    return cast("list[dict[str, Any]]", messages)


def tool_family(kind: str) -> str:
    """A tool type without its date."""
    match = _VERSIONED.fullmatch(kind)
    return match[1] if match else kind


def _parameters(doc: dict[str, Any], scan: BodyScan) -> None:
    onward = scan.onward
    if doc.get("mcp_servers"):
        onward["mcp"] = None
    container: object = doc.get("container")
    if container:
        onward["container"] = None
        _bind(container if isinstance(container, str) else _fields(container).get("id"), scan)
    thread: object = doc.get("thread")
    if thread:
        # The provider keeps the conversation, and `store: false` does not exist here.
        onward["thread"] = None
        _bind(_fields(thread).get("previous_message_id"), scan)
    if doc.get("inference_geo"):
        # Moves the processing to a region of the caller's choice, whatever the deployment's environment says.
        onward["inference_geo"] = None
    if doc.get("fallbacks"):
        onward["fallbacks"] = None


def _fields(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _bind(name: object, scan: BodyScan) -> None:
    if isinstance(name, str):
        scan.stateful[name] = None


def _tools(tools: object, scan: BodyScan) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise BadRequest("tools: Input should be a valid array", param="tools")
    for position, tool in enumerate(cast("list[Any]", tools)):
        if not isinstance(tool, dict):
            where = f"tools.{position}"
            raise BadRequest(f"{where}: Input should be an object", param=where)
        _tool(cast("dict[str, Any]", tool), f"tools.{position}", scan)


def _tool(tool: dict[str, Any], where: str, scan: BodyScan) -> None:
    kind = tool.get("type")
    if kind is None or kind == "custom":
        return
    if not isinstance(kind, str):
        raise BadRequest(f"{where}.type: Input should be a valid string", param=f"{where}.type")
    family = tool_family(kind)
    if family in _CLIENT_FAMILIES:
        return
    name = _PROVIDER_FAMILIES.get(family)
    if name is None:
        scan.unknown_tools[kind] = None
    else:
        scan.onward[name] = None


def _content(content: object, where: str, scan: BodyScan) -> None:
    """Walks one content value and every block nested in it, without recursion."""
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise BadRequest(f"{where}: Input should be a valid string or array", param=where)
    waiting = [cast("list[Any]", content)]
    while waiting:
        for position, block in enumerate(waiting.pop()):
            if not isinstance(block, dict):
                raise BadRequest(f"{where}.{position}: Input should be an object", param=f"{where}.{position}")
            nested = _block(cast("dict[str, Any]", block), where, scan)
            if isinstance(nested, list):
                waiting.append(cast("list[Any]", nested))


def _block(block: dict[str, Any], where: str, scan: BodyScan) -> object:
    """Takes note of one block; returns the content nested in it, if any."""
    kind = block.get("type")
    if kind in _READABLE:
        return None
    if kind in _NESTING:
        return block.get("content")
    if kind == "image" or kind == "document":
        return _source(block.get("source"), "image_url" if kind == "image" else "file_url", scan)
    if kind == "thinking":
        # With its text withheld, the signature is the encrypted thought.
        if not block.get("thinking") and block.get("signature"):
            scan.opaque = True
        return None
    if kind == "tool_addition":
        _tool(_fields(_fields(block.get("tool")).get("definition")), f"{where}.tool.definition", scan)
        return None
    if kind == "container_upload":
        _file(block.get("file_id"), scan)
    elif kind == "compaction" and not block.get("encrypted_content") and not block.get("signature"):
        return None
    # Redacted thinking, encrypted results of the provider's own tools, and whatever a later version brings.
    scan.opaque = True
    scan.media |= not (kind in _ENCRYPTED or (isinstance(kind, str) and kind.endswith("_tool_result")))
    return None


def _source(source: object, url_name: str, scan: BodyScan) -> object:
    """Where an image or a document comes from; returns the content nested in it, if any."""
    fields = _fields(source)
    kind = fields.get("type")
    if kind == "text":
        return None
    if kind == "content":
        return fields.get("content")
    scan.opaque = scan.media = True
    if kind == "url":
        url = fields.get("url")
        if not (isinstance(url, str) and url[:5].lower() == "data:"):
            scan.onward[url_name] = None
    elif kind == "file":
        _file(fields.get("file_id"), scan)
    return None


def _file(file_id: object, scan: BodyScan) -> None:
    scan.onward["file_id"] = None
    _bind(file_id, scan)
