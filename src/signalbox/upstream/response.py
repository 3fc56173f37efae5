"""An answer that may still be arriving: the connection fills it, the request's task empties it, limits watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Protocol

from signalbox.core.errors import LedgerError, UpstreamFault
from signalbox.core.ports import Entry
from signalbox.core.snapshot import Origin, Timeouts
from signalbox.upstream.inflate import InflateError, Inflater
from signalbox.upstream.time_share import TimeShare

# What may follow the announced end of an answer before its connection is given up.
LINGER_S = 1.0
LINGER_BYTES_MAX = 16 * 1024

_WAIT_HEAD, _WAIT_FIRST, _IN_BODY, _LINGER = range(4)


class Refused(Exception):
    """Raised inside a parser's callback to stop it; the reason is ours and safe to show."""


class Carrier(Protocol):
    """The connection, as its answer sees it."""

    paused: bool
    closed: bool

    def exchange(self, response: UpstreamResponse, start: bytes, rest: bytes) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class Decoder(Protocol):
    """Where body bytes go when they are not handed on as they are."""

    def feed(self, data: bytes) -> None: ...

    def take(self) -> bytes: ...

    @property
    def complete(self) -> bool: ...


# Takes a piece of the body; False when it wants no more for now.
Sink = Callable[[bytes], bool]


class UpstreamResponse:
    """Owned by one task; call `release` when done with it, read fully or not.

    status and headers (names in lower case) are set once `Transport.send` returns. connect_us: time until a new
    connection was at hand, waiting for the right to open it included. queue_us: time until somebody else's became
    free. Both 0 for one from the pool. reused: it came over a connection that had served before. retried: a stale
    connection cost a second try. unread: body bytes that wait for `chunk`.
    Set by the connection: status, headers, heard_at (monotonic second of the first byte). Read by the transport:
    deadline (monotonic), fault, stale (the connection had served before, and not one byte came back this time).
    """

    __slots__ = (
        "_active",
        "_carrier",
        "_chunks",
        "_decoder",
        "_done",
        "_idle_s",
        "_loop",
        "_origin",
        "_parcel",
        "_phase",
        "_share",
        "_silent_by",
        "_sink",
        "_stream",
        "_timeouts",
        "_total_by",
        "_until_content",
        "_waiter",
        "_written_at",
        "connect_us",
        "deadline",
        "fault",
        "headers",
        "heard_at",
        "queue_us",
        "retried",
        "reused",
        "stale",
        "status",
        "unread",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: Origin,
        timeouts: Timeouts,
        active: dict[UpstreamResponse, None],
        started_at: float,
        stream: bool,
        until_content: bool,
        share: TimeShare | None = None,
    ) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.connect_us = self.queue_us = self.unread = 0
        self.reused = self.retried = self.stale = self._done = False
        self.heard_at = 0.0
        self.fault: UpstreamFault | LedgerError | None = None
        self._loop = loop
        self._origin = origin
        self._timeouts = timeouts
        self._idle_s = timeouts.idle_s
        self._active = active
        self._total_by = started_at + timeouts.total_s
        self._stream = stream
        self._until_content = until_content
        self._share = share
        self._silent_by = started_at + share.silent_s if share is not None else inf
        if not stream and self._silent_by < self._total_by:
            # Its client has nothing of it before it is whole, whenever its head comes.
            self._total_by = self._silent_by
        self._carrier: Carrier | None = None
        # The request, while it waits for its record.
        self._parcel: tuple[bytes, bytes] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._decoder: Decoder | None = None
        self._chunks: list[bytes] = []
        self._sink: Sink | None = None
        self._phase = _WAIT_HEAD

    # --- what the request's task calls ---

    @property
    def ttfb_us(self) -> int:
        """From the request written to the first byte of the answer."""
        return int((self.heard_at - self._written_at) * 1e6)

    async def chunk(self) -> bytes:
        """Everything of the body that arrived since the last call; b"" once, and for ever, at its clean end.

        Raises UpstreamFault. When the waiting task is cancelled the socket is closed at once.
        """
        while True:
            if self._decoder is not None:
                piece = self._decoded(self._decoder)
                if piece:
                    return piece
            elif self._chunks:
                return self._take()
            if self.fault is not None:
                raise self.fault
            if self._done:
                return b""
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            except BaseException:
                # Cancelled: whoever asked is gone, so the upstream must not go on working (and billing).
                self.abort()
                raise

    async def push(self, sink: Sink) -> None:
        """Hands the body to `sink` piece by piece as it arrives, without waking the task for each piece; returns when
        the sink said that it wants no more for now, or after the clean end. `finished` tells which.

        Raises UpstreamFault, and whatever the sink raised. When the waiting task is cancelled the socket is closed.
        """
        self._sink = sink
        try:
            while self._push():
                if self.fault is not None:
                    raise self.fault
                if self._done:
                    return
                # No name for it here: it may be given what the sink raised, which holds this frame.
                self._waiter = self._loop.create_future()
                await self._waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._sink = None

    @property
    def finished(self) -> bool:
        """The whole body was received and taken."""
        return self._done and not self._chunks and self.fault is None

    def whole(self) -> bytes:
        """The whole body where it is all here in one piece, as it usually is; else empty: `body` is to be asked."""
        if self._done and len(self._chunks) == 1 and self._decoder is None:
            self.unread = 0
            return self._chunks.pop()
        return b""

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises UpstreamFault, of kind protocol when it is longer than bytes_max."""
        pieces: list[bytes] = []
        size = 0
        while size <= bytes_max:
            piece = await self.chunk()
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        if size > bytes_max:
            self.abort()
            raise self._fault_of("protocol", f"the answer is longer than {bytes_max} bytes")
        return b"".join(pieces)

    def content_seen(self) -> None:
        """Ends the first-token limit of a response that was sent with until_content."""
        self._until_content = False
        if self._phase == _WAIT_FIRST:
            self._phase = _IN_BODY
            self._arm(monotonic() + self._idle_s)

    def release(self, *, ended: bool = False) -> None:
        """The caller wants no more of this answer. Idempotent, never raises, never waits.

        ended: the answer said itself that it is over (`[DONE]`, `message_stop`), and only the end of its HTTP body
        may be missing: that is given a moment to arrive, so that the connection can serve again. Otherwise an
        unfinished answer is aborted.
        """
        if self._carrier is None:
            return
        if not ended:
            self.abort()
        elif self._phase != _LINGER:
            self._chunks.clear()
            self._decoder = _Rest()
            self._drained()
            self._phase = _LINGER
            self._arm(monotonic() + LINGER_S)

    def abort(self) -> None:
        """Closes the socket at once unless the answer is complete. Idempotent, never raises, never waits."""
        carrier = self._carrier
        if carrier is not None:
            self._fail("reset", "closed by this side")
            carrier.close()

    # --- what the transport calls ---

    def begin(self, carrier: Carrier, now: float) -> asyncio.Future[None]:
        """The request is about to be written: the limits of the answer start to run. The future is done when the head
        is complete or `fault` is set."""
        timeouts = self._timeouts
        self._carrier = carrier
        self._written_at = now
        self._active[self] = None
        head_s = timeouts.headers_s
        if self._stream and timeouts.first_token_s < head_s:
            head_s = timeouts.first_token_s
        self.deadline = now + head_s if now + head_s < self._total_by else self._total_by
        if self._silent_by < self.deadline:
            self.deadline = self._silent_by
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def wait_for(self, entry: Entry, start: bytes, rest: bytes) -> None:
        """The request is written once its record is in the journal."""
        self._parcel = start, rest
        entry.before(self)

    @property
    def waits(self) -> bool:
        """Not a byte of the request was given to the connection."""
        return self._parcel is not None

    def leave(self) -> None:
        parcel, carrier = self._parcel, self._carrier
        if parcel is None or carrier is None:
            return  # whoever asked is gone
        if not carrier.closed:
            self._parcel = None
            try:
                carrier.exchange(self, *parcel)
                return
            except Exception:  # others leave in the same turn: what is wrong with this one must not keep them
                carrier.close()
        self.lost("reset", "the connection was closed before the request", stale=True)

    def stay(self, error: LedgerError) -> None:
        carrier = self._carrier
        if carrier is not None:
            self.fault = error
            self._fail("reset", "its record could not be taken")
            carrier.close()
            self.wake()

    def begin_again(self) -> None:
        """Forgets a first try that died of a stale connection."""
        self.retried = True
        self.reused = self.stale = False
        self.fault = self._parcel = None

    def expire(self, now: float) -> None:
        """The deadline has passed: a limit was reached, unless it is the reader who is slow and not the upstream."""
        kind, what = self._overdue(now)
        if not kind:
            self._arm(now + self._idle_s)
            return
        carrier = self._carrier
        self._fail(kind, what)
        if carrier is not None:
            carrier.close()
        self.wake()

    # --- what the connection calls ---

    def head_complete(self, status: int, headers: list[tuple[bytes, bytes]], decoder: Inflater | None) -> None:
        self.status = status
        self.headers = headers
        self._decoder = decoder
        self._phase = _WAIT_FIRST if self._stream else _IN_BODY

    def body_arrived(self, data: bytes) -> None:
        self.unread += len(data)
        if self._decoder is None:
            self._chunks.append(data)
        else:
            self._decoder.feed(data)

    def progressed(self, *, body: bool) -> None:
        """After a batch that ended the head or held some body: the idle limit starts anew, the reader wakes."""
        by = monotonic() + self._idle_s
        if self._phase != _IN_BODY:
            if self._phase == _LINGER:
                return
            by = self._first_progress(by, body=body)
        self.deadline = by if by < self._total_by else self._total_by
        if self._sink is not None and self._took():
            return
        self.wake()

    def finish(self) -> None:
        """The answer is complete; its connection is somebody else's from here."""
        self._carrier = None
        self._done = True
        self._active.pop(self, None)
        if self._sink is not None:
            self._took()
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def lost(self, kind: str, what: str, *, stale: bool = False) -> None:
        """The connection died under the answer."""
        self.stale = stale
        self._fail(kind, what)
        self.wake()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    # --- inside ---

    def _took(self) -> bool:
        """Gives the sink what arrived; False when its task must wake: it wants no more, or failed."""
        waiter = self._waiter
        sink, chunks, carrier = self._sink, self._chunks, self._carrier
        try:
            if sink is None or self._decoder is not None or len(chunks) != 1 or carrier is None or carrier.paused:
                return self._push()
            self.unread = 0  # the usual case: one piece, and nobody was made to wait
            if sink(chunks.pop()):
                return True
            self._sink = None
            return False
        except Exception as error:
            self._sink = None  # more may come before its task wakes, and goes nowhere
            if waiter is not None and not waiter.done():
                self._waiter = None
                waiter.set_exception(error)
            waiter = None  # it holds the error, which holds this frame
            return True

    def _push(self) -> bool:
        sink = self._sink
        if sink is None:
            return False
        while True:
            if self._decoder is not None:
                piece = self._decoded(self._decoder)
            else:
                piece = self._take() if self._chunks else b""
            if not piece:
                return True
            if not sink(piece):
                self._sink = None
                return False

    def _take(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._drained()
        return data

    def _decoded(self, decoder: Decoder) -> bytes:
        try:
            piece = decoder.take()
        except InflateError as error:
            self.abort()
            self.fault = self._fault_of("protocol", str(error))
            raise self.fault from None
        if not piece:
            self._drained()
            if self._done and self.fault is None and not decoder.complete:
                self.fault = self._fault_of("truncated", "the compressed body is cut")
        return piece

    def _drained(self) -> None:
        self.unread = 0
        carrier = self._carrier
        if carrier is not None and carrier.paused:
            # While we did not read, the upstream could not be heard: its silence counts from now.
            self._arm(monotonic() + self._idle_s)
            carrier.resume()

    def _arm(self, phase_by: float) -> None:
        self.deadline = phase_by if phase_by < self._total_by else self._total_by

    def _first_progress(self, quiet_by: float, *, body: bool) -> float:
        """The limit that holds after something arrived while the first token was awaited."""
        first_by = min(self._written_at + self._timeouts.first_token_s, self._silent_by)
        if self._until_content:
            return min(quiet_by, first_by)
        if not body:
            return first_by
        self._phase = _IN_BODY
        return quiet_by

    def _overdue(self, now: float) -> tuple[str, str]:
        """Which limit has passed, or ("", "") for none."""
        timeouts = self._timeouts
        waited_s = now - self._written_at
        share = self._share
        if share is not None and now >= self._silent_by and (self._phase <= _WAIT_FIRST or not self._stream):
            return "silent" if share.silence_tells else "hurried", "nothing in its share of the client's time"
        if now >= self._total_by:
            return "total_timeout", "the answer took longer than total_s"
        if self._phase == _WAIT_HEAD and waited_s >= timeouts.headers_s:
            return "headers_timeout", "no complete response head within headers_s"
        if self._phase <= _WAIT_FIRST and self._stream and waited_s >= timeouts.first_token_s:
            return "first_token_timeout", "no first token within first_token_s"
        if self.unread and self._phase != _LINGER:
            return "", ""
        return "idle_timeout", "no body byte within idle_s"

    def _fail(self, kind: str, what: str) -> None:
        self._carrier = None
        if self.fault is None:
            self.fault = self._fault_of(kind, what)
        self._active.pop(self, None)

    def _fault_of(self, kind: str, what: str) -> UpstreamFault:
        return UpstreamFault(kind, f"{self._origin.name}: {what}", sent=not self.waits)


class _Rest:
    """Takes what follows the announced end of an answer, and refuses when that does not stop."""

    __slots__ = ("_bytes",)

    complete = True

    def __init__(self) -> None:
        self._bytes = 0

    def feed(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > LINGER_BYTES_MAX:
            raise Refused("the answer went on after its own end")

    def take(self) -> bytes:
        return b""
