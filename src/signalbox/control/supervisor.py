"""The supervisor: it owns configuration, keys, store, shipper and control plane, and keeps its workers alive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from signalbox import __version__
from signalbox.control.alerts import Alert
from signalbox.control.breakers import Breakers
from signalbox.control.checked import Checked
from signalbox.control.key_delivery import KeyDelivery
from signalbox.control.links import Link
from signalbox.control.source import ConfigSource, Text
from signalbox.control.storage import StoreThread
from signalbox.control.tally import Tally
from signalbox.control.workers import Workers
from signalbox.core.budgets import Balance
from signalbox.core.errors import ConfigError, StoreError
from signalbox.core.link import ApplyConfig, EndLapsed, Stop
from signalbox.core.ports import Store
from signalbox.ledger.recover import Recovery
from signalbox.ledger.ship import ShipperStats
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Metrics

WATCH_S = 0.25
# Within so long after it was revoked a worker that starts hears of a key whose calls end.
REVOKED_MS = 10_000
# What is due is told in at most so many lines of the log.
DUE_LINES_MAX = 20


class Shipping(Protocol):
    """What moves the journal into the store."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def stats(self) -> ShipperStats: ...


class Supervisor:
    """Runs until `stopping` is set.

    spawn: starts one worker. recover: settles what dead processes left open in their journals (blocking). end_leases:
    books then what they had paid from their leases; until the store has taken that, it is owed. check: raises
    ConfigError for a text that cannot be put in force. stop_listening: lets go of this process's hold on the workers'
    socket, so that new connections are refused once they have closed theirs. today: the UTC date, ISO.
    """

    def __init__(
        self,
        *,
        source: ConfigSource,
        store: StoreThread,
        pepper: bytes,
        workers: int,
        spawn: Callable[[], Awaitable[Link]],
        recover: Callable[[], Recovery],
        end_leases: Callable[[Store], int],
        check: Callable[[Text, int], Checked],
        shipping: Shipping,
        stop_listening: Callable[[], None],
        today: Callable[[], str],
        stopping: asyncio.Event,
        log: Log,
    ) -> None:
        self._today = today
        self._source = source
        self._store = store
        self.keys = KeyDelivery(store, pepper, self._keys_ended)
        self._tally = Tally()
        self.workers = Workers(workers, spawn, self.keys, self._tally, log)
        self._recover = recover
        self._end_leases = end_leases
        self._owes_leases = True
        self._check = check
        self._shipping = shipping
        self._stop_listening = stop_listening
        self._log = log
        self._text: Text | None = None
        self.checked = Checked("", 0.0)
        self._turn = asyncio.Lock()
        self.generation = 0
        self.reload_failures = 0
        # How often in a row the store could not be read.
        self.store_failures = 0
        self._asking: asyncio.Task[None] | None = None
        self.last_error = ""
        self.reload_wanted = False
        self.stopping = stopping
        # What goes on beside: alerts that fire since a Unix time, and who else has something for the metrics.
        self.firing: list[tuple[Alert, float]] = []
        self.breakers = Breakers(lambda: time.time_ns() // 1_000_000)
        self.also_counts = self._tally.also
        self.also_counts += [self._count, self.breakers.see]

    # --- life ---

    async def start(self) -> None:
        """Everything up to accepting calls. Raises ConfigError when the first configuration is wrong."""
        recovered = await self._settle_dead()
        if recovered:
            self._log.warning("recovered open attempts of a dead process", attempts=recovered)
        text = self._source.read()
        self.checked = self._check(text, 1)
        self._text, self.generation = text, 1
        await self.keys.load()
        await self._pay_leases()
        async with self._turn:
            await self.workers.start(self._order(text, self.generation))
        await self._shipping.start()
        self._tell_due()

    async def run(self) -> None:
        """Watch configuration, keys and workers until told to stop; then drain."""
        while not self.stopping.is_set():
            try:
                await asyncio.wait_for(self.stopping.wait(), WATCH_S)
            except TimeoutError:
                await self._watch()
        await self._stop()

    async def _watch(self) -> None:
        lapsed = self._lapsed()
        if self.reload_wanted or self._source.changed(self.checked.files) or lapsed:
            self.reload_wanted = False
            if await self.reload() and lapsed:
                await self._renew()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_store())
        await self._revive()

    async def _ask_store(self) -> None:
        """Beside everything else: a store that hangs, restarts or is gone holds up no reload and no worker's return.
        Keys stay as they were last read until it answers again."""
        try:
            await self.keys.load()
            await self._pay_leases()
        except StoreError as error:
            if not self.store_failures:
                self._log.error("the store cannot be read; keys stay as they are", reason=str(error)[:500])
            self.store_failures += 1
        else:
            if self.store_failures:
                self._log.info("the store can be read again", failures=self.store_failures)
            self.store_failures = 0

    def _lapsed(self) -> bool:
        """A fact that was compiled in, such as an attestation, no longer holds today."""
        return self.checked.stale_on is not None and self._today() >= self.checked.stale_on

    async def _stop(self) -> None:
        self._log.info("draining", grace_s=self.checked.grace_s)
        if self._asking is not None:
            self._asking.cancel()
        self._stop_listening()
        await self.workers.drain(self.checked.grace_s)
        await self._shipping.stop()
        self._log.info("stopped")

    # --- configuration ---

    async def reload(self) -> str:
        """Put the file's present content in force on every worker, or keep the last good one and say why.

        Returns the reason, empty on success.
        """
        async with self._turn:
            try:
                await self._put_in_force(self._source.read())
            except ConfigError as error:
                return self._refused(str(error))
            self.last_error = ""
            return ""

    async def _renew(self) -> None:
        """The last good configuration as it is today, while the file holds none that could replace it: what lapsed
        counts as absent all the same."""
        async with self._turn:
            if self._text is None:
                return
            try:
                await self._put_in_force(self._text)
            except ConfigError as error:
                await self._end_lapsed(str(error))

    async def _end_lapsed(self, why: str) -> None:
        """The last good configuration cannot be put in force as it is today: it stays without what lapsed, and is tried
        again tomorrow."""
        order = EndLapsed(self.generation + 1)
        error = await self.workers.apply(order)
        self.generation = order.generation
        if error:
            self._log.error("what lapsed still counts", reason=error[:2000])
            return
        self.checked = self.checked.until_tomorrow(self._today())
        self._log.error("the last good configuration fails today; it stays without what lapsed", reason=why[:2000])

    async def _put_in_force(self, text: Text) -> None:
        """On every worker, or raises ConfigError and leaves the last good one."""
        checked = self._check(text, self.generation + 1)
        order = self._order(text, self.generation + 1)
        error = await self.workers.apply(order)
        if error:
            # A file that only one worker cannot read: what the others took, they give back.
            await self.workers.apply(self._order(self.text, self.generation))
            raise ConfigError([error])
        self._text, self.generation, self.checked = text, order.generation, checked
        self._log.info("configuration in force", generation=self.generation)
        self._tell_due()

    def _tell_due(self) -> None:
        """On every start and reload, and so on the days on which a warning is due: contracts that run out, and
        obligations that are missed."""
        for what in self.checked.due[:DUE_LINES_MAX]:
            self._log.warning("due", what=what)
        more = len(self.checked.due) - DUE_LINES_MAX
        if more > 0:
            self._log.warning("more is due, `signalbox check` lists it", count=more)

    def _order(self, text: Text, generation: int) -> ApplyConfig:
        return ApplyConfig(text.content, text.name, generation)

    def _refused(self, why: str) -> str:
        self.reload_failures += 1
        self.last_error = why
        self._log.error("configuration refused, the last good one stays in force", reason=why[:2000])
        return why

    async def _pay_leases(self) -> None:
        """Raises StoreError, and then it is tried again with the next turn."""
        if self._owes_leases:
            self._owes_leases = False
            try:
                await self._store.run(self._end_leases)
            except StoreError:
                self._owes_leases = True
                raise

    # --- workers ---

    async def _revive(self) -> None:
        """Start again what died, and settle at once what it left open."""
        dead = await self.workers.let_go_of_dead()
        if not dead:
            return
        recovered = await self._settle_dead()
        self._owes_leases = True
        self._log.error("a worker died and is started again", workers=dead, attempts_recovered=recovered)
        # With the turn held no reload comes between: it would miss the workers that are being started.
        async with self._turn:
            await self.workers.start_again(dead, self._order(self.text, self.generation))

    async def _settle_dead(self) -> int:
        """Ends what dead processes left open."""
        recovery = await asyncio.to_thread(self._recover)
        self._tally.recovered(recovery)
        return recovery.attempts

    # --- what others read ---

    @property
    def text(self) -> Text:
        """The configuration in force, as it was read."""
        if self._text is None:
            raise RuntimeError("asked for the configuration before the start")
        return self._text

    async def balances(self, now_ms: int) -> list[Balance]:
        """What the store knows of budgets."""
        return await self._store.run(lambda store: store.balances(now_ms))

    async def _keys_ended(self, ids: list[str]) -> None:
        """What still runs for keys that were revoked ends too, where the configuration in force says so."""
        if self.checked.ends_revoked:
            now_ms = time.time_ns() // 1_000_000
            for key_id in ids:
                await self.workers.stop_calls(Stop("key", key_id, now_ms + REVOKED_MS), now_ms)

    @property
    def config_name(self) -> str:
        """What the configuration was read from, as messages name it."""
        return self._text.name if self._text is not None else ""

    @property
    def config_file(self) -> Path | None:
        """The file that a change of the configuration is written to, None where it is no file."""
        return self._source.path

    async def metrics(self) -> Metrics:
        """The sum over all workers, with the supervisor's own figures."""
        return await self._tally.total(self.workers.links)

    def _count(self, total: Metrics) -> None:
        total.set(("signalbox_workers",), self.workers.alive)
        total.set(("signalbox_config_generation",), self.generation)
        total.set(("signalbox_keys",), len(self.keys))
        total.set(("signalbox_config_reload_failures_total",), self.reload_failures)
        shipped = self._shipping.stats()
        total.set(("signalbox_ledger_records_shipped_total",), shipped.records)
        total.set(("signalbox_ledger_ship_failures_total",), shipped.failures)
        total.set(("signalbox_ledger_lag_seconds",), shipped.lag_s)
        total.set(("signalbox_anchor_failing",), int(bool(shipped.anchor_error)))
        total.add(("signalbox_journal_findings_total",), shipped.findings)
        total.add(("signalbox_log_lines_dropped_total",), self._log.dropped)
        total.set(("signalbox_build_info", __version__), 1)
        for about, count in self.checked.due_counts.items():
            total.set(("signalbox_due", about), count)
