"""The hub's request written as a chat completions body."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from signalbox.core.errors import BadRequest
from signalbox.core.hub import OutputFormat, Request, Tool
from signalbox.wire.dialect import Target
from signalbox.wire.limits import refuse_what_target_cannot
from signalbox.wire.openai_chat_messages import write_conversation
from signalbox.wire.openai_models import SERVICE_TIERS, effort, is_openai, is_reasoning, sampling, takes_verbosity
from signalbox.wire.responses_items import note

# Models whose servers take `reasoning_effort`; others refuse a parameter that they do not know.
_TAKES_EFFORT = re.compile(r"(?:.*/)?(?:ft:)?(?:o\d|gpt-[5-9]|gpt-oss|codex-|gemini-(?:2\.5|[3-9])|deepseek-v[4-9])")


def limit_name(model: str) -> str:
    """The parameter that limits a model's output."""
    return "max_completion_tokens" if is_openai(model) else "max_tokens"


def write_request(request: Request, target: Target) -> bytes:
    """The body for `target`. Tuning that this API lacks is added to `request.dropped`; raises Unsupported for what
    the target cannot honour."""
    refuse_what_target_cannot(request, target, "another protocol")
    dropped = request.dropped
    messages = write_conversation(request.messages, dropped)
    if not messages:
        raise BadRequest("At least one message with content is required.", param="messages")
    if request.system:
        if any(text.cache for text in request.system):
            note(dropped, "cache_control")
        messages.insert(0, {"role": "system", "content": "\n\n".join(text.text for text in request.system)})
    body: dict[str, Any] = {"model": target.model, "messages": messages}
    if request.stream:
        body["stream"] = True
        if target.stream_usage:
            body["stream_options"] = {"include_usage": True}
    _write_tools(body, request)
    if request.output_format is not None:
        body["response_format"] = _write_format(request.output_format)
    if request.max_tokens is not None:
        body[limit_name(target.model)] = request.max_tokens
    _write_tuning(body, request, target.model)
    return msgspec.json.encode(body)


def _write_tools(body: dict[str, Any], request: Request) -> None:
    choice = request.tool_choice
    if not request.tools:
        if choice is not None and choice.mode in ("required", "named"):
            raise BadRequest("'tool_choice' demands a tool, but there are no tools.", param="tool_choice")
        return
    body["tools"] = [_write_tool(tool) for tool in request.tools]
    if choice is not None:
        named = {"type": "function", "function": {"name": choice.name}}
        body["tool_choice"] = named if choice.mode == "named" else choice.mode
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _write_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _write_format(form: OutputFormat) -> dict[str, Any]:
    if form.kind == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": form.name or "answer", "schema": form.schema or {}}
    if form.strict is not None:
        schema["strict"] = form.strict
    if form.description is not None:
        schema["description"] = form.description
    return {"type": "json_schema", "json_schema": schema}


def _write_tuning(body: dict[str, Any], request: Request, model: str) -> None:
    dropped = request.dropped
    body |= sampling(request, model)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        if is_reasoning(model):
            note(dropped, "stop")
        else:
            body["stop"] = list(request.stop)
    wanted = effort(request)
    if wanted is not None:
        if _TAKES_EFFORT.match(model):
            body["reasoning_effort"] = wanted
        else:
            note(dropped, "reasoning_effort" if request.reasoning_effort is not None else "thinking")
    if request.verbosity is not None:
        if takes_verbosity(model):
            body["verbosity"] = request.verbosity
        else:
            note(dropped, "verbosity")
    if request.user is not None:
        body["user"] = request.user
    if request.service_tier is not None:
        if is_openai(model) and request.service_tier in SERVICE_TIERS:
            body["service_tier"] = request.service_tier
        else:
            note(dropped, "service_tier")
    if request.prompt_cache_key is not None:
        # Others refuse a body for a field that they do not know.
        if is_openai(model):
            body["prompt_cache_key"] = request.prompt_cache_key
        else:
            note(dropped, "prompt_cache_key")
    if request.top_k is not None:
        note(dropped, "top_k")
    if request.metadata:
        # The API takes metadata only for answers that it stores.
        note(dropped, "metadata")
