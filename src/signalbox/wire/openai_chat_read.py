"""A chat completions body read into the hub's request, for a deployment that speaks another protocol.

What shapes the answer's contract and has no place in the hub is refused with core.errors.Unsupported; what only tunes
it is named in `Request.dropped`.
"""

from __future__ import annotations

import re
from typing import Any, cast

from signalbox.core.errors import Unsupported
from signalbox.core.hub import OutputFormat, Request, Tool, ToolChoice
from signalbox.wire.fields import (
    Fields,
    array,
    as_array,
    as_object,
    as_text,
    flag,
    integer,
    number,
    obj,
    read_metadata,
    text,
    wrong,
)
from signalbox.wire.openai_chat_envelope import N_MAX, read_max_tokens, read_messages
from signalbox.wire.openai_chat_messages import read_conversation
from signalbox.wire.responses_items import DROPPED_MAX, note, note_unknown

STOP_MAX = 64
_SEED_MAX = 1 << 63
_HEADER_SAFE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# Read below, or without meaning once the call is translated.
_READ = frozenset(
    {
        "model", "messages", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls",
        "response_format", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "seed",
        "presence_penalty", "frequency_penalty", "stop", "n", "reasoning_effort", "user", "safety_identifier",
        "service_tier", "metadata", "prompt_cache_key", "verbosity",
    }
)  # fmt: skip
_TOOL_FIELDS = frozenset({"type", "function", "custom"})
_FUNCTION_FIELDS = frozenset({"name", "description", "parameters", "strict", "format"})
# Change what the answer is or who else gets the content: never left out quietly.
_CONTRACT = (
    "functions", "function_call", "audio", "web_search_options", "search_parameters", "moderation", "plugins",
    "mcp_servers", "documents", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs",
    "grammar", "json_schema", "conversation", "background",
)  # fmt: skip


def read_request(doc: Fields) -> Request:
    """Raises BadRequest for a malformed body, Unsupported for what another protocol cannot carry."""
    _refuse_contract(doc)
    dropped: list[str] = []
    for name, value in doc.items():
        if name not in _READ and value is not None and value is not False and len(dropped) < DROPPED_MAX:
            if name == "modalities":
                continue
            note(dropped, name if _HEADER_SAFE.fullmatch(name) else "other")
    conversation = read_conversation(read_messages(doc), dropped)
    tools, choice = _tool_choice(doc.get("tool_choice"), _tools(doc, dropped))
    options = obj(doc, "stream_options") or {}
    return Request(
        messages=tuple(conversation.messages),
        system=tuple(conversation.system),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=flag(doc, "parallel_tool_calls"),
        output_format=_output_format(doc),
        max_tokens=read_max_tokens(doc),
        temperature=number(doc, "temperature", 0, 2),
        top_p=number(doc, "top_p", 0, 1),
        top_k=integer(doc, "top_k", -1, 1 << 31),
        seed=integer(doc, "seed", -_SEED_MAX, _SEED_MAX - 1),
        presence_penalty=number(doc, "presence_penalty", -2, 2),
        frequency_penalty=number(doc, "frequency_penalty", -2, 2),
        stop=read_stop(doc),
        reasoning_effort=text(doc, "reasoning_effort"),
        verbosity=text(doc, "verbosity"),
        user=text(doc, "user") or text(doc, "safety_identifier"),
        stream=flag(doc, "stream") is True,
        include_usage=flag(options, "include_usage", "stream_options.") is True,
        service_tier=text(doc, "service_tier"),
        metadata=read_metadata(doc),
        prompt_cache_key=text(doc, "prompt_cache_key"),
        dropped=dropped,
    )


def read_stop(doc: Fields) -> tuple[str, ...]:
    value = doc.get("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    found = as_array(value, "stop")
    if len(found) > STOP_MAX:
        raise wrong("stop", f"at most {STOP_MAX} strings")
    return tuple(as_text(item, f"stop[{position}]") for position, item in enumerate(found))


def _refuse_contract(doc: Fields) -> None:
    for name in _CONTRACT:
        # An empty object switches a feature on with its defaults, as in `web_search_options: {}`.
        if (value := doc.get(name)) or value == {}:
            raise Unsupported(f"'{name}' is not available on the deployments this call may use.", param=name)
    modalities = array(doc, "modalities")
    if modalities and modalities != ["text"]:
        raise Unsupported("Only text answers are available on the deployments this call may use.", param="modalities")
    if (integer(doc, "n", 1, N_MAX) or 1) > 1:
        raise Unsupported("'n' above 1 is not available on the deployments this call may use.", param="n")


def _tools(doc: Fields, dropped: list[str]) -> tuple[Tool, ...]:
    return tuple(_tool(item, f"tools[{position}]", dropped) for position, item in enumerate(array(doc, "tools") or ()))


def _tool(item: object, where: str, dropped: list[str]) -> Tool:
    tool = as_object(item, where)
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        raise Unsupported(
            f"Tools of type {str(kind)[:64]!r} are not available on the deployments this call may use.", param="tools"
        )
    where = f"{where}.{kind}"
    fields = as_object(tool.get(cast(str, kind)), where)
    name = as_text(fields.get("name"), f"{where}.name")
    if not name:
        raise wrong(f"{where}.name", "a string that is not empty")
    description = text(fields, "description", f"{where}.")
    note_unknown(dropped, tool, _TOOL_FIELDS, "tools.")
    note_unknown(dropped, fields, _FUNCTION_FIELDS, "tools.")
    if kind == "custom":
        return Tool(name, description, _freeform_parameters(fields, where), freeform=True)
    parameters = obj(fields, "parameters", f"{where}.")
    return Tool(
        name,
        description,
        {"type": "object", "properties": {}} if parameters is None else parameters,
        flag(fields, "strict", f"{where}."),
    )


def _freeform_parameters(fields: Fields, where: str) -> dict[str, Any]:
    """A tool that takes plain text becomes a function of one string; its grammar becomes words for the model."""
    said = "The input of the tool, as plain text."
    form = obj(fields, "format", f"{where}.")
    if form is not None and form.get("type") == "grammar":
        grammar = as_object(form.get("grammar"), f"{where}.format.grammar")
        said = f"Plain text that matches this {grammar.get('syntax')} grammar:\n{grammar.get('definition')}"
    return {
        "type": "object",
        "properties": {"input": {"type": "string", "description": said}},
        "required": ["input"],
        "additionalProperties": False,
    }


def _tool_choice(value: object, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """The tools that may be used, and how."""
    if value is None:
        return tools, None
    if isinstance(value, str):
        mode = "required" if value == "any" else value
        if mode not in ("auto", "none", "required"):
            raise wrong("tool_choice", "auto, none, required or an object")
        return tools, ToolChoice(mode)
    choice = as_object(value, "tool_choice")
    kind = choice.get("type")
    if kind in ("function", "custom"):
        return tools, ToolChoice("named", _named(choice, "tool_choice"))
    if kind == "allowed_tools":
        allowed = as_object(choice.get("allowed_tools"), "tool_choice.allowed_tools")
        mode = allowed.get("mode")
        if mode not in ("auto", "required"):
            raise wrong("tool_choice.allowed_tools.mode", "auto or required")
        where = "tool_choice.allowed_tools.tools"
        names = {_named(as_object(item, where), where) for item in as_array(allowed.get("tools"), where)}
        # Only the named tools are offered at all: the same choice for the model, without a parameter of its own.
        return tuple(tool for tool in tools if tool.name in names), ToolChoice(cast(str, mode))
    raise wrong("tool_choice.type", "function, custom or allowed_tools")


def _named(choice: Fields, where: str) -> str:
    kind = choice.get("type")
    if kind not in ("function", "custom"):
        raise wrong(f"{where}.type", "function or custom")
    return as_text(as_object(choice.get(cast(str, kind)), f"{where}.{kind}").get("name"), f"{where}.{kind}.name")


def _output_format(doc: Fields) -> OutputFormat | None:
    wanted = obj(doc, "response_format")
    if wanted is None:
        return None
    kind = wanted.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat("json_object")
    if kind != "json_schema":
        raise Unsupported(f"'response_format' of type {str(kind)[:64]!r} cannot be carried.", param="response_format")
    where = "response_format.json_schema"
    fields = as_object(wanted.get("json_schema"), where)
    return OutputFormat(
        "json_schema",
        name=text(fields, "name", f"{where}."),
        schema=obj(fields, "schema", f"{where}.") or {},
        strict=flag(fields, "strict", f"{where}."),
        description=text(fields, "description", f"{where}."),
    )
