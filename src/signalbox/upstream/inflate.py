"""Decoding of compressed answers, a bounded piece at a time: we ask for identity, some upstreams compress anyway."""

from __future__ import annotations

import zlib
from typing import Any

# A piece of decoded body handed out at once, and how far a body may expand before it counts as a bomb.
PIECE_BYTES_MAX = 256 * 1024
RATIO_MAX = 200
RATIO_FREE_BYTES = 4 * 1024 * 1024

_GZIP_WBITS = 31
_ZLIB_WBITS = 15
_RAW_WBITS = -15


class InflateError(ValueError):
    """The compressed body is not what it says it is. The message holds no byte of it."""


class Inflater:
    """Takes compressed bytes, gives decoded ones. Holds compressed bytes only, until they are asked for."""

    __slots__ = ("_bytes_in", "_bytes_out", "_decoder", "_gzip", "_pending")

    def __init__(self, encoding: bytes) -> None:
        """encoding: b"gzip", b"x-gzip" or b"deflate"; anything else is an InflateError."""
        if encoding not in (b"gzip", b"x-gzip", b"deflate"):
            raise InflateError("unknown content-encoding")
        self._gzip = encoding != b"deflate"
        self._decoder: Any = zlib.decompressobj(_GZIP_WBITS) if self._gzip else None
        self._pending = b""
        self._bytes_in = 0
        self._bytes_out = 0

    def feed(self, data: bytes) -> None:
        self._bytes_in += len(data)
        self._pending = self._pending + data if self._pending else data

    def take(self) -> bytes:
        """At most PIECE_BYTES_MAX decoded bytes; b"" when more compressed ones are needed."""
        decoder = self._decoder or self._choose_deflate()
        if decoder is None:
            return b""
        while self._pending:
            if decoder.eof:
                decoder = self._next_member()
            piece = self._decode(decoder, self._pending)
            self._pending = decoder.unused_data or decoder.unconsumed_tail
            if piece:
                return piece
        # zlib may hold decoded bytes back when the last piece was exactly full.
        return b"" if decoder.eof else self._decode(decoder, b"")

    def _decode(self, decoder: Any, data: bytes) -> bytes:
        try:
            piece: bytes = decoder.decompress(data, PIECE_BYTES_MAX)
        except zlib.error:
            raise InflateError("the compressed body is damaged") from None
        self._bytes_out += len(piece)
        if self._bytes_out > RATIO_FREE_BYTES + RATIO_MAX * self._bytes_in:
            raise InflateError("the compressed body expands beyond the limit")
        return piece

    @property
    def complete(self) -> bool:
        """The compressed stream reached its own end, or there never was one."""
        return self._bytes_in == 0 or (self._decoder is not None and self._decoder.eof and not self._pending)

    def _choose_deflate(self) -> Any:
        """ "deflate" means zlib by the book and raw deflate in the wild: the first two bytes tell."""
        if len(self._pending) < 2:
            return None
        first, second = self._pending[0], self._pending[1]
        zlib_header = first & 0x0F == 8 and (first * 256 + second) % 31 == 0
        self._decoder = zlib.decompressobj(_ZLIB_WBITS if zlib_header else _RAW_WBITS)
        return self._decoder

    def _next_member(self) -> Any:
        if not self._gzip:
            raise InflateError("bytes after the end of the compressed body")
        self._decoder = zlib.decompressobj(_GZIP_WBITS)
        return self._decoder
