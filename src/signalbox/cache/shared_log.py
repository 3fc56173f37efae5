"""The log of invalidations on a shared cache server: its names, what is known of it, and the commands that change it.

Each command is one script that the server runs at once, so that nothing comes between its steps.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signalbox.cache.resp import Argument
from signalbox.cache.scope import Name
from signalbox.cache.shelf import Put, sealed
from signalbox.core.errors import StoreError

# With more invalidated tags than this everything is ended instead.
TAGS_MAX = 10_000
# The log ends when nobody has looked at it for so long; entries end with it.
LOG_S = 7 * 86_400
# What an entry takes besides its content, roughly.
OVERHEAD_BYTES = 300
# Before a sealed entry stands the number of the newest invalidation when its question was asked.
NUMBER_BYTES = 8
_NONCE_BYTES = 12
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


class Log:
    """Names on one run of the server, and what is known of its log. era: counts epochs. seen: the newest number that
    was read. ended: tags that were invalidated in this epoch, by their number."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(blake2b(secret, digest_size=32, person=b"cache shared tag").digest())
        self._secret = secret
        self._prefix = ""
        self.epoch: bytes = b""
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

    def since(self, mark: int) -> int:
        """The number in this epoch that a mark stands for."""
        return mark % _ERA

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


def opening(log: Log) -> Sequence[Argument]:
    """Begins the log where there is none, and reads all of it."""
    return ("EVAL", _OPEN, 1, log.log, _new_epoch(), LOG_S)


def ending(log: Log, tags: Sequence[str]) -> Sequence[Argument]:
    """Ends every entry that has one of these tags; without any, all entries."""
    return ("EVAL", _END, 1, log.log, _new_epoch(), LOG_S, TAGS_MAX, *map(log.member, tags))


def putting(log: Log, put: Put, bytes_max: int) -> Sequence[Argument]:
    """Stores an entry, unless one of its tags was invalidated since its question was asked."""
    since, entry = log.since(put.since), put.entry
    value = since.to_bytes(NUMBER_BYTES, "big") + sealed(put.name, entry)
    lifetime_ms = max(1, entry.expires_ms - entry.stored_ms)
    members = [log.member(tag) for tag in entry.tags]
    keys = (log.log, log.index, log.entry(put.name))
    return ("EVAL", _PUT, 3, *keys, log.epoch, since, lifetime_ms, bytes_max, value, *members)


def _new_epoch() -> bytes:
    return b"e" + os.urandom(12).hex().encode()
