"""Tells the receivers of alerts: a signed POST for each alert that begins or ends, tried again, in a bounded queue."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial

import msgspec

from signalbox import __version__
from signalbox.config.address import AddressProblem, origin_of
from signalbox.config.schema_telemetry import Webhook
from signalbox.control.alerts import Alert
from signalbox.control.exporter import posted
from signalbox.telemetry.log import Log
from signalbox.upstream.post import Posted, Poster

QUEUE_MAX = 256
TRIES_MAX = 6
TRY_S = 10.0
PAUSE_S = 1.0
# Whoever could not be told that something fires is told again after this, while it does: repeat_s may be hours.
UNHEARD_S = 60.0


class Message(msgspec.Struct, frozen=True):
    """The body of a webhook. event: firing or resolved. id: the same for every try and every repetition's own."""

    id: str
    event: str
    alert: str
    severity: str
    subject: str
    summary: str
    since: str
    sent: str
    version: str = __version__


def signature(secret: bytes, body: bytes, now_s: int) -> bytes:
    """`t=…,v1=…` over time and body, so that neither can be replayed with the other."""
    mac = hmac.new(secret, b"%d.%b" % (now_s, body), hashlib.sha256).hexdigest()
    return f"t={now_s},v1={mac}".encode()


class _Receiver:
    """One webhook with what it has still to be told."""

    def __init__(self, settings: Webhook, count: Callable[[str], None], log: Log) -> None:
        origin = origin_of(settings.url, private=settings.allow_private, ca_file=settings.ca_file, proxy=None)
        headers = [(b"content-type", b"application/json"), (b"user-agent", b"signalbox")]
        self.settings = settings
        self._poster = Poster(origin, headers=headers)
        self._host = origin.host
        self._count = count
        self._log = log
        self._queue: deque[Message] = deque()
        self._sending: asyncio.Task[None] | None = None
        # Alerts that it has not heard fire, and since when that is known (monotonic), None until somebody asks.
        self._unheard: dict[tuple[str, str], float | None] = {}

    def wants(self, alert: Alert) -> bool:
        return not self.settings.alerts or alert.name in self.settings.alerts

    def tell(self, message: Message) -> None:
        if len(self._queue) >= QUEUE_MAX:
            self._missed(self._queue.popleft())
            self._count("dropped")
        self._queue.append(message)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    def must_hear(self, key: tuple[str, str], now_s: float) -> bool:
        """Whether it is time to tell it again of an alert that it was not told of."""
        if key not in self._unheard:
            return False
        since = self._unheard[key]
        if since is None:
            self._unheard[key] = since = now_s
        return now_s - since >= UNHEARD_S

    def forget(self, key: tuple[str, str]) -> None:
        """It is told now, or there is nothing left to tell."""
        self._unheard.pop(key, None)

    def _missed(self, message: Message) -> None:
        if message.event == "firing":
            self._unheard[message.alert, message.subject] = None

    async def _send(self) -> None:
        while self._queue:
            message = self._queue.popleft()
            body = msgspec.json.encode(message)
            why = await posted(partial(self._post, body), TRIES_MAX, PAUSE_S)
            self._count("failed" if why else "delivered")
            if why:
                self._missed(message)
                self._log.warning("a webhook was not told", host=self._host, alert=message.alert, reason=why)

    async def _post(self, body: bytes) -> Posted:
        return await self._poster.post(body, self._signed(body), TRY_S)

    def _signed(self, body: bytes) -> list[tuple[bytes, bytes]]:
        if self.settings.secret is None:
            return []
        mac = signature(self.settings.secret.reveal().encode(), body, int(time.time()))
        return [(b"x-signalbox-signature", mac)]

    async def close(self, within_s: float) -> None:
        if self._sending is not None:
            await asyncio.wait((self._sending,), timeout=within_s)
            self._sending.cancel()
        self._poster.close()


class Webhooks:
    """Turns what fires into messages: once when it begins, again every repeat_s while it lasts, once when it ends. A
    receiver that could not be told that something fires is told again after UNHEARD_S."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._settings: list[Webhook] = []
        self._receivers: list[_Receiver] = []
        # What fires: the alert, since when (Unix), and when it was last told (monotonic).
        self._firing: dict[tuple[str, str], tuple[Alert, float, float]] = {}
        self._number = 0
        self.deliveries: dict[str, int] = {}

    async def follow(self, settings: list[Webhook]) -> None:
        """From now on these are told; what fires already is told to all of them anew."""
        if settings == self._settings:
            return
        self._settings = settings
        for receiver in self._receivers:
            await receiver.close(0)
        self._receivers = []
        for position, each in enumerate(settings):
            try:
                self._receivers.append(_Receiver(each, self._count, self._log))
            except (AddressProblem, ValueError) as problem:
                self._log.error("a webhook cannot be used", position=position, reason=f"its url {problem}")
        self._firing = {key: (alert, since, -1e18) for key, (alert, since, _) in self._firing.items()}

    def tell(self, firing: Iterable[Alert], repeat_s: float, now_s: float) -> None:
        """now_s: a monotonic clock."""
        present = {alert.key: alert for alert in firing}
        for key, (alert, since, _) in list(self._firing.items()):
            if key not in present:
                del self._firing[key]
                self._send("resolved", alert, since, self._receivers)
        for key, alert in present.items():
            known = self._firing.get(key)
            since = known[1] if known is not None else time.time()
            if known is None or now_s - known[2] >= repeat_s:
                self._firing[key] = (alert, since, now_s)
                self._send("firing", alert, since, self._receivers)
            else:
                self._send("firing", alert, since, [one for one in self._receivers if one.must_hear(key, now_s)])

    def since(self, alert: Alert) -> float:
        """When it began, Unix seconds."""
        known = self._firing.get(alert.key)
        return known[1] if known is not None else time.time()

    async def close(self) -> None:
        await asyncio.gather(*(receiver.close(2.0) for receiver in self._receivers))

    def _send(self, event: str, alert: Alert, since: float, receivers: list[_Receiver]) -> None:
        if not receivers:
            return
        self._number += 1
        message = Message(
            id=f"{int(time.time() * 1000):x}-{self._number}",
            event=event,
            alert=alert.name,
            severity=alert.severity,
            subject=alert.subject,
            summary=alert.summary,
            since=_iso(since),
            sent=_iso(time.time()),
        )
        for receiver in receivers:
            receiver.forget(alert.key)
            if receiver.wants(alert):
                receiver.tell(message)

    def _count(self, outcome: str) -> None:
        self.deliveries[outcome] = self.deliveries.get(outcome, 0) + 1


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
