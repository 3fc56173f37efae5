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
import contextlib
import os
import ssl
from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signalbox.cache.entry import Entry
from signalbox.cache.resp import Argument, Connection, Refused
from signalbox.cache.scope import Name
from signalbox.cache.shelf import EVERYTHING, Put, sealed, unsealed
from signalbox.core.caching import SharedCache
from signalbox.core.errors import StoreError

# What was read of the log holds for so long. Whoever invalidates waits as long before saying that it is done.
FRESH_S = 0.4
CONNECT_S, WRITE_S = 2.0, 1.0
# So many answers in a row that did not come in time, and the connection is given up.
LATE_MAX = 3
# How long the server is left alone: after the first failure, and at most.
REST_S, REST_S_MAX = 0.5, 15.0
# Longer answers stay in the memory of their process.
VALUE_BYTES_MAX = 1 << 20
PENDING_MAX, PENDING_BYTES_MAX = 1024, 16 << 20
BATCH_MAX = 64
# The connection that stores is kept for so long without anything to store.
IDLE_S = 30.0
# With more invalidated tags than this everything is ended instead.
TAGS_MAX = 10_000
# The log ends when nobody has looked at it for so long; entries end with it.
LOG_S, REARM_S = 7 * 86_400, 3600.0
# What an entry takes besides its content, roughly.
OVERHEAD_BYTES = 300
_NUMBER_BYTES, _NONCE_BYTES = 8, 12
_ERA = 1 << 44

_OPEN = """
if not redis.call('ZRANGE', KEYS[1], 0, 0)[1] then redis.call('ZADD', KEYS[1], 0, ARGV[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
"""
_END = """
local all = #ARGV == 3
if not all and redis.call('ZCARD', KEYS[1]) + #ARGV > tonumber(ARGV[3]) then all = true end
if all then redis.call('DEL', KEYS[1]) end
if not redis.call('ZRANGE', KEYS[1], 0, 0)[1] then redis.call('ZADD', KEYS[1], 0, ARGV[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
if all then return 0 end
local number = tonumber(redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]) + 1
for at = 4, #ARGV do redis.call('ZADD', KEYS[1], number, ARGV[at]) end
return number
"""
# What is too old is taken off the books, and of what is too much the first to end goes.
_PUT = """
local log, index, key = KEYS[1], KEYS[2], KEYS[3]
if not redis.call('ZSCORE', log, ARGV[1]) then return 0 end
for at = 6, #ARGV do
  local ended = redis.call('ZSCORE', log, ARGV[at])
  if ended and tonumber(ended) > tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', key, ARGV[5], 'PX', ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most = tonumber(ARGV[4])
local function leave(member)
  redis.call('ZREM', index, member)
  redis.call('ZINCRBY', index, tonumber(string.match(member, '^%d+')), '=')
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', index, '(0', now, 'LIMIT', 0, 64)) do leave(member) end
local size = string.len(ARGV[5]) + OVERHEAD
if redis.call('ZADD', index, now + tonumber(ARGV[3]), string.format('%d:%s', size, key)) == 1 then
  redis.call('ZINCRBY', index, -size, '=')
end
for _ = 1, 64 do
  if -tonumber(redis.call('ZSCORE', index, '=') or 0) <= most then break end
  local first = redis.call('ZRANGEBYSCORE', index, '(0', '+inf', 'LIMIT', 0, 1)[1]
  if not first then break end
  redis.call('DEL', string.match(first, ':(.*)$'))
  leave(first)
end
return 1
""".replace("OVERHEAD", str(OVERHEAD_BYTES))


class Moved(StoreError):
    """The log is not the one that was read before."""


class Held(msgspec.Struct, frozen=True):
    """What the server holds of this installation. bytes: of all entries."""

    entries: int
    bytes: int


class Log:
    """Names on one run of the server, and what is known of its log. era: counts epochs. seen: the newest number that
    was read. ended: tags that were invalidated in this epoch, by their number."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(blake2b(secret, digest_size=32, person=b"cache shared tag").digest())
        self._secret = secret
        self._prefix = ""
        self.epoch = b""
        self.era = 0
        self.seen = 0
        self.ended: dict[str, int] = {}

    def name(self, run: str) -> None:
        house = blake2b(self._secret, digest_size=8, person=b"cache shared").hexdigest()
        self._prefix = f"signalbox:{{{house}}}:{run}"

    @property
    def log(self) -> str:
        return f"{self._prefix}:log"

    @property
    def index(self) -> str:
        return f"{self._prefix}:index"

    def entry(self, name: Name) -> str:
        return f"{self._prefix}:e:{self.epoch[1:].decode()}:{name.key.hex()}"

    @property
    def mark(self) -> int:
        return self.era * _ERA + self.seen

    def of_this_epoch(self, mark: int) -> bool:
        return mark >= 0 and mark // _ERA == self.era

    def restart(self, rows: Sequence[bytes]) -> bool:
        """rows: the whole log, members and scores in turn. Returns whether it is of another epoch than the one known
        before."""
        if not rows or not rows[0].startswith(b"e"):
            raise Moved("the shared cache has no log")
        anew = rows[0] != self.epoch
        if anew:
            self.epoch, self.era, self.seen, self.ended = rows[0], self.era + 1, 0, {}
        self.take(rows[2:])
        return anew

    def take(self, rows: Sequence[bytes]) -> list[str]:
        """Notes invalidations, members and scores in turn; returns the tags that are news."""
        news: list[str] = []
        for member, score in zip(rows[::2], rows[1::2], strict=True):
            number, tag = int(float(score)), self._read(member)
            if number > self.ended.get(tag, 0):
                self.ended[tag] = number
                news.append(tag)
            self.seen = max(self.seen, number)
        return news

    def holds(self, tags: Sequence[str], since: int) -> bool:
        """Whether none of these was invalidated after a number of this epoch."""
        ended = self.ended
        return not ended or all(ended.get(tag, 0) <= since for tag in tags)

    def member(self, tag: str) -> bytes:
        """The same for the same tag, and readable for this installation only."""
        raw = tag.encode("utf-8", "surrogatepass")
        nonce = blake2b(raw, digest_size=_NONCE_BYTES, key=self._secret, person=b"cache tag nonce").digest()
        return b"t" + nonce + self._cipher.encrypt(nonce, raw, b"")

    def _read(self, member: bytes) -> str:
        try:
            plain = self._cipher.decrypt(member[1 : 1 + _NONCE_BYTES], member[1 + _NONCE_BYTES :], b"")
        except (InvalidTag, ValueError):
            raise Moved("the log of the shared cache is not ours") from None
        return plain.decode("utf-8", "surrogatepass")


class SharedShelf:
    """One process's way to the server, used from the loop's thread. forget: told of tags that were invalidated.
    failures: connections that were lost or could not be had; trouble: what the last one said, empty while all is
    well."""

    def __init__(
        self, at: SharedCache, secret: bytes, clock: Callable[[], float], forget: Callable[[list[str]], None]
    ) -> None:
        """Connects at the first need."""
        self.at = at
        self._log = Log(secret)
        self._clock = clock
        self._forget = forget
        self._reader: Connection | None = None
        self._heard_s = float("-inf")
        self._armed_s = 0.0
        self._late = 0
        self._rest_s = REST_S
        self._again_s = float("-inf")
        self._connecting: asyncio.Task[None] | None = None
        self._pending: list[tuple[Put, int]] = []
        self._pending_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self.failures = 0
        self.trouble = ""

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
        return self.connected and self._log.of_this_epoch(since) and self._log.holds(tags, since % _ERA)

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
            self._late = 0
            if told[0] is None or era != log.era:
                raise Moved("the log of the shared cache is not the one that was read")
            news = log.take(told[1])
        except StoreError as error:
            self._failed(reader, error)
            return None
        self._heard_s = max(self._heard_s, asked_s)
        if news:
            self._forget(news)
        raw: bytes | None = told[2] if name is not None else None
        if name is None or raw is None or len(raw) <= _NUMBER_BYTES:
            return None
        since, entry = int.from_bytes(raw[:_NUMBER_BYTES], "big"), unsealed(name, raw[_NUMBER_BYTES:])
        return entry if entry is not None and log.holds(entry.tags, since) else None

    def put(self, put: Put) -> bool:
        """Takes an entry to store soon; False when it is not for the server, or too many wait already."""
        size = len(put.entry.content)
        if (
            size > VALUE_BYTES_MAX
            or not self._log.of_this_epoch(put.since)
            or not self.connected
            or len(self._pending) >= PENDING_MAX
            or self._pending_bytes + size > PENDING_BYTES_MAX
        ):
            return False
        self._pending.append((put, size))
        self._pending_bytes += size
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())
        self._wake.set()
        return True

    def begin(self) -> None:
        """Connects ahead of the first look-up."""
        self._ready()

    async def stop(self) -> None:
        """What waits to be stored is stored if the server takes it at once."""
        self._stopping = True
        self._wake.set()
        if self._writing is not None:
            await asyncio.wait((self._writing,), timeout=WRITE_S)
        self.close()
        left = [task for task in (self._writing, self._connecting) if task is not None and not task.done()]
        if left:
            await asyncio.wait(left)

    def close(self) -> None:
        self._again_s = float("inf")
        for task in (self._writing, self._connecting):
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
        if (self._connecting is None or self._connecting.done()) and self._clock() >= self._again_s:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        return self._reader

    async def _connect(self) -> None:
        connection: Connection | None = None
        try:
            connection, run = await open_connection(self.at)
            asked_s = self._clock()
            self._log.name(run)
            anew = self._log.restart(await _opened(connection, self._log))
        except StoreError as error:
            if connection is not None:
                connection.close()
            self._rest(str(error))
            return
        before, self._reader = self._reader, connection
        if before is not None:
            before.close()
        self._heard_s, self._armed_s = asked_s, asked_s
        self._late, self._rest_s, self.trouble = 0, REST_S, ""
        self._forget([EVERYTHING] if anew else list(self._log.ended))

    def _failed(self, reader: Connection, error: StoreError) -> None:
        """One answer did not come in time, or not as it should."""
        self._late += 1
        if reader.lost or isinstance(error, Refused | Moved) or self._late >= LATE_MAX:
            self._given_up(reader, str(error))

    def _given_up(self, reader: Connection, why: str) -> None:
        reader.close()
        if self._reader is reader:
            self._reader = None
            self._rest(why)

    def _rest(self, why: str) -> None:
        self.failures += 1
        self.trouble = why
        self._again_s = self._clock() + self._rest_s
        self._rest_s = min(REST_S_MAX, 2 * self._rest_s)

    # --- storing ---

    async def _write(self) -> None:
        """Over a connection of its own, so that no look-up stands behind a long answer. What cannot be stored is lost,
        and nothing else."""
        connection: Connection | None = None
        try:
            connection, _ = await open_connection(self.at)
            while await self._more():
                batch, self._pending = self._pending[:BATCH_MAX], self._pending[BATCH_MAX:]
                self._pending_bytes -= sum(size for _, size in batch)
                log = self._log
                commands = [_put(log, put, self.at.bytes_max) for put, _ in batch if log.of_this_epoch(put.since)]
                if commands:
                    await connection.run(*commands, within_s=WRITE_S)
        except StoreError:
            self._pending, self._pending_bytes = [], 0
        finally:
            if connection is not None:
                connection.close()

    async def _more(self) -> bool:
        """Whether there is something to store, after a while if there is nothing now."""
        if not self._pending and not self._stopping:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()
        return bool(self._pending)


def _put(log: Log, put: Put, bytes_max: int) -> Sequence[Argument]:
    since, entry = put.since % _ERA, put.entry
    value = since.to_bytes(_NUMBER_BYTES, "big") + sealed(put.name, entry)
    lifetime_ms = max(1, entry.expires_ms - entry.stored_ms)
    members = [log.member(tag) for tag in entry.tags]
    keys = (log.log, log.index, log.entry(put.name))
    return ("EVAL", _PUT, 3, *keys, log.epoch, since, lifetime_ms, bytes_max, value, *members)


async def open_connection(at: SharedCache) -> tuple[Connection, str]:
    """A connection that the server has let in, and the server's run. Raises StoreError."""
    loop = asyncio.get_running_loop()
    connection = Connection()
    try:
        async with asyncio.timeout(CONNECT_S):
            if at.path:
                await loop.create_unix_connection(lambda: connection, at.path)
            else:
                context = await asyncio.to_thread(_context, at.ca_file) if at.tls else None
                await loop.create_connection(lambda: connection, at.host, at.port, ssl=context)
    except (OSError, TimeoutError, ssl.SSLError) as error:
        connection.close()
        raise StoreError(f"the shared cache cannot be reached: {error or 'no answer in time'}") from None
    commands: list[Sequence[Argument]] = []
    if at.password is not None:
        commands.append(("AUTH", *((at.user,) if at.user else ()), at.password.reveal()))
    if at.database:
        commands.append(("SELECT", at.database))
    try:
        told = await connection.run(*commands, ("INFO", "server"), within_s=CONNECT_S)
        return connection, _run(told[-1])
    except StoreError:
        connection.close()
        raise


def _context(ca_file: str) -> ssl.SSLContext:
    # Not create_default_context: that one writes session keys wherever SSLKEYLOGFILE in the environment says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _run(info: bytes) -> str:
    for line in info.split(b"\r\n"):
        if line.startswith(b"run_id:"):
            return line[7:].decode("ascii", "replace")[:64]
    raise StoreError("the shared cache does not tell its run_id (INFO server)")


async def _opened(connection: Connection, log: Log) -> list[bytes]:
    epoch = b"e" + os.urandom(12).hex().encode()
    told = await connection.run(("EVAL", _OPEN, 1, log.log, epoch, LOG_S), within_s=CONNECT_S)
    return told[0]


async def invalidate(at: SharedCache, secret: bytes, tags: Sequence[str]) -> None:
    """Ends every entry that has one of these tags; EVERYTHING stands for all. When it returns, no process of any
    machine gives one any more. Raises StoreError when that cannot be said."""
    connection, run = await open_connection(at)
    try:
        log = Log(secret)
        log.name(run)
        epoch = b"e" + os.urandom(12).hex().encode()
        members = [] if EVERYTHING in tags else [log.member(tag) for tag in tags]
        await connection.run(("EVAL", _END, 1, log.log, epoch, LOG_S, TAGS_MAX, *members), within_s=CONNECT_S)
    finally:
        connection.close()
    # Until then processes may go by what they read before.
    await asyncio.sleep(FRESH_S)


async def held(at: SharedCache, secret: bytes) -> Held:
    """Raises StoreError when the server does not tell."""
    connection, run = await open_connection(at)
    try:
        log = Log(secret)
        log.name(run)
        told = await connection.run(("ZCARD", log.index), ("ZSCORE", log.index, "="), within_s=CONNECT_S)
    finally:
        connection.close()
    total = int(-float(told[1])) if told[1] is not None else 0
    return Held(max(0, told[0] - 1), max(0, total))
