"""The dialect of services that say what a text contains, as Presidio and LLM Guard do: only guards ask them.

Each has its own body and its own answer; what they have in common is that the text goes out whole, findings come back,
nothing streams and nothing is counted in tokens.
"""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.core.call import Envelope
from signalbox.core.stream import Seen
from signalbox.core.usage import NO_USAGE
from signalbox.wire.pass_through import PassThrough
from signalbox.wire.scan_answers import findings, judgement

_either = (findings, judgement)
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ScansDialect(PassThrough):
    """See wire/dialect.py for the contract of every method."""

    api = "scan"
    path = ""
    needs = "A scan is asked by a guard, of a deployment that scans, and never streams."
    no_hub = "findings have no hub form"

    def envelope(self, doc: dict[str, Any]) -> Envelope:
        return Envelope(stream=False)

    def seen(self, body: bytes) -> Seen:
        for read in _either:
            try:
                read(body)
            except _BAD:
                continue
            return Seen(content=True, finished=True, end=True, usage=NO_USAGE)
        return Seen(ok=False)


SCANS = ScansDialect()
