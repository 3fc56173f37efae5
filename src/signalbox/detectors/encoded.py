"""Text inside text: base64, hexadecimal, URL-encoded, JSON-escaped and HTML-escaped parts, decoded within bounds."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from signalbox.detectors.view import View

# How much decoded text one scan reads, and how many parts it tries; what is beyond is reported as unreadable.
DECODED_CHARS_MAX = 262_144
PARTS_MAX = 256
DEPTH_MAX = 3

_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}+={0,2}")
_HEX_RUN = re.compile(rb"(?:[0-9A-Fa-f]{2}){8,}+")
_NO_DIGIT = re.compile(rb"[^0-9]*+")
# One alone counts where it may stand in the middle of a value: @, +, : and = with more of it behind.
_PERCENT = re.compile(rb"%(?:40|2[Bb]|3[ADad])(?=[^\s\"'<>%\\,;)])|%[0-9A-Fa-f]{2}[^\s%]{0,64}+%[0-9A-Fa-f]{2}")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_SPACE_BEFORE = re.compile(rb"[^\s\"'<>]{0,512}$")
_SPACE_AFTER = re.compile(rb"[^\s\"'<>]{0,4096}+")
_PRINTABLE = bytes((9, 10, 13, *range(32, 127)))
_BASE64_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


# Without one of these, and without a long token, there is nothing.
TRIGGERS = (rb"%[0-9A-Fa-f]{2}", rb"\\[ux]", b"&#")


def parts(view: View) -> Iterator[tuple[int, int, str]]:
    """(start, end, decoded text) of every part that decodes to readable text."""
    flat = view.flat
    if view.tokens:
        yield from _packed(view)
    if flat.find(b"%") >= 0:
        yield from _percent(flat)
    if flat.find(b"\\") >= 0 and (flat.find(b"\\u") >= 0 or flat.find(b"\\x") >= 0):
        decoded = _ESCAPED.sub(lambda match: chr(int(match[1] or match[2], 16)), view.text)
        if decoded != view.text:
            yield 0, len(flat), decoded
    if flat.find(b"&#") >= 0:
        decoded = html.unescape(view.text)
        if decoded != view.text:
            yield 0, len(flat), decoded


def _packed(view: View) -> Iterator[tuple[int, int, str]]:
    flat, done = view.flat, 0
    for start, end in view.tokens:
        token = flat[start:end]
        if (
            start < done
            or (token.islower() and not _HEX_RUN.fullmatch(token))
            or (end - start < 40 and _NO_DIGIT.fullmatch(token))
        ):
            continue
        before = flat[max(done, start - 4096) : start]
        low = start - (len(before) - len(before.rstrip(_BASE64_CHARS)))
        match = _BASE64_RUN.match(flat, low) or _BASE64_RUN.match(flat, start)
        if match is None:
            continue
        done = match.end()
        text = _unhex(match[0]) or _unbase64(match[0])
        if text is not None:
            yield match.start(), match.end(), text


def unpacked(run: str) -> str | None:
    """The readable text that a run of base64, base32 or hexadecimal letters stands for, None when it is none."""
    if not run.isascii():
        return None
    raw = run.encode("ascii")
    return _unhex(raw) or _unbase64(raw) or _unbase32(raw)


def _unbase32(raw: bytes) -> str | None:
    raw = raw.rstrip(b"=")
    if not raw.isupper() or not raw.isalnum():
        return None
    try:
        return _readable(base64.b32decode(raw + b"=" * (-len(raw) % 8)))
    except (binascii.Error, ValueError):
        return None


def _unhex(raw: bytes) -> str | None:
    return _readable(binascii.unhexlify(raw)) if _HEX_RUN.fullmatch(raw) else None


def _unbase64(raw: bytes) -> str | None:
    raw = raw.rstrip(b"=")
    if len(raw) < 16 or len(raw) % 4 == 1 or raw.islower() or raw.isupper():
        return None
    try:
        return _readable(base64.b64decode(raw.translate(_URL_SAFE) + b"=" * (-len(raw) % 4)))
    except (binascii.Error, ValueError):
        return None


def _readable(decoded: bytes) -> str | None:
    """The text these bytes are, None when more than a tenth of them is none."""
    odd = len(decoded.translate(None, _PRINTABLE))
    if odd == 0:
        return decoded.decode("ascii")
    if decoded.count(0) * 2 >= len(decoded) - 2 and len(decoded) > 8:
        return _readable(decoded.replace(b"\0", b""))  # UTF-16 of plain text, as PowerShell encodes it
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        return decoded.decode("latin-1") if odd * 10 <= len(decoded) else None
    return text if sum(char.isprintable() or char in "\t\n\r" for char in text) * 10 >= len(text) * 9 else None


def _percent(flat: bytes) -> Iterator[tuple[int, int, str]]:
    done = 0
    for match in _PERCENT.finditer(flat):
        if match.start() < done:
            continue
        before = _SPACE_BEFORE.search(flat[max(done, match.start() - 512) : match.start()])
        start = match.start() - (len(before[0]) if before is not None else 0)
        after = _SPACE_AFTER.match(flat, match.start())
        end = done = after.end() if after is not None else match.end()
        yield start, end, unquote(flat[start:end].decode("latin-1"), errors="replace")
