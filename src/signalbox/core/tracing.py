"""One call as a trace sees it: where it belongs, and what its attempts were, as plain data for another process."""

from __future__ import annotations

from zlib import crc32

import msgspec

from signalbox.core.usage import Usage

_HEX = frozenset(b"0123456789abcdef")
_SPAN_MASK = (1 << 64) - 1


class Parent(msgspec.Struct, frozen=True):
    """What a `traceparent` header says."""

    trace_id: str
    span_id: str
    sampled: bool


class SeenAttempt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One attempt that has ended. Times: nanoseconds after the call was received; first_ns is 0 without
    content. verdicts: what guards said of it, by the name of the verdict, with how often."""

    attempt_id: str
    span_id: str
    deployment: str
    environment: str
    operator: str
    protocol: str
    model: str
    host: str
    api: str
    stream: bool
    labels: tuple[str, ...]
    reason: str
    state: str
    error: str
    status: int
    usage: Usage
    source: str
    cost_pico: int | None
    started_ns: int
    first_ns: int
    ended_ns: int
    verdicts: dict[str, int]


class SeenCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One call that has ended. started_unix_ns: when it was received. *_ns: after that. found: kinds of findings with
    their number. verdicts: those of guards that belong to no attempt."""

    trace_id: str
    span_id: str
    parent_id: str
    request_id: str
    api: str
    status: int
    code: str
    stream: bool
    tenant: str
    team: str
    key_id: str
    workload: str
    model: str
    labels: tuple[str, ...]
    found: dict[str, int]
    verdicts: dict[str, int]
    reason: str
    choices: tuple[str, ...]
    refused: tuple[str, ...]
    rules: tuple[str, ...]
    config: str
    spent_pico: int
    started_unix_ns: int
    auth_ns: int
    decided_ns: int
    ended_ns: int
    attempts: tuple[SeenAttempt, ...]


class Trace:
    """The trace of one call while it runs. sampled: it is recorded; otherwise only its place is passed on. attempts:
    those that have ended, of errands too; pipeline/settlement adds them. rules: those that refused it; pipeline/ending
    sets them. received_ns: when its call was. propagate: providers are told."""

    __slots__ = ("attempts", "parent_id", "propagate", "received_ns", "rules", "sampled", "span", "trace_id")

    def __init__(
        self, trace_id: str, span: int, parent_id: str, received_ns: int, *, sampled: bool, propagate: bool
    ) -> None:
        self.trace_id = trace_id
        self.span = span
        self.parent_id = parent_id
        self.received_ns = received_ns
        self.sampled = sampled
        self.propagate = propagate
        self.attempts: list[SeenAttempt] = []
        self.rules: tuple[str, ...] = ()

    @property
    def span_id(self) -> str:
        return f"{self.span:016x}"

    def child(self, attempt_id: str) -> str:
        """The span of an attempt, the same whenever it is asked for."""
        return f"{(self.span + crc32(attempt_id.encode())) & _SPAN_MASK or 1:016x}"

    def header(self, attempt_id: str) -> bytes:
        """The `traceparent` that goes on with an attempt."""
        return f"00-{self.trace_id}-{self.child(attempt_id)}-{'01' if self.sampled else '00'}".encode()


def parent_of(value: bytes) -> Parent | None:
    """What a `traceparent` says, by W3C Trace Context: later versions are read as far as this one goes; None for
    anything else, which is then as if nothing had been sent."""
    parts = value.strip().split(b"-", 4)
    if len(parts) < 4 or (parts[0] == b"00" and len(parts) != 4) or parts[0] == b"ff":
        return None
    version, trace, span, flags = parts[:4]
    if (len(version), len(trace), len(span), len(flags)) != (2, 32, 16, 2):
        return None
    if not _HEX.issuperset(version + trace + span + flags) or not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return Parent(trace.decode(), span.decode(), bool(int(flags, 16) & 1))
