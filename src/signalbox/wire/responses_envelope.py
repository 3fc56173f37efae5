"""What a Responses body asks for beyond the model's answer, read before any decision is taken."""

from __future__ import annotations

from typing import Any, cast

from signalbox.core.call import Envelope
from signalbox.core.errors import BadRequest
from signalbox.wire.body_scan import BodyScan

MAX_OUTPUT_TOKENS = 1 << 31

# Tools that the caller runs: they carry nothing to anybody but the model.
CLIENT_TOOLS = frozenset({"function", "custom", "namespace", "tool_search", "local_shell", "apply_patch"})
# Tools that the provider runs, by the name that rules see.
PROVIDER_TOOLS = {
    "file_search": "file_search",
    "web_search": "web_search",
    "web_search_preview": "web_search",
    "web_search_2025_08_26": "web_search",
    "web_search_preview_2025_03_11": "web_search",
    "code_interpreter": "code_interpreter",
    "image_generation": "image_generation",
    "computer": "computer_use",
    "computer_use": "computer_use",
    "computer_use_preview": "computer_use",
    "mcp": "mcp",
    "shell": "shell",
    "programmatic_tool_calling": "programmatic_tool_calling",
}
# Input items all of whose content is text that detectors read (tool calls of any kind and their outputs).
_READABLE_ITEMS = frozenset(
    {
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
        "item_reference",
        "file_search_call",
        "web_search_call",
        "computer_call",
        "code_interpreter_call",
        "local_shell_call",
        "local_shell_call_output",
        "shell_call",
        "shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "tool_search_call",
        "tool_search_output",
        "additional_tools",
        "configuration_update",
        "compaction_trigger",
        "program_output",
    }
)
_READABLE_PARTS = frozenset({"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"})


def read_envelope(doc: dict[str, Any]) -> Envelope:
    """Raises BadRequest for wrong types of what must be understood; everything else is the upstream's to judge."""
    scan = BodyScan()
    stream = doc.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("'stream' must be a boolean.", param="stream")
    _parameters(doc, scan)
    _tools(doc.get("tools"), "tools", scan)
    _input(doc.get("input"), scan)
    return Envelope(
        stream=stream is True,
        max_tokens=read_max_tokens(doc),
        onward=tuple(scan.onward),
        unknown_tools=tuple(scan.unknown_tools),
        opaque=scan.opaque,
        stateful=tuple(scan.stateful),
        media=scan.media,
    )


def read_max_tokens(doc: dict[str, Any]) -> int | None:
    """`max_output_tokens`, checked. Raises BadRequest."""
    value = doc.get("max_output_tokens")
    if value is None:
        return None
    if type(value) is not int:
        raise BadRequest("'max_output_tokens' must be an integer.", param="max_output_tokens")
    if not 1 <= value <= MAX_OUTPUT_TOKENS:
        raise BadRequest(f"'max_output_tokens' must be between 1 and {MAX_OUTPUT_TOKENS}.", param="max_output_tokens")
    return value


def _parameters(doc: dict[str, Any], scan: BodyScan) -> None:
    # The API stores every response unless told not to, so silence is a transfer too.
    if doc.get("store") is not False:
        scan.onward["store"] = None
    if doc.get("background"):
        scan.onward["background"] = None
    if doc.get("moderation"):
        scan.onward["moderation"] = None
    if doc.get("prompt_cache_retention") == "24h":
        scan.onward["prompt_cache_retention"] = None
    previous = doc.get("previous_response_id")
    if previous is not None:
        if not isinstance(previous, str):
            raise BadRequest("'previous_response_id' must be a string.", param="previous_response_id")
        scan.onward["previous_response_id"] = None
        scan.stateful[previous] = None
    _bound_object(doc, "conversation", scan)
    prompt = _bound_object(doc, "prompt", scan)
    variables = prompt.get("variables") if prompt else None
    if isinstance(variables, dict):
        for name, value in cast("dict[str, Any]", variables).items():
            if isinstance(value, dict):
                _part(cast("dict[str, Any]", value), f"prompt.variables.{name}", scan)


def _bound_object(doc: dict[str, Any], name: str, scan: BodyScan) -> dict[str, Any] | None:
    """A parameter that names an object kept by the provider: an id, or an object with an id."""
    value = doc.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        bound, fields = value, None
    else:
        fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        bound = fields.get("id")
    if not isinstance(bound, str):
        raise BadRequest(f"'{name}' must have an id.", param=name)
    scan.onward[name] = None
    scan.stateful[bound] = None
    return fields


def _tools(tools: object, where: str, scan: BodyScan) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise BadRequest(f"'{where}' must be an array.", param=where)
    for position, tool in enumerate(cast("list[Any]", tools)):
        if not isinstance(tool, dict):
            raise BadRequest(f"'{where}[{position}]' must be an object.", param=f"{where}[{position}]")
        _tool(cast("dict[str, Any]", tool), f"{where}[{position}]", scan)


def _tool(tool: dict[str, Any], where: str, scan: BodyScan) -> None:
    kind = tool.get("type")
    if not isinstance(kind, str):
        raise BadRequest(f"'{where}.type' must be a string.", param=f"{where}.type")
    if kind in CLIENT_TOOLS:
        if kind == "namespace":
            _nested_tools(tool, where, scan)
        return
    name = PROVIDER_TOOLS.get(kind)
    if name is None:
        scan.unknown_tools[kind] = None
        return
    environment = tool.get("environment")
    if kind == "shell" and isinstance(environment, dict) and cast("dict[str, Any]", environment).get("type") == "local":
        return
    scan.onward[name] = None
    mask = tool.get("input_image_mask")
    if isinstance(mask, dict):
        _part({"type": "input_image", **cast("dict[str, Any]", mask)}, f"{where}.input_image_mask", scan)


def _nested_tools(tool: dict[str, Any], where: str, scan: BodyScan) -> None:
    """A namespace holds plain tools only; anything else in it is unknown, however it is spelt."""
    nested = tool.get("tools")
    for inner in cast("list[Any]", nested) if isinstance(nested, list) else []:
        kind = cast("dict[str, Any]", inner).get("type") if isinstance(inner, dict) else None
        if kind not in ("function", "custom"):
            scan.unknown_tools[kind if isinstance(kind, str) else f"{where}.tools"] = None


def _input(value: object, scan: BodyScan) -> None:
    if value is None or isinstance(value, str):
        return
    if not isinstance(value, list):
        raise BadRequest("'input' must be a string or an array.", param="input")
    for position, item in enumerate(cast("list[Any]", value)):
        if not isinstance(item, dict):
            raise BadRequest(f"'input[{position}]' must be an object.", param=f"input[{position}]")
        _item(cast("dict[str, Any]", item), position, scan)


def item_kind(item: dict[str, Any], where: str) -> str:
    """The type of an input item. Two may leave it out: a message (it has a role) and a reference (only an id)."""
    kind = item.get("type")
    if kind is None:
        return "message" if "role" in item else "item_reference"
    if not isinstance(kind, str):
        raise BadRequest(f"'{where}.type' must be a string.", param=f"{where}.type")
    return kind


def _item(item: dict[str, Any], position: int, scan: BodyScan) -> None:
    kind = item_kind(item, f"input[{position}]")
    if kind not in _READABLE_ITEMS:
        scan.opaque = True
        scan.media |= not item.get("encrypted_content")
    if kind == "item_reference":
        reference = item.get("id")
        if not isinstance(reference, str):
            raise BadRequest(f"'input[{position}]' has neither type, role nor id.", param=f"input[{position}]")
        scan.stateful[reference] = None
        return
    if item.get("encrypted_content"):
        scan.opaque = True
        name = item.get("id")
        scan.stateful[name if isinstance(name, str) else f"{kind}.encrypted_content"] = None
    if "tools" in item and kind in ("additional_tools", "tool_search_output"):
        _tools(item["tools"], f"input[{position}].tools", scan)
    for field in ("content", "output"):
        value = item.get(field)
        if isinstance(value, list):
            for part in cast("list[Any]", value):
                if isinstance(part, dict):
                    _part(cast("dict[str, Any]", part), f"input[{position}].{field}", scan)
        elif isinstance(value, dict):
            _part(cast("dict[str, Any]", value), f"input[{position}].{field}", scan)


def _part(part: dict[str, Any], where: str, scan: BodyScan) -> None:
    kind = part.get("type")
    if isinstance(kind, str) and kind in _READABLE_PARTS:
        return
    if kind is None and where.endswith(".output"):
        # Outputs of hosted tools (shell: stdout and stderr) are untyped objects of plain text.
        return
    scan.opaque = scan.media = True
    for name in ("image_url", "file_url", "file_id"):
        value = part.get(name)
        if value and not (isinstance(value, str) and value[:5].lower() == "data:"):
            scan.onward[name] = None
            if name == "file_id" and isinstance(value, str):
                scan.stateful[value] = None
