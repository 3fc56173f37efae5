"""Key sets of token issuers that publish them: fetched beside the calls, kept while they cannot be, told to workers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from signalbox.control.published_keys import FETCH_EVERY_S_MIN, PublishedKeys
from signalbox.control.supervisor import Supervisor
from signalbox.core.issuers import Issuer, KeySet, PublicKey
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Metrics

TICK_S = 1.0
# How long a start waits for the first fetch; then calls are taken, and tokens as soon as keys are there.
FIRST_S = 3.0


class _Kept(msgspec.Struct, frozen=True):
    """A key set on the disk, so that a start does not depend on its provider. good_s: Unix seconds."""

    keys_at: str
    good_s: float
    keys: tuple[PublicKey, ...]


class _Source:
    """One issuer with its keys. told: what workers were told last."""

    def __init__(self, issuer: Issuer, now_s: Callable[[], float]) -> None:
        assert issuer.address is not None
        self.issuer = issuer
        self.published = PublishedKeys(issuer.address, now_s)
        self.wanted = True
        self._next_s = 0.0
        self.told: tuple[PublicKey, ...] = ()

    def due(self, now_s: float) -> bool:
        return (self.wanted or now_s >= self._next_s) and self.published.may_fetch()

    def tried(self, now_s: float) -> None:
        self.wanted = False
        again_s = FETCH_EVERY_S_MIN if self.published.problem else self.issuer.refresh_s
        self._next_s = now_s + min(again_s, self.issuer.refresh_s)

    def holding(self) -> tuple[PublicKey, ...]:
        """The keys that hold now: the last good ones, unless they are too old."""
        return self.published.keys if self.published.age_s() <= self.issuer.keys_age_s_max else ()


class KeySets:
    """Follows the configuration in force. kept: the file of what was fetched last. now_s: Unix seconds."""

    def __init__(self, supervisor: Supervisor, kept: Path, log: Log, now_s: Callable[[], float] = time.time) -> None:
        self._supervisor = supervisor
        self._kept = kept
        self._log = log
        self._now_s = now_s
        self._generation = -1
        self._sources: dict[str, _Source] = {}
        self._beginning: list[asyncio.Future[None]] = []
        supervisor.also_counts.append(self.count)

    async def begin(self, issuers: tuple[Issuer, ...]) -> None:
        """Has what there is before the first call, as far as providers answer in time."""
        self._follow(issuers)
        self._beginning = [asyncio.ensure_future(self._try(source)) for source in self._sources.values()]
        if self._beginning:
            await asyncio.wait(self._beginning, timeout=FIRST_S)
            await self._tell()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.tick()
            except Exception as defect:  # one provider's oddity must not end the watch over the others
                self._log.defect("key sets could not be refreshed", defect)
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        if self._supervisor.generation != self._generation:
            self._generation = self._supervisor.generation
            self._follow(self._supervisor.checked.issuers)
        now_s = self._now_s()
        due = [source for source in self._sources.values() if source.due(now_s)]
        await asyncio.gather(*(self._try(source) for source in due))
        await self._tell()

    def want(self, issuer: str) -> None:
        """A token came whose key nobody knows: perhaps there are new ones."""
        source = self._sources.get(issuer)
        if source is not None:
            source.wanted = True

    def count(self, total: Metrics) -> None:
        for name, source in self._sources.items():
            published = source.published
            total.set(("signalbox_key_set_age_seconds", name), published.age_s() if published.good_s else -1)
            total.set(("signalbox_key_set_failing", name), int(bool(published.problem)))
            total.set(("signalbox_key_set_keys", name), len(source.holding()))
            good = published.fetches - published.failures
            total.set(("signalbox_key_set_fetches_total", name, "good"), good)
            total.set(("signalbox_key_set_fetches_total", name, "failed"), published.failures)

    def _follow(self, issuers: tuple[Issuer, ...]) -> None:
        before, self._sources = self._sources, {}
        kept = self._read() if any(issuer.address for issuer in issuers) else {}
        for issuer in issuers:
            if issuer.address is None:
                continue
            source = before.get(issuer.name)
            if source is None or source.published.address != issuer.address:
                source = _Source(issuer, self._now_s)
                known = kept.get(issuer.name)
                if known is not None and known.keys_at == issuer.keys_at:
                    source.published.recall(known.keys, known.good_s)
            source.issuer = issuer
            self._sources[issuer.name] = source
        for name, source in before.items():
            if self._sources.get(name) is not source:
                source.published.close()

    async def _try(self, source: _Source) -> None:
        published = source.published
        had, before = published.keys, published.problem
        await published.refresh()
        source.tried(self._now_s())
        name = source.issuer.name
        if published.problem and published.problem != before:
            self._log.warning("a key set cannot be fetched", issuer=name, reason=published.problem[:500])
        elif not published.problem and (before or had != published.keys):
            self._log.info("a key set was fetched", issuer=name, keys=len(published.keys))
        if not published.problem:
            await asyncio.to_thread(self._write)

    async def _tell(self) -> None:
        """Workers get the sets whenever one changed, was lost to age, or its issuer is new."""
        sources = self._sources.values()
        sets = [KeySet(each.issuer.name, each.issuer.keys_at, each.holding()) for each in sources]
        for source, one in zip(sources, sets, strict=True):
            if source.told and not one.keys:
                reason = source.published.problem[:500]
                self._log.error("a key set is too old and holds no more", issuer=one.issuer, reason=reason)
            source.told = one.keys
        await self._supervisor.keys.give_key_sets(sets)

    def _read(self) -> dict[str, _Kept]:
        try:
            return msgspec.json.decode(self._kept.read_bytes(), type=dict[str, _Kept])
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return {}  # the first start, or a file that a crash cut: providers will say it again

    def _write(self) -> None:
        kept = {
            name: _Kept(each.issuer.keys_at, each.published.good_s, each.published.keys)
            for name, each in dict(self._sources).items()
        }
        fresh = self._kept.with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(kept))
            fresh.replace(self._kept)
        except OSError as error:
            self._log.warning("key sets cannot be kept for the next start", reason=str(error.strerror))
