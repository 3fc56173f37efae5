"""What a simulated model says: told by the seed and the last user text alone, or scripted by directives in it.

Every provider and model gives the same answer to the same text, streamed or not, so that a fallback can be compared
with what it replaces (the fault `diverge` makes one differ).

Directives, anywhere in the last user message:
[[text:...]] says exactly that; [[tokens:64]] says that many words; [[json]] answers in JSON; [[tool:name {...}]]
calls that tool (several make parallel calls; needs the tool in the request); [[thinking]] or [[thinking:32]] reasons
first, [[thought:...]] in exactly these words; [[rot13]] says all that in rot13, so that an answer holds what its
request does not; [[delay_ms:20]] paces the tokens, [[ttft_ms:300]] the first; [[cached:100]], [[cache_write:50]] and
[[cache_write_1h:50]] move input tokens into the cache classes of usage.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib

import msgspec

from signalbox.simulator import tokens
from signalbox.simulator.model import Answer, Ask, Choice, Json, Part, Tokens, as_doc, as_list, encode

_WORDS = (
    "signal points track route lever frame block section train platform bell semaphore green amber clear "
    "siding junction crossing ballast sleeper guard whistle timetable yard loop main branch depot cable lamp "
    "tunnel bridge viaduct gradient gauge axle bogie coupling buffer station waiting relay circuit panel "
    "indicator register token staff lock bolt detector wire arm spectacle lens post gantry cabin stove clock"
)
_VOCABULARY = tuple(word + " " for word in _WORDS.split())
_SIZE = len(_VOCABULARY)
_TEXT = _VOCABULARY * 3
_DIRECTIVE = re.compile(r"\[\[(\w+)(?::(.*?))?\]\]", re.DOTALL)
_TOOL = re.compile(r"\[\[tool:([\w.-]+)\s*")
_RAW = json.JSONDecoder()
_THINKING_DEFAULT = 16
# Directives are looked for in this much of the text only.
_SCRIPT_CHARS_MAX = 1_000_000


class Script(msgspec.Struct):
    """The directives of one request, read."""

    text: str | None = None
    tokens: int | None = None
    json: bool = False
    thinking: int | None = None
    thought: str | None = None
    rot13: bool = False
    delay_ms: float | None = None
    ttft_ms: float | None = None
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    tools: list[tuple[str, str]] = msgspec.field(default_factory=list[tuple[str, str]])


_PLAIN = Script()


def read_script(text: str) -> Script:
    """Unknown or malformed directives are ordinary text: a prompt may contain anything."""
    if "[[" not in text:
        return _PLAIN
    script = Script()
    text = text[:_SCRIPT_CHARS_MAX]
    for found in _TOOL.finditer(text):
        script.tools.append((found[1], _arguments(text, found.end())))
    for found in _DIRECTIVE.finditer(text):
        _apply(script, found[1], found[2])
    return _rotated(script) if script.rot13 else script


def _rotated(script: Script) -> Script:
    script.text = codecs.encode(script.text, "rot13") if script.text else script.text
    script.thought = codecs.encode(script.thought, "rot13") if script.thought else script.thought
    script.tools = [(name, codecs.encode(arguments, "rot13")) for name, arguments in script.tools]
    return script


def _arguments(text: str, at: int) -> str:
    try:
        _, end = _RAW.raw_decode(text, at)
    except (ValueError, RecursionError):
        return "{}"
    return text[at:end]


def _apply(script: Script, name: str, value: str | None) -> None:
    if name == "text" and value is not None:
        script.text = value
    elif name == "thought":
        script.thought = value
    elif name == "rot13":
        script.rot13 = True
    elif name == "json":
        script.json = True
    elif name == "thinking":
        script.thinking = _whole(value) if value else _THINKING_DEFAULT
    elif name == "tokens":
        script.tokens = _whole(value)
    elif name in ("cached", "cache_write", "cache_write_1h"):
        setattr(script, name, _whole(value))
    elif name in ("delay_ms", "ttft_ms"):
        setattr(script, name, float(_whole(value)))


def _whole(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 8 else 0


def plan(ask: Ask, seed: int, *, length: int, reasoning: int, output_max: int) -> Answer:
    """The whole answer before the first byte of it is sent. length: tokens of an unscripted answer."""
    if ask.endpoint == "embeddings":
        return Answer([], Tokens(ask.tokens_in))
    script = read_script(ask.text)
    start = zlib.crc32(ask.text.encode("utf-8", "replace"), seed)
    limit = min(ask.max_tokens or output_max, output_max)
    thinking = script.thinking
    if thinking is None:
        thinking = ask.thinking_tokens or reasoning
    choices = [_choice(ask, script, start + index * 7, limit, thinking, length) for index in range(ask.n)]
    usage = _input_classes(ask.tokens_in, script)
    for choice in choices:
        for part in choice.parts:
            if part.kind == "thinking":
                usage.reasoning += len(part.tokens)
            else:
                usage.tokens_out += len(part.tokens)
    return Answer(choices, usage, script.delay_ms, script.ttft_ms)


def _input_classes(total: int, script: Script) -> Tokens:
    if script is _PLAIN:
        return Tokens(total)
    read = min(script.cached, total)
    write = min(script.cache_write, total - read)
    write_1h = min(script.cache_write_1h, total - read - write)
    return Tokens(total - read - write - write_1h, read, write, write_1h)


def _choice(ask: Ask, script: Script, start: int, limit: int, thinking: int, length: int) -> Choice:
    parts: list[Part] = []
    left = limit
    if script.thought:
        parts.append(Part("thinking", tokens.words(script.thought)[:left]))
    elif thinking:
        parts.append(Part("thinking", _words(start + 3, min(thinking, left))))
    left -= sum(len(part.tokens) for part in parts)
    calls = _calls(ask, script)
    if calls:
        for number, (name, arguments) in enumerate(calls):
            said = tokens.pieces(arguments)
            if len(said) > left:
                parts.append(Part("tool", said[:left], f"{start & 0xFFFFFFFF:08x}{number:04x}", name))
                return Choice(parts, "length")
            left -= len(said)
            parts.append(Part("tool", said, f"{start & 0xFFFFFFFF:08x}{number:04x}", name))
        return Choice(parts, "tool")
    said, finish, stop = _text(ask, script, start, left, length)
    if said or not parts:
        parts.append(Part("text", said))
    return Choice(parts, finish, stop)


def _calls(ask: Ask, script: Script) -> list[tuple[str, str]]:
    if not ask.tools:
        return []
    known = {tool.name: tool for tool in ask.tools}
    calls = [(name, arguments) for name, arguments in script.tools if name in known]
    if not calls and ask.forced_tool:
        tool = known.get(ask.forced_tool) or ask.tools[0]
        calls = [(tool.name, encode(instance(tool.schema)).decode())]
    return calls


def _text(ask: Ask, script: Script, start: int, left: int, length: int) -> tuple[list[str], str, str | None]:
    if script.text is not None:
        said = tokens.words(script.text)
    elif script.json or ask.json_schema is not None:
        said = tokens.pieces(encode(instance(ask.json_schema or {})).decode())
    else:
        wanted = length if script.tokens is None else script.tokens
        said = _words(start, min(wanted, left))
        if wanted > left:
            return said, "length", None
    said, stop = _stopped(said, ask.stop)
    if len(said) > left:
        return said[:left], "length", None
    return said, ("stop_sequence" if stop else "stop"), stop


def _words(start: int, count: int) -> list[str]:
    first = start % _SIZE
    if count <= 2 * _SIZE:
        return list(_TEXT[first : first + count])
    return [_VOCABULARY[(first + i) % _SIZE] for i in range(count)]


def _stopped(said: list[str], stops: tuple[str, ...]) -> tuple[list[str], str | None]:
    """The tokens before the first stop sequence; the token in which it begins is cut."""
    if not stops:
        return said, None
    text = "".join(said)
    hits = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
    if not hits:
        return said, None
    left, stop = min(hits)
    kept: list[str] = []
    for token in said:
        if left <= 0:
            break
        kept.append(token[:left])
        left -= len(token)
    return kept, stop


def instance(schema: Json, depth: int = 0) -> object:
    """A small value of a JSON schema: the first enum, every property, one item. Depth is bounded."""
    if "const" in schema:
        return schema["const"]
    if as_list(schema.get("enum")):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        options = as_list(schema.get(key))
        if options:
            return instance(as_doc(options[0]), depth + 1)
    kind = schema.get("type")
    kind = next((k for k in as_list(kind) if k != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        properties = as_doc(schema.get("properties"))
        return {name: instance(as_doc(inner), depth + 1) for name, inner in properties.items()} if depth < 12 else {}
    if kind == "array":
        return [instance(as_doc(schema.get("items")), depth + 1)] if depth < 12 else []
    simple: dict[object, object] = {"string": "signal", "integer": 7, "number": 7.5, "boolean": True, "null": None}
    return simple[kind] if isinstance(kind, str) and kind in simple else {"answer": "signal"}
