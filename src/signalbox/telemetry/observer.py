"""What a worker tells of its calls: a line in the log, and a trace for the process that exports them.

On the request path a call costs one record of what is known anyway; encoding and sending come in batches afterwards. A
process that does not take them in time loses them, counted: no call ever waits.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from random import Random
from time import time_ns

import msgspec

from signalbox.core.call import Call
from signalbox.core.tracing import SeenCall, Trace, parent_of
from signalbox.core.usage import usd
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Metrics

# Calls that wait for the next batch, and how many go in one datagram; a datagram has to fit into the socket's buffer.
WAITING_MAX = 2000
BATCH_MAX = 100
DATAGRAM_BYTES_MAX = 160 * 1024
FLUSH_S = 0.2
SENT, LOST = ("signalbox_spans_total", "handed over"), ("signalbox_spans_total", "lost")


class Observing(msgspec.Struct, frozen=True):
    """What the configuration asks for. log: off, failed or all."""

    log: str = "off"
    traces: bool = False
    sample: float = 1.0
    propagate: bool = True


class Observer:
    """One process's, for one configuration. channel: the way to the exporter, a datagram socket that never blocks.
    traces: `begin` is to be asked for every request. every: `end` is to be told of every one, else of failed ones."""

    __slots__ = (
        "_channel",
        "_due",
        "_log",
        "_metrics",
        "_now_ns",
        "_random",
        "_waiting",
        "every",
        "settings",
        "traces",
    )

    def __init__(
        self,
        settings: Observing,
        channel: socket.socket | None,
        log: Log,
        metrics: Metrics,
        random: Random,
        now_ns: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.traces = settings.traces and channel is not None
        self.every = self.traces or settings.log == "all"
        self._channel = channel
        self._log = log
        self._metrics = metrics
        self._random = random
        self._now_ns = now_ns
        self._waiting: list[SeenCall] = []
        self._due = False

    def begin(self, headers: Iterable[tuple[bytes, bytes]], received_ns: int) -> Trace | None:
        """The trace that a request belongs to or begins; None when it leaves none. Asked only where `traces` is set."""
        settings = self.settings
        for name, value in headers:
            if name == b"traceparent":
                parent = parent_of(value)
                if parent is not None:
                    span = self._random.getrandbits(64) or 1
                    return Trace(
                        parent.trace_id,
                        span,
                        parent.span_id,
                        received_ns,
                        sampled=parent.sampled,
                        propagate=settings.propagate,
                    )
        if settings.sample < 1 and self._random.random() >= settings.sample:
            return None
        span, trace = self._random.getrandbits(64) or 1, self._random.getrandbits(128) or 1
        return Trace(f"{trace:032x}", span, "", received_ns, sampled=True, propagate=settings.propagate)

    def end(self, call: Call, status: int, code: str) -> None:
        """A call was answered. code: the error's, empty for none."""
        if self.settings.log == "all" or (self.settings.log == "failed" and status >= 500):
            self._write(call, status, code)
        trace = call.trace
        if trace is None or not trace.sampled:
            return
        waiting = self._waiting
        if len(waiting) >= WAITING_MAX:
            self._metrics.add(LOST, 1 + len(trace.attempts))
            return
        waiting.append(_seen(call, trace, status, code, self._now_ns()))
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(FLUSH_S, self._flush_later)

    def _flush_later(self) -> None:
        self._due = False
        self.flush()
        if self._waiting:  # the exporter is behind: they go with the next ones, or are lost when there are too many
            self._due = True
            asyncio.get_running_loop().call_later(FLUSH_S, self._flush_later)

    def flush(self) -> None:
        """Hands over what waits, as far as it is taken."""
        while self._waiting:
            batch = self._waiting[:BATCH_MAX]
            if not self._hand_over(batch):
                return
            del self._waiting[: len(batch)]

    def _hand_over(self, batch: list[SeenCall]) -> bool:
        """Whether the batch is dealt with, sent or not; False when it may be tried again."""
        data = msgspec.msgpack.encode(batch)
        if len(data) > DATAGRAM_BYTES_MAX and len(batch) > 1:
            half = len(batch) // 2
            return self._hand_over(batch[:half]) and self._hand_over(batch[half:])
        outcome = LOST
        if self._channel is not None:
            try:
                self._channel.send(data)
                outcome = SENT
            except BlockingIOError:
                return False
            except OSError:
                pass  # nobody is there, or one call alone is too large
        self._metrics.add(outcome, sum(1 + len(call.attempts) for call in batch))
        return True

    def _write(self, call: Call, status: int, code: str) -> None:
        decision = call.decision
        write = self._log.error if status >= 500 else self._log.info
        write(
            "request",
            request=call.id,
            endpoint=call.api,
            status=status,
            code=code,
            tenant=call.principal.tenant,
            key_id=call.principal.key_id,
            workload=call.workload.name,
            choice=decision.choices[0].name if decision is not None and decision.choices else "",
            reason=call.reason,
            attempts=call.attempts,
            failures="; ".join(call.failures),
            cost_usd=usd(call.spent_pico),
            duration_ms=round((self._now_ns() - call.received_ns) / 1e6, 3),
            trace=call.trace.trace_id if call.trace is not None else "",
        )


def _seen(call: Call, trace: Trace, status: int, code: str, now_ns: int) -> SeenCall:
    decision, received_ns, principal = call.decision, call.received_ns, call.principal
    deployments = call.snapshot.deployments
    placements = call.workload.placements or range(len(deployments))
    ended_ns = now_ns - received_ns
    return SeenCall(
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_id=trace.parent_id,
        request_id=call.id,
        api=call.api,
        status=status,
        code=code,
        stream=call.envelope.stream,
        tenant=principal.tenant,
        team=principal.team,
        key_id=principal.key_id,
        workload=call.workload.name,
        model=call.model,
        labels=call.labels.names(),
        found=call.found,
        verdicts=call.guarded.counts if call.guarded is not None else {},
        reason=call.reason,
        choices=tuple(each.name for each in decision.choices) if decision is not None else (),
        refused=tuple(deployments[index].name for index in placements if not call.permitted >> index & 1),
        rules=trace.rules,
        config=call.snapshot.version,
        spent_pico=call.spent_pico,
        started_unix_ns=time_ns() - ended_ns,
        auth_ns=call.auth_ns - received_ns,
        decided_ns=max(0, call.decided_ns - received_ns),
        ended_ns=ended_ns,
        attempts=tuple(trace.attempts),
    )
