"""The control plane's endpoints for kept answers: what they did, and how to end them."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from signalbox.cache.ending import end, held
from signalbox.cache.shelf import figures
from signalbox.cache.stats import told
from signalbox.console.desk import json
from signalbox.console.keys import read_body
from signalbox.control.in_force import Configurations
from signalbox.control.office import Actor, KeyOffice
from signalbox.core.errors import StoreError

TagName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Invalidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What POST /api/cache/invalidate takes: tags such as `tag:corpus-7` or `workload:support`; `*` for everything."""

    tags: Annotated[list[TagName], msgspec.Meta(min_length=1, max_length=64)]


class CachePages:
    """Over the file of kept answers, which every worker of the machine reads, and the server that machines share."""

    def __init__(self, office: KeyOffice, configurations: Configurations) -> None:
        self._office = office
        self._configurations = configurations

    async def stats(self, request: Request, actor: Actor) -> Response:
        return json(await asyncio.to_thread(self._stats))

    def _stats(self) -> dict[str, Any]:
        kept, shared = self._office.kept, self._configurations.now().declared.shared_cache
        found = told(figures(kept.path))
        if shared is not None:
            try:
                found["shared"] = msgspec.structs.asdict(held(shared, kept.secret))
            except StoreError as error:
                found["shared"] = {"error": str(error)}
        return found

    async def invalidate(self, request: Request, actor: Actor) -> Response:
        """When it answers, no worker gives one of these answers any more."""
        wanted = await read_body(request, Invalidate)
        if isinstance(wanted, Response):
            return wanted
        await self._office.record_invalidation(actor, wanted.tags)
        gone = await asyncio.to_thread(self._end, wanted.tags)
        return JSONResponse({"tags": wanted.tags, "entries": gone})

    def _end(self, tags: list[str]) -> int:
        kept, shared = self._office.kept, self._configurations.now().declared.shared_cache
        return end(kept.path, kept.secret, tags, time.time_ns() // 1_000_000, shared)
