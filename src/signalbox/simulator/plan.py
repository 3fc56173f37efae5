"""What faults change about one exchange: a plan that starts out healthy and that each fault edits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from signalbox.simulator.model import Refusal, Step

Edit = Callable[[Iterator[Step]], Iterator[Step]]


class Canned(msgspec.Struct, frozen=True):
    """A ready answer in place of the real one."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Plan(msgspec.Struct):
    """faults: their specs, as booked. Everything else is off by default.

    hang: never answer. opening: 'reset' or 'close' instead of an answer. delay_s: before the first token, with
    headers early or not. header_gap_s: headers leave byte by byte. canned/refusal: another answer, nothing generated.
    cut_at: output tokens after which cut_how happens: reset, eof, fin, half, stall (for stall_s) or error.
    edits: applied to the stream's events. slice_bytes: bytes per write; bytes_per_s: bandwidth.
    usage: what the answer claims: '', none, zero or wrong (by usage_add). extra_tokens: generated, billed and
    reported beyond the limit. diverge_at: token of text from which the answer is another one. close_after_s: an
    idle connection is closed that long after the answer.
    """

    faults: list[str] = msgspec.field(default_factory=list[str])
    hang: bool = False
    opening: str = ""
    delay_s: float = 0.0
    headers_early: bool = False
    header_gap_s: float = 0.0
    canned: Canned | None = None
    refusal: Refusal | None = None
    cut_at: int = -1
    cut_how: str = ""
    stall_s: float = 0.0
    edits: list[Edit] = msgspec.field(default_factory=list[Edit])
    slice_bytes: int = 0
    bytes_per_s: int = 0
    body_prefix: bytes = b""
    truncate_body: bool = False
    gzip: bool = False
    content_type: str = ""
    usage: str = ""
    usage_add: int = 0
    extra_tokens: int = 0
    diverge_at: int = -1
    close_after_s: float = -1.0

    @property
    def name(self) -> str:
        return " ".join(self.faults)


HEALTHY = Plan()
