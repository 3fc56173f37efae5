"""Kept answers for many machines: a Valkey or Redis server that all processes of an installation use.

    …:log      a sorted set: one member names the epoch (score 0), the others are invalidated tags, each with the number
               of its last invalidation
    …:index    a sorted set: what is stored, by when it ends, with its size; the member `=` holds the sum, negative
    …:e:…      an entry: the number of the newest invalidation when its question was asked, and the sealed answer

The server is trusted with nothing but its existence. Entries are sealed under a key that only the whole question
yields, tags under the installation's secret. An entry is given only after the log was read, no longer ago than FRESH_S,
and none of its tags was invalidated since its question was asked. All names hold the run of the server, and entries the
epoch of the log: after a restart, a fail-over or an eviction of the log, which may all bring back or lose what was
written, nothing that was kept before is found again.

No call waits for a connection, and for an answer no longer than a small limit. Whoever cannot be told what was
invalidated gives nothing: then there is no cache. After some answers in a row that did not come in time the server is
left alone for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from signalbox.cache.entry import Entry
from signalbox.cache.resp import Argument, Connection, Refused
from signalbox.cache.scope import Name
from signalbox.cache.shared_log import NUMBER_BYTES, Log, Moved, opening
from signalbox.cache.shared_rest import Rest, Tell
from signalbox.cache.shared_server import CONNECT_S, reach
from signalbox.cache.shared_writer import Writer
from signalbox.cache.shelf import EVERYTHING, Put, unsealed
from signalbox.core.caching import SharedCache
from signalbox.core.errors import StoreError, forget_frames

# What was read of the log holds for so long. Whoever invalidates waits as long before saying that it is done.
FRESH_S = 0.4
# The log's life is prolonged so often.
REARM_S = 3600.0


class SharedShelf:
    """One process's way to the server, used from the loop's thread. forget: told of tags that were invalidated. tell:
    of trouble with the server."""

    def __init__(
        self,
        at: SharedCache,
        secret: bytes,
        clock: Callable[[], float],
        forget: Callable[[list[str]], None],
        tell: Tell,
    ) -> None:
        """Connects at the first need."""
        self.at = at
        self._log = Log(secret)
        self._clock = clock
        self._forget = forget
        self._reader: Connection | None = None
        self._heard_s = float("-inf")
        self._armed_s = 0.0
        self._rest = Rest("the shared cache cannot be asked", tell)
        self._connecting: asyncio.Task[None] | None = None
        self._writer = Writer(at, self._log, clock, tell)

    @property
    def failures(self) -> int:
        """Connections that were lost or could not be had."""
        return self._rest.failures

    @property
    def trouble(self) -> str:
        """What the last failure said, empty while all is well."""
        return self._rest.trouble

    # --- for look-ups ---

    @property
    def connected(self) -> bool:
        return self._reader is not None and not self._reader.lost

    @property
    def fresh(self) -> bool:
        """Whether what is known of invalidations is new enough to give anything."""
        return self.connected and self._clock() - self._heard_s < FRESH_S

    @property
    def mark(self) -> int:
        """Where the log is as far as it was read; -1 when nobody can tell."""
        return self._log.mark if self.connected else -1

    def current(self, tags: Sequence[str], since: int) -> bool:
        """Whether nothing with one of these tags is known to have been invalidated since a mark."""
        return self.connected and self._log.of_this_epoch(since) and self._log.holds(tags, self._log.since(since))

    async def find(self, name: Name | None) -> Entry | None:
        """Reads what is new in the log, and what is kept under a name. None too when the server does not tell."""
        reader = self._ready()
        if reader is None:
            return None
        log, asked_s, era = self._log, self._clock(), self._log.era
        commands: list[Sequence[Argument]] = [
            ("ZSCORE", log.log, log.epoch),
            ("ZRANGEBYSCORE", log.log, f"({log.seen}", "+inf", "WITHSCORES"),
        ]
        if name is not None:
            commands.append(("GET", log.entry(name)))
        try:
            told = await reader.run(*commands, within_s=self.at.timeout_s)
            self._rest.answered()
            if told[0] is None or era != log.era:
                raise Moved("the log of the shared cache is not the one that was read")
            news = log.take(told[1])
        except StoreError as error:
            self._failed(reader, error)
            forget_frames(error)
            return None
        self._heard_s = max(self._heard_s, asked_s)
        if news:
            self._forget(news)
        raw: bytes | None = told[2] if name is not None else None
        if name is None or raw is None or len(raw) <= NUMBER_BYTES:
            return None
        since, entry = int.from_bytes(raw[:NUMBER_BYTES], "big"), unsealed(name, raw[NUMBER_BYTES:])
        return entry if entry is not None and log.holds(entry.tags, since) else None

    def put(self, put: Put) -> bool:
        """Takes an entry to store soon; False when it is not for the server, or too many wait already."""
        return self.connected and self._writer.put(put)

    def begin(self) -> None:
        """Connects ahead of the first look-up."""
        self._ready()

    async def stop(self) -> None:
        """What waits to be stored is stored if the server takes it at once."""
        await self._writer.stop()
        self.close()
        left = [task for task in (self._writer.task, self._connecting) if task is not None and not task.done()]
        if left:
            await asyncio.wait(left)

    def close(self) -> None:
        self._rest.for_good()
        for task in (self._writer.task, self._connecting):
            if task is not None:
                task.cancel()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # --- connections ---

    def _ready(self) -> Connection | None:
        """The connection, or None while there is none; then one is being made, unless the server is left alone."""
        if self._reader is not None and not self._reader.lost:
            if self._clock() - self._armed_s < REARM_S:
                return self._reader
        elif self._reader is not None:
            self._given_up(self._reader, "the connection was lost")
        if (self._connecting is None or self._connecting.done()) and self._rest.is_over(self._clock()):
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        return self._reader

    async def _connect(self) -> None:
        connection: Connection | None = None
        try:
            connection, run = await reach(self.at)
            asked_s = self._clock()
            self._log.name(run)
            anew = self._log.restart((await connection.run(opening(self._log), within_s=CONNECT_S))[0])
        except StoreError as error:
            if connection is not None:
                connection.close()
            self._rest.failed(str(error), self._clock())
            forget_frames(error)
            return
        before, self._reader = self._reader, connection
        if before is not None:
            before.close()
        self._heard_s, self._armed_s = asked_s, asked_s
        self._rest.connected()
        self._forget([EVERYTHING] if anew else list(self._log.ended))

    def _failed(self, reader: Connection, error: StoreError) -> None:
        """One answer did not come in time, or not as it should."""
        if self._rest.late() or reader.lost or isinstance(error, Refused | Moved):
            self._given_up(reader, str(error))

    def _given_up(self, reader: Connection, why: str) -> None:
        reader.close()
        if self._reader is reader:
            self._reader = None
            self._rest.failed(why, self._clock())
