"""Requests of the Responses API, to and from the hub."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import Message, OutputFormat, Request, Text, Tool, ToolChoice
from signalbox.wire.dialect import Target
from signalbox.wire.fields import read_metadata
from signalbox.wire.limits import refuse_what_target_cannot
from signalbox.wire.openai_models import SERVICE_TIERS, effort, is_openai, is_reasoning, sampling, takes_verbosity
from signalbox.wire.responses_envelope import read_max_tokens
from signalbox.wire.responses_items import ItemsReader, note, note_unknown, write_items

# Read below, or without meaning once the call is translated (`store: false` and how the bytes are streamed).
_READ = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "text",
        "reasoning",
        "store",
        "stream_options",
        "user",
        "safety_identifier",
        "service_tier",
        "metadata",
        "prompt_cache_key",
    }
)
_TOOL_FIELDS = frozenset({"type", "name", "description", "parameters", "strict", "format"})
# State that only the provider who keeps it can honour.
_STATEFUL = ("previous_response_id", "conversation", "background", "prompt", "moderation")


def read_request(doc: dict[str, Any]) -> Request:
    """Raises BadRequest for what is malformed and Unsupported for what only a Responses deployment could do."""
    dropped: list[str] = []
    for name in _STATEFUL:
        if doc.get(name):
            raise Unsupported(
                f"'{name}' needs a deployment that speaks the Responses API; none is permitted here.", param=name
            )
    for name, value in doc.items():
        if name not in _READ and name not in _STATEFUL and value is not None:
            note(dropped, name)
    if doc.get("store") is True:
        note(dropped, "store")
    items = _items(doc, dropped)
    request = Request(
        messages=tuple(items.messages),
        system=tuple(items.system),
        tools=_tools(doc, items, dropped),
        parallel_tool_calls=_optional(doc, "parallel_tool_calls", bool),
        max_tokens=read_max_tokens(doc),
        temperature=_number(doc, "temperature"),
        top_p=_number(doc, "top_p"),
        user=_optional(doc, "user", str) or _optional(doc, "safety_identifier", str),
        stream=doc.get("stream") is True,
        service_tier=_optional(doc, "service_tier", str),
        metadata=read_metadata(doc),
        prompt_cache_key=_optional(doc, "prompt_cache_key", str),
        dropped=dropped,
    )
    _tool_choice(doc.get("tool_choice"), request)
    _text(doc, request)
    _reasoning(doc, request)
    return request


def _items(doc: dict[str, Any], dropped: list[str]) -> ItemsReader:
    reader = ItemsReader(dropped)
    instructions = _optional(doc, "instructions", str)
    if instructions:
        reader.system.append(Text(instructions))
    value = doc.get("input")
    if isinstance(value, str):
        reader.messages.append(Message("user", (Text(value),)))
        return reader
    if not isinstance(value, list):
        raise BadRequest("'input' must be a string or an array.", param="input")
    reader.read(cast("list[Any]", value))
    if not reader.messages:
        raise BadRequest("'input' must hold at least one message.", param="input")
    return reader


def _tools(doc: dict[str, Any], items: ItemsReader, dropped: list[str]) -> tuple[Tool, ...]:
    value = doc.get("tools")
    if value is None:
        value = []
    if not isinstance(value, list):
        raise BadRequest("'tools' must be an array.", param="tools")
    declared = [(tool, f"tools[{i}]") for i, tool in enumerate(cast("list[Any]", value))]
    return tuple(_tool(tool, where, dropped) for tool, where in (*declared, *items.tools))


def _tool(value: object, where: str, dropped: list[str]) -> Tool:
    if not isinstance(value, dict):
        raise BadRequest(f"'{where}' must be an object.", param=where)
    tool = cast("dict[str, Any]", value)
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        raise Unsupported(
            f"Tools of type '{kind}' need a deployment that speaks the Responses API; none is permitted here.",
            param=where,
        )
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest(f"'{where}.name' must be a string.", param=f"{where}.name")
    description = tool.get("description")
    description = description if isinstance(description, str) else None
    note_unknown(dropped, tool, _TOOL_FIELDS, "tools.")
    if kind == "custom":
        return _freeform(tool, name, description)
    parameters = tool.get("parameters")
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    if isinstance(parameters, dict):
        schema = cast("dict[str, Any]", parameters)
    elif parameters is not None:
        raise BadRequest(f"'{where}.parameters' must be an object.", param=f"{where}.parameters")
    strict = tool.get("strict")
    return Tool(name, description, schema, strict if isinstance(strict, bool) else None)


def _freeform(tool: dict[str, Any], name: str, description: str | None) -> Tool:
    """A tool that takes plain text becomes a function of one string; its grammar becomes words for the model."""
    said = "The input of the tool, as plain text."
    form = tool.get("format")
    if isinstance(form, dict):
        grammar = cast("dict[str, Any]", form)
        if grammar.get("type") == "grammar":
            said = f"Plain text that matches this {grammar.get('syntax')} grammar:\n{grammar.get('definition')}"
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"input": {"type": "string", "description": said}},
        "required": ["input"],
        "additionalProperties": False,
    }
    return Tool(name, description, schema, freeform=True)


def _tool_choice(value: object, request: Request) -> None:
    if value is None:
        return
    if value in ("auto", "none", "required"):
        request.tool_choice = ToolChoice(cast("str", value))
        return
    choice = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    kind, name = choice.get("type"), choice.get("name")
    if kind in ("function", "custom") and isinstance(name, str):
        request.tool_choice = ToolChoice("named", name)
    elif kind == "allowed_tools" and choice.get("mode") in ("auto", "required"):
        request.tools = _allowed(choice.get("tools"), request.tools)
        request.tool_choice = ToolChoice(choice["mode"])
    elif isinstance(kind, str):
        raise Unsupported(f"'tool_choice' of type '{kind}' cannot be carried to another protocol.", param="tool_choice")
    else:
        raise BadRequest("'tool_choice' must be auto, none, required or an object.", param="tool_choice")


def _allowed(names: object, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """Only the named tools are offered at all: the same choice for the model, without a parameter of its own."""
    if not isinstance(names, list):
        raise BadRequest("'tool_choice.tools' must be an array.", param="tool_choice.tools")
    entries = [cast("dict[str, Any]", n) if isinstance(n, dict) else {} for n in cast("list[Any]", names)]
    if any(entry.get("type") not in ("function", "custom") for entry in entries):
        raise Unsupported("'tool_choice.tools' may only name functions here.", param="tool_choice.tools")
    wanted = [entry.get("name") for entry in entries]
    return tuple(tool for tool in tools if tool.name in wanted)


def _text(doc: dict[str, Any], request: Request) -> None:
    text = _optional(doc, "text", dict)
    if text is None:
        return
    for name, value in text.items():
        if name == "verbosity":
            request.verbosity = _optional({"text.verbosity": value}, "text.verbosity", str)
        elif name != "format" and value is not None:
            note(request.dropped, f"text.{name}")
    form = text.get("format")
    if form is None:
        return
    fields = cast("dict[str, Any]", form) if isinstance(form, dict) else {}
    match fields.get("type"):
        case "text":
            pass
        case "json_object":
            request.output_format = OutputFormat("json_object")
        case "json_schema":
            schema = fields.get("schema")
            if not isinstance(schema, dict):
                raise BadRequest("'text.format.schema' must be an object.", param="text.format.schema")
            request.output_format = OutputFormat(
                "json_schema",
                name=_optional(fields, "name", str),
                schema=cast("dict[str, Any]", schema),
                strict=_optional(fields, "strict", bool),
                description=_optional(fields, "description", str),
            )
        case kind:
            raise Unsupported(f"'text.format' of type '{kind}' cannot be carried.", param="text.format")


def _reasoning(doc: dict[str, Any], request: Request) -> None:
    reasoning: dict[str, Any] = _optional(doc, "reasoning", dict) or {}
    for name, value in reasoning.items():
        if value is None:
            continue
        if name == "effort":
            request.reasoning_effort = _optional({"reasoning.effort": value}, "reasoning.effort", str)
        else:
            note(request.dropped, f"reasoning.{name}")


def _optional(fields: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = fields.get(name)
    if value is None or isinstance(value, kind):
        return value
    words = {str: "a string", bool: "a boolean", dict: "an object"}
    raise BadRequest(f"'{name}' must be {words[kind]}.", param=name)


def _number(doc: dict[str, Any], name: str) -> float | None:
    value = doc.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"'{name}' must be a number.", param=name)
    return value


def write_request(request: Request, target: Target) -> bytes:
    """A body for a Responses deployment. It stores nothing and asks for nothing beyond the answer."""
    refuse_what_target_cannot(request, target, "the Responses API")
    dropped = request.dropped
    body: dict[str, Any] = {"model": target.model, "input": write_items(request.messages, dropped), "store": False}
    if any(text.cache for text in request.system):
        note(dropped, "cache_control")
    if request.system:
        body["instructions"] = "\n\n".join(text.text for text in request.system)
    if request.stream:
        body["stream"] = True
    choice = request.tool_choice
    if request.tools:
        body["tools"] = [_write_tool(tool) for tool in request.tools]
    elif choice is not None and choice.mode in ("required", "named"):
        raise BadRequest("'tool_choice' demands a tool, but there are no tools.", param="tool_choice")
    if choice is not None:
        body["tool_choice"] = {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode
    _write_text(body, request, target.model)
    _write_effort(body, request, target.model)
    body |= _sampling(request, target.model)
    _write_scalars(request, body)
    for name in ("top_k", "seed", "stop"):
        if getattr(request, name) not in (None, ()):
            note(dropped, name)
    return msgspec.json.encode(body)


def _write_text(body: dict[str, Any], request: Request, model: str) -> None:
    text: dict[str, Any] = {}
    if request.output_format is not None:
        text["format"] = _write_format(request.output_format)
    if request.verbosity is not None:
        if not is_openai(model) or takes_verbosity(model):
            text["verbosity"] = request.verbosity
        else:
            note(request.dropped, "verbosity")
    if text:
        body["text"] = text


def _write_effort(body: dict[str, Any], request: Request, model: str) -> None:
    wanted = effort(request)
    if wanted is None:
        return
    if not is_openai(model) or is_reasoning(model):
        body["reasoning"] = {"effort": wanted}
    elif wanted != "none":
        note(request.dropped, "reasoning_effort" if request.reasoning_effort is not None else "thinking")


def _sampling(request: Request, model: str) -> dict[str, float]:
    """This API has no penalties, whatever the model."""
    kept = sampling(request, model)
    for name in ("presence_penalty", "frequency_penalty"):
        if kept.pop(name, None):
            note(request.dropped, name)
    return kept


def _write_scalars(request: Request, body: dict[str, Any]) -> None:
    for name, value in (
        ("parallel_tool_calls", request.parallel_tool_calls),
        ("max_output_tokens", request.max_tokens),
        ("user", request.user),
        ("metadata", request.metadata),
        ("prompt_cache_key", request.prompt_cache_key),
    ):
        if value is not None:
            body[name] = value
    if request.service_tier in SERVICE_TIERS:
        body["service_tier"] = request.service_tier
    elif request.service_tier is not None:
        note(request.dropped, "service_tier")


def _write_tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "function", "name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        written["description"] = tool.description
    # Silence means strict on this wire and not strict on the others: a schema must not change its meaning here.
    written["strict"] = tool.strict is True
    return written


def _write_format(form: OutputFormat) -> dict[str, Any]:
    if form.kind == "json_object":
        return {"type": "json_object"}
    written: dict[str, Any] = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema or {}}
    if form.strict is not None:
        written["strict"] = form.strict
    if form.description is not None:
        written["description"] = form.description
    return written
