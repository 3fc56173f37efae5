"""A Messages body read into the hub's request, for a deployment that speaks another protocol.

What shapes the answer's contract and has no place in the hub is refused with core.errors.Unsupported; what only tunes
it is named in `Request.dropped`.
"""

from __future__ import annotations

import re
from typing import Any, cast

from signalbox.core.errors import BadRequest, NoThreads, Unsupported
from signalbox.core.hub import Message, OutputFormat, Part, Request, Text, Tool, ToolChoice
from signalbox.wire.anthropic_envelope import read_max_tokens, read_messages
from signalbox.wire.anthropic_read_blocks import BlockReader

# Read below.
_READ = frozenset(
    {
        "model",
        "messages",
        "system",
        "max_tokens",
        "stream",
        "tools",
        "tool_choice",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
    }
)
# Change what is done, for whom, or where: never left out quietly.
_CONTRACT = ("mcp_servers", "container", "thread", "compaction", "inference_geo", "billing_policy")
_TOOL_FIELDS = frozenset({"type", "name", "description", "input_schema", "strict"})
_HEADER_SAFE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DROPPED_MAX = 32
_TIERS = {"auto": "auto", "standard_only": "default"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}


def read_request(doc: dict[str, Any], *, counting: bool = False) -> Request:
    """Raises BadRequest for a malformed body, Unsupported for what another protocol cannot carry."""
    dropped: dict[str, None] = {}
    if doc.get("thread"):
        raise NoThreads("thread is not available on the deployments this call may use", param="thread")
    for name in _CONTRACT:
        if doc.get(name):
            raise Unsupported(f"{name} is not available on the deployments this call may use", param=name)
    for name, value in doc.items():
        if name not in _READ and name not in _CONTRACT and value is not None and len(dropped) < _DROPPED_MAX:
            dropped[_told(name)] = None
    blocks = BlockReader(dropped)
    system, messages = _conversation(doc, blocks, dropped)
    choice, parallel = _tool_choice(doc.get("tool_choice"))
    budget, effort = _thinking(doc, dropped)
    user = _metadata(doc.get("metadata"), dropped)
    return Request(
        messages=messages,
        system=system,
        tools=_tools(doc.get("tools"), dropped),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output_format=_output_format(doc),
        max_tokens=None if counting else read_max_tokens(doc),
        temperature=_number(doc, "temperature", 0.0, 1.0),
        top_p=_number(doc, "top_p", 0.0, 1.0),
        top_k=_whole(doc, "top_k"),
        stop=_stop(doc.get("stop_sequences")),
        thinking_budget=budget,
        reasoning_effort=effort,
        user=user,
        stream=doc.get("stream") is True and not counting,
        include_usage=True,
        service_tier=_service_tier(doc.get("service_tier")),
        dropped=list(dropped),
    )


def _conversation(
    doc: dict[str, Any], blocks: BlockReader, dropped: dict[str, None]
) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
    system = _system(doc.get("system"), "system", blocks)
    messages: list[Message] = []
    for position, message in enumerate(read_messages(doc)):
        where = f"messages.{position}"
        role = message.get("role")
        content = message.get("content")
        if role == "system":
            # The hub has one place for instructions, before the conversation.
            system.extend(_system(content, f"{where}.content", blocks))
            dropped["system_position"] = None
            continue
        if role not in ("user", "assistant"):
            raise BadRequest(f"{where}.role: Input should be 'user', 'assistant' or 'system'", param=f"{where}.role")
        if content is None:
            raise BadRequest(f"{where}.content: Field required", param=f"{where}.content")
        parts: tuple[Part, ...] = tuple(blocks.read(content, f"{where}.content"))
        messages.append(Message(cast("str", role), parts))
    return tuple(system), tuple(messages)


def _system(content: object, where: str, blocks: BlockReader) -> list[Text]:
    if content is None:
        return []
    texts: list[Text] = []
    for part in blocks.read(content, where):
        if not isinstance(part, Text):
            raise Unsupported(f"{where}: only text can be carried to the deployments this call may use", param=where)
        texts.append(part)
    return texts


def _tools(tools: object, dropped: dict[str, None]) -> tuple[Tool, ...]:
    if not tools:
        return ()
    if not isinstance(tools, list):
        raise BadRequest("tools: Input should be a valid array", param="tools")
    read: list[Tool] = []
    for position, item in enumerate(cast("list[Any]", tools)):
        where = f"tools.{position}"
        if not isinstance(item, dict):
            raise BadRequest(f"{where}: Input should be an object", param=where)
        tool = cast("dict[str, Any]", item)
        kind = tool.get("type")
        if kind is not None and kind != "custom":
            raise Unsupported(
                f"{where}: tools of type {str(kind)[:64]!r} are not available on the deployments this call may use",
                param="tools",
            )
        name, schema, description = tool.get("name"), tool.get("input_schema"), tool.get("description")
        if not isinstance(name, str) or not name:
            raise BadRequest(f"{where}.name: Field required", param=f"{where}.name")
        if not isinstance(schema, dict):
            raise BadRequest(f"{where}.input_schema: Field required", param=f"{where}.input_schema")
        for field, value in tool.items():
            if field not in _TOOL_FIELDS and value and len(dropped) < _DROPPED_MAX:
                dropped[_told(field, "tools.")] = None
        strict = tool.get("strict")
        read.append(
            Tool(
                name,
                description if isinstance(description, str) else None,
                cast("dict[str, Any]", schema),
                strict if isinstance(strict, bool) else None,
            )
        )
    return tuple(read)


def _tool_choice(value: object) -> tuple[ToolChoice | None, bool | None]:
    if value is None:
        return None, None
    choice = _object(value, "tool_choice")
    mode = _CHOICES.get(str(choice.get("type")))
    if mode is None:
        raise BadRequest("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'", param="tool_choice")
    name = choice.get("name")
    if mode == "named" and not isinstance(name, str):
        raise BadRequest("tool_choice.name: Field required", param="tool_choice")
    disabled = choice.get("disable_parallel_tool_use")
    return ToolChoice(mode, name if mode == "named" else None), None if disabled is None else not disabled


def _output_format(doc: dict[str, Any]) -> OutputFormat | None:
    """`output_config.format`, or `output_format` as it was called while in beta."""
    config = doc.get("output_config")
    value = _object(config, "output_config").get("format") if config is not None else None
    if value is None:
        value = doc.get("output_format")
    if value is None:
        return None
    wanted = _object(value, "output_config.format")
    schema = wanted.get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
        raise BadRequest("output_config.format: Input should be a json_schema with a schema", param="output_config")
    return OutputFormat("json_schema", name="answer", schema=cast("dict[str, Any]", schema), strict=True)


def _thinking(doc: dict[str, Any], dropped: dict[str, None]) -> tuple[int | None, str | None]:
    """Thinking budget in tokens (0 for none) and effort."""
    effort = None
    config = doc.get("output_config")
    if config is not None:
        fields = _object(config, "output_config")
        given = fields.get("effort")
        effort = given if isinstance(given, str) else None
        for name in fields:
            if name not in ("effort", "format"):
                dropped[_told(name, "output_config.")] = None
    value = doc.get("thinking")
    if value is None:
        return None, effort
    thinking = _object(value, "thinking")
    kind = thinking.get("type")
    if thinking.get("display") == "omitted":
        dropped["thinking.display"] = None
    if kind == "disabled":
        return 0, effort
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if type(budget) is not int or budget < 0:
            raise BadRequest("thinking.budget_tokens: Input should be a valid integer", param="thinking")
        return budget, effort
    if kind != "adaptive" or effort is None:
        # Of adaptive thinking other protocols know the effort alone.
        dropped["thinking"] = None
    return None, effort


def _told(name: str, prefix: str = "") -> str:
    """What a field that is left out is called in a header."""
    return f"{prefix}{name}" if _HEADER_SAFE.fullmatch(name) else "other"


def _metadata(value: object, dropped: dict[str, None]) -> str | None:
    if value is None:
        return None
    fields = _object(value, "metadata")
    if any(name != "user_id" and given is not None for name, given in fields.items()):
        dropped["metadata"] = None
    user = fields.get("user_id")
    return user if isinstance(user, str) else None


def _service_tier(value: object) -> str | None:
    return None if value is None else _TIERS.get(str(value), "auto")


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[Any]", value)):
        raise BadRequest("stop_sequences: Input should be an array of strings", param="stop_sequences")
    return tuple(cast("list[str]", value))


def _number(doc: dict[str, Any], name: str, low: float, high: float) -> float | None:
    value = doc.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not low <= value <= high:
        raise BadRequest(f"{name}: Input should be a number from {low:g} to {high:g}", param=name)
    return float(value)


def _whole(doc: dict[str, Any], name: str) -> int | None:
    value = doc.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise BadRequest(f"{name}: Input should be a valid integer", param=name)
    return value


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{where}: Input should be an object", param=where.split(".", 1)[0])
    return cast("dict[str, Any]", value)
