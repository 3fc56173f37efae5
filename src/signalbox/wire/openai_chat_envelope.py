"""What a chat completions body asks for beyond the model's answer, read before any decision is taken."""

from __future__ import annotations

from typing import Any, cast

from signalbox.core.call import Envelope
from signalbox.core.errors import BadRequest
from signalbox.wire.body_scan import BodyScan
from signalbox.wire.fields import Fields, array, as_array, as_object, flag, integer, obj, wrong

TOKENS_MAX = 1 << 31
N_MAX = 128

# Tools that the caller runs: they carry nothing to anybody but the model.
CLIENT_TOOLS = frozenset({"function", "custom"})
# Tools that a provider runs, by the name that rules see.
_PROVIDER_TOOLS = {
    "web_search": "web_search",
    "web_search_preview": "web_search",
    "browser_search": "web_search",
    "openrouter:web_search": "web_search",
    "live_search": "web_search",
    "code_interpreter": "code_interpreter",
    "code_execution": "code_interpreter",
    "file_search": "file_search",
    "document_library": "file_search",
    "collections_search": "file_search",
    "image_generation": "image_generation",
    "mcp": "mcp",
}
# Top-level parameters, of this API or of a provider's own, that send content or the call itself further.
_ONWARD = {
    "web_search_options": "web_search",
    "search_parameters": "web_search",
    "moderation": "moderation",
    "compound_custom": "web_search",
    "plugins": "plugins",
    "models": "fallbacks",
    "fallbacks": "fallbacks",
    "mcp_servers": "mcp",
    "documents": "documents",
    "conversation": "conversation",
    "background": "background",
}
_ONWARD_NAMES = frozenset(_ONWARD)
# Parameters that say nothing an envelope tells, besides those that are read in any case.
_PLAIN = frozenset(
    {"model", "messages", "stream", "max_tokens", "max_completion_tokens", "n", "temperature", "top_p", "stop", "seed",
     "user", "presence_penalty", "frequency_penalty", "response_format", "reasoning_effort"}
)  # fmt: skip
_READABLE = frozenset({"text", "refusal", "thinking", "reference"})


def read_envelope(doc: Fields) -> Envelope:
    """Raises BadRequest for wrong types of what must be understood; everything else is the upstream's to judge."""
    if doc.keys() <= _PLAIN and _plain_messages(doc.get("messages")):
        n = (integer(doc, "n", 1, N_MAX) or 1) if "n" in doc else 1
        return Envelope("stream" in doc and flag(doc, "stream") is True, read_max_tokens(doc), n)
    scan = BodyScan()
    _parameters(doc, scan)
    tools = array(doc, "tools")
    if tools:
        _tools(tools, scan)
    for position, message in enumerate(read_messages(doc)):
        content = message.get("content")
        if content is not None and not isinstance(content, str):
            _content(content, position, scan)
        if len(message) > 2:
            _message(message, scan)
    options = obj(doc, "stream_options")
    return Envelope(
        stream=flag(doc, "stream") is True,
        max_tokens=read_max_tokens(doc),
        n=integer(doc, "n", 1, N_MAX) or 1,
        include_usage=options is not None and flag(options, "include_usage", "stream_options.") is True,
        onward=tuple(scan.onward),
        unknown_tools=tuple(scan.unknown_tools),
        opaque=scan.opaque,
        stateful=tuple(scan.stateful),
        media=scan.media,
    )


def _plain_messages(messages: Any) -> bool:
    """Whether there are messages, each of nothing but a role and a text: the usual case, with nothing to look into."""
    if messages.__class__ is not list or not messages:
        return False
    for each in messages:
        if each.__class__ is not dict or len(each) != 2 or each.get("content").__class__ is not str:
            return False
    return True


def read_messages(doc: Fields) -> list[Fields]:
    """`messages`, checked to be a non-empty array of objects. Raises BadRequest."""
    messages = array(doc, "messages")
    if not messages:
        raise BadRequest("'messages' must be an array with at least one message.", param="messages")
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"messages[{position}]", "an object")
    return messages


def read_max_tokens(doc: Fields) -> int | None:
    """The output limit: the larger one when both names of it are used, since either may be the one that counts."""
    old = integer(doc, "max_tokens", 1, TOKENS_MAX)
    if "max_completion_tokens" not in doc:
        return old
    new = integer(doc, "max_completion_tokens", 1, TOKENS_MAX)
    return old if new is None else new if old is None else max(new, old)


def _parameters(doc: Fields, scan: BodyScan) -> None:
    if flag(doc, "store"):
        scan.onward["store"] = None
    for name in sorted(_ONWARD_NAMES & doc.keys()):
        # An empty object switches a feature on with its defaults, as in `web_search_options: {}`.
        if doc[name] or isinstance(doc[name], dict):
            scan.onward[_ONWARD[name]] = None
    if doc.get("prompt_cache_retention") == "24h":
        scan.onward["prompt_cache_retention"] = None


def _tools(tools: list[object], scan: BodyScan) -> None:
    for position, item in enumerate(tools):
        kind = as_object(item, f"tools[{position}]").get("type")
        if not isinstance(kind, str):
            raise wrong(f"tools[{position}].type", "a string")
        if kind in CLIENT_TOOLS:
            continue
        name = _PROVIDER_TOOLS.get(kind)
        if name is None:
            scan.unknown_tools[kind[:100]] = None
        else:
            scan.onward[name] = None


def _message(message: Fields, scan: BodyScan) -> None:
    """What a message has besides role and content: audio said earlier is known to the provider by its id only, and
    reasoning may come back encrypted."""
    audio = message.get("audio")
    if audio:
        scan.opaque = scan.media = True
        scan.onward["file_id"] = None
        name: object = as_object(audio, "messages.audio").get("id")
        if isinstance(name, str):
            scan.stateful[name] = None
    if message.get("reasoning_details") or message.get("reasoning_encrypted"):
        scan.opaque = True


def _content(content: object, position: int, scan: BodyScan) -> None:
    where = f"messages[{position}].content"
    for number, item in enumerate(as_array(content, where)):
        if isinstance(item, str):  # some servers take bare strings as parts
            continue
        part = as_object(item, f"{where}[{number}]")
        kind = part.get("type")
        if isinstance(kind, str) and kind in _READABLE:
            continue
        scan.opaque = scan.media = True
        for name, value in part.items():
            if name.endswith("_url") and _is_remote(value):
                scan.onward[name] = None
            elif name == "file":
                _file(value, scan)
        if kind == "file_id" or part.get("file_id"):
            _file(part, scan)


def _is_remote(value: object) -> bool:
    """Whether a URL, bare or as an object's `url`, is anything but inline data."""
    url = cast(Fields, value).get("url") if isinstance(value, dict) else value
    return isinstance(url, str) and url[:5].lower() != "data:"


def _file(value: object, scan: BodyScan) -> None:
    name = cast(Fields, value).get("file_id") if isinstance(value, dict) else value
    if isinstance(name, str):
        scan.onward["file_id"] = None
        scan.stateful[name] = None
