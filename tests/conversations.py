"""The three APIs of conversations as clients call them: their paths, and how each says what they can all say."""

from __future__ import annotations

from typing import Any

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
FITS = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
# What the simulator makes of it never fits.
NEVER = {"type": "object", "properties": {"a": {"type": "string", "minLength": 500}}, "required": ["a"]}


def wanting(api: str, schema: dict[str, Any] = FITS) -> dict[str, Any]:
    """The fields of a call that wants its answer's text to fit a schema."""
    if api == "messages":
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    named = {"name": "a", "schema": schema}
    if api == "responses":
        return {"text": {"format": {"type": "json_schema", **named}}}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def tool(api: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The tool `look`, with the schema of its arguments."""
    if api == "messages":
        return {"name": "look", "input_schema": schema}
    named = {"name": "look", "parameters": schema}
    return {"type": "function", **(named if api == "responses" else {"function": named})}
