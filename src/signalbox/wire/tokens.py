"""An upper estimate of the tokens in a body, for providers that cannot count or were not heard yet. No tokenizer.

The rule: text costs by kind of character, with weights that lie above what byte-pair tokenizers give for ordinary
text in that script, with a margin of about 40 % for generations of tokenizers that split finer. Text of random letters
(keys, base64) stays covered; a text written to defeat the estimate may not be. Around it, fixed costs for what the
provider adds (role marks, tool preambles) and for what it renders from files: an image costs at most 4,800 tokens, a
PDF page at most that and 3,000 of text.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, cast

import msgspec

_encode = msgspec.json.Encoder().encode

# Tokens per character. A byte class is counted by what is left when all its bytes are deleted, which is one pass in C.
_LOWER = bytes(range(0x61, 0x7B))
_UPPER = bytes(range(0x41, 0x5B))
_SPACE = b" "
_CONTINUATION = bytes(range(0x80, 0xC0))
_DIGITS = bytes(range(0x30, 0x3A))
# Phonetic signs, combining marks, Armenian, Syriac, Thaana, N'Ko: two bytes that few tokenizers know as one.
_LEAD_2_RARE = bytes((*range(0xC9, 0xCE), 0xD4, 0xD5, *range(0xDC, 0xE0)))
_LEAD_2 = bytes(range(0xC0, 0xE0))  # Latin with accents, Greek, Cyrillic, Hebrew, Arabic
_LEAD_3_BRAHMIC = b"\xe0\xe1"  # Indic scripts, Thai, Lao, Khmer, Georgian, Ethiopic
_LEAD_3_OTHER = bytes(range(0xE2, 0xF0))  # signs, kana, Han, Hangul
_LEAD_4 = bytes(range(0xF0, 0x100))  # emoji, rare Han
_ASCII_WEIGHTS = ((_LOWER, 0.4), (_UPPER, 0.75), (_SPACE, 0.75), (_DIGITS, 1.1))
_WEIGHTS = (
    *_ASCII_WEIGHTS,
    (_CONTINUATION, 0.0),
    (_LEAD_2_RARE, 2.3),
    (_LEAD_2, 1.7),
    (_LEAD_3_BRAHMIC, 3.3),
    (_LEAD_3_OTHER, 2.0),
    (_LEAD_4, 4.0),
)
# Punctuation and line ends: everything that no class above names.
_OTHER_WEIGHT = 1.0
# Two spaces in a row are an indentation, which tokenizers take in long pieces.
_SPACE_PAIR_DISCOUNT = 0.9
# Long words of ASCII are keys, hashes, base64 or dense code. A body has one where so many bytes in a row are no space:
# two passes in C tell that there is none, as mostly, where taking words apart would cost ten times as much.
_LONG_WORD_BYTES = 32
_LONG_WORD_SURCHARGE = 0.35
_IN_WORD = bytes(byte not in b" \t\n\r\x0b\x0c" for byte in range(256))
_LONG_WORD = b"\1" * _LONG_WORD_BYTES
_HIGH = bytes(range(0x80, 0x100))

_REQUEST_TOKENS = 16
_MESSAGE_TOKENS = 8
_BLOCK_TOKENS = 8
_TOOL_TOKENS = 24
_TOOLS_TOKENS = 900
_IMAGE_TOKENS = 4_800
_PAGE_TOKENS = _IMAGE_TOKENS + 3_000
_PAGES_UNSEEN = 100
_BYTES_PER_HIDDEN_PAGE = 10_000
_PAGE_MARK = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
# Opaque base64 stands for text of no more tokens than a third of its length.
_OPAQUE_WEIGHT = 1 / 3
_OPAQUE_KEYS = frozenset({"signature", "encrypted_content", "encrypted_index", "encrypted_stdout"})
_UNRENDERED_KEYS = frozenset({"type", "cache_control", "media_type"})


def text_tokens(text: str) -> int:
    """An upper estimate of the tokens of one ordinary text."""
    return math.ceil(_weigh(text.encode("utf-8", "surrogatepass")))


def _weigh(data: bytes) -> float:
    cost = -_SPACE_PAIR_DISCOUNT * data.count(b"  ")
    if data.translate(_IN_WORD).find(_LONG_WORD) >= 0:
        cost += _LONG_WORD_SURCHARGE * _in_long_words(data)
    for members, weight in _ASCII_WEIGHTS if data.isascii() else _WEIGHTS:
        rest = data.translate(None, members)
        cost += weight * (len(data) - len(rest))
        data = rest
    return cost + _OTHER_WEIGHT * len(data)


def _in_long_words(data: bytes) -> int:
    """Bytes of ASCII in long words; what stands beside them without a space is no excuse."""
    return sum(len(word.translate(None, _HIGH)) for word in data.split() if len(word) >= _LONG_WORD_BYTES)


# A body so short is bounded by its bytes, which no tokenizer makes more tokens of; it costs nothing to see.
_SHORT_BYTES = 4096


def body_bound(body: bytes, *, tools: bool) -> int:
    """An upper estimate for a JSON body of any API that holds text and nothing else, from its bytes, at a fraction of
    what `bound` costs. What JSON escapes costs more than what it stands for, and its marks more than what a provider
    adds to a message. tools: whether it brings any."""
    if len(body) <= _SHORT_BYTES:
        return len(body) + _REQUEST_TOKENS + (_TOOLS_TOKENS if tools else 0)
    return text_bound(body, tools=tools)


def text_bound(body: bytes, *, tools: bool) -> int:
    """The same by kinds of character, however short the body: closer, and a little slower."""
    fixed = _REQUEST_TOKENS + (_TOOLS_TOKENS if tools else 0)
    return math.ceil(_weigh(body) + fixed + _BLOCK_TOKENS * body.count(b"{"))


# So many bytes of a body, from everywhere in it, say what kind of text it holds: this is asked of every call.
_LOOKED_AT_BYTES = 256
_PLAIN = _LOWER + _SPACE
_SCRIPTS = (_CONTINUATION + bytes(range(0x80)), _LEAD_2, _LEAD_3_BRAHMIC, _LEAD_3_OTHER)


def kind_of(body: bytes) -> int:
    """What kind of text a body holds: how much of it is neither lower-case letters nor spaces (digits, punctuation,
    capitals) and, where not all is ASCII, how much is not, and of which scripts mostly. What tokenizers make of a byte
    is much the same within a kind, and not at all between kinds."""
    size = len(body)
    seen = body if size <= _LOOKED_AT_BYTES else body[:: size // _LOOKED_AT_BYTES + 1]
    looked = len(seen)
    if not looked:
        return 0
    if body.isascii():
        dense = seen.translate(None, _PLAIN)
        digits = len(dense) - len(dense.translate(None, _DIGITS))
        # Text of other scripts may be written in escapes of six letters each.
        escaped = 8 * dense.count(b"\\") >= looked
        return 4 * len(dense) // looked + 5 * (4 * digits // looked) + 25 * escaped
    most = script = 0
    leads = seen.translate(None, _SCRIPTS[0])
    for place, members in enumerate(_SCRIPTS[1:], 1):
        rest = leads.translate(None, members)
        if len(leads) - len(rest) > most:
            most, script = len(leads) - len(rest), place
        leads = rest
    if len(leads) > most:
        script = len(_SCRIPTS)
    foreign = 8 * (looked - len(seen.translate(None, _HIGH))) // looked
    return 50 + 16 * script + foreign


def estimate(doc: dict[str, Any]) -> int:
    """An upper estimate of the input tokens of a Messages body, parsed. Unknown fields count as text."""
    counter = _Counter()
    system, messages, tools = doc.get("system"), doc.get("messages"), doc.get("tools")
    counter.content(system)
    for message in cast("list[Any]", messages) if isinstance(messages, list) else []:
        counter.fixed += _MESSAGE_TOKENS
        counter.content(cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else message)
    if isinstance(tools, list) and tools:
        counter.fixed += _TOOLS_TOKENS + _TOOL_TOKENS * len(cast("list[Any]", tools))
        counter.pieces.append(_encode(tools))
    for name in ("output_config", "output_format", "mcp_servers"):
        if doc.get(name):
            counter.pieces.append(_encode(doc[name]))
    return counter.total()


# What of a Responses body is the model's input.
_INPUT_FIELDS = ("instructions", "input", "tools", "text")


def responses_input(doc: dict[str, Any]) -> int:
    """An upper estimate of the input tokens of a Responses body."""
    return bound({name: doc[name] for name in _INPUT_FIELDS if doc.get(name) is not None}, _IMAGE_TOKENS)


def bound(doc: dict[str, Any], image_tokens: int) -> int:
    """An upper estimate for the body of any API: every text in it counts, keys and settings too, and every image as
    much as the model counts for the largest."""
    pieces: list[bytes] = []
    fixed = float(_REQUEST_TOKENS)
    if doc.get("tools") or doc.get("functions"):
        fixed += _TOOLS_TOKENS
    waiting: list[object] = [doc]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if item.startswith("data:image/"):
                fixed += image_tokens
            elif item.startswith("data:application/pdf;base64,"):
                fixed += _PAGE_TOKENS * _pages(item[28:])
            else:
                pieces.append(item.encode("utf-8", "surrogatepass"))
        elif isinstance(item, list):
            waiting.extend(cast("list[Any]", item))
        elif isinstance(item, dict):
            block = cast("dict[str, Any]", item)
            fixed += _BLOCK_TOKENS
            pieces += [key.encode("utf-8", "surrogatepass") for key in block]
            fixed += _rendered(block, image_tokens, waiting)
        elif item is not None:
            pieces.append(_encode(item))
    return math.ceil(fixed + _weigh(b"\n".join(pieces)))


def _rendered(block: dict[str, Any], image_tokens: int, waiting: list[object]) -> float:
    """Tokens of what a block carries as bytes in base64 or by reference; what else is in it is left to be read."""
    media: object = block.get("media_type")
    if isinstance(media, str) and isinstance(block.get("data"), str) and media != "text/plain":
        is_image = media.startswith("image/")
        waiting.extend(value for key, value in block.items() if key != "data")
        return image_tokens if is_image else _PAGE_TOKENS * _pages(block["data"])
    waiting.extend(block.values())
    source: object = block.get("image_url") or (block.get("source") if block.get("type") == "image" else None)
    address: object = cast("dict[str, object]", source).get("url") if isinstance(source, dict) else source
    remote = isinstance(address, str) and not address.startswith("data:")
    named = "file_id" in block or (isinstance(source, dict) and "file_id" in cast("dict[str, object]", source))
    by_id = named and block.get("type") in ("image", "input_image")
    return image_tokens if remote or by_id else 0.0


class _Counter:
    """Gathers all text of a body, so that it is weighed in one go, and the fixed costs around it."""

    __slots__ = ("fixed", "opaque_chars", "pieces")

    def __init__(self) -> None:
        self.fixed = _REQUEST_TOKENS
        self.opaque_chars = 0
        self.pieces: list[bytes] = []

    def total(self) -> int:
        text = _weigh(b"\n".join(self.pieces))
        return math.ceil(text + self.opaque_chars * _OPAQUE_WEIGHT) + self.fixed

    def content(self, value: object) -> None:
        """One content value: a string, or blocks with whatever is nested in them. Iterative: depth is the body's."""
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                self.pieces.append(item.encode("utf-8", "surrogatepass"))
            elif isinstance(item, list):
                waiting.extend(cast("list[Any]", item))
            elif isinstance(item, dict):
                self._block(cast("dict[str, Any]", item), waiting)
            elif item is not None:
                self.pieces.append(_encode(item))

    def _block(self, block: dict[str, Any], waiting: list[object]) -> None:
        kind = block.get("type")
        self.fixed += _BLOCK_TOKENS
        for key, value in block.items():
            if key in _UNRENDERED_KEYS:
                continue
            if key == "input":
                self.pieces.append(_encode(value))
            elif isinstance(value, str) and (key in _OPAQUE_KEYS or (kind == "redacted_thinking" and key == "data")):
                self.opaque_chars += len(value)
            elif key == "source" and isinstance(value, dict):
                waiting.append(self._source(cast("dict[str, Any]", value), image=kind == "image"))
            else:
                waiting.append(value)

    def _source(self, source: dict[str, Any], *, image: bool) -> object:
        """Adds the cost of an image or a document; returns what is to be read as text of it."""
        kind = source.get("type")
        if kind == "text":
            return source.get("data")
        if kind == "content":
            return source.get("content")
        if image:
            self.fixed += _IMAGE_TOKENS
        else:
            self.fixed += _PAGE_TOKENS * _pages(source.get("data") if kind == "base64" else None)
        return None


def _pages(data: object) -> int:
    """Pages of a PDF in base64: those that it names, or, where they are compressed, one for every 10 KB at least.
    A document out of sight counts as the longest that fits a model."""
    if not isinstance(data, str):
        return _PAGES_UNSEEN
    try:
        pdf = base64.b64decode(data)
    except (binascii.Error, ValueError):
        return _PAGES_UNSEEN
    return max(1, len(_PAGE_MARK.findall(pdf)), len(pdf) // _BYTES_PER_HIDDEN_PAGE)
