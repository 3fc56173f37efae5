"""The control plane's endpoints for kept answers: what they did, and how to end them."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from signalbox.cache.shelf import figures, invalidate
from signalbox.cache.stats import told
from signalbox.console.access import refused
from signalbox.control.office import Actor, KeyOffice

BODY_BYTES_MAX = 64 * 1024
TagName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Invalidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What POST /api/cache/invalidate takes: tags such as `tag:corpus-7` or `workload:support`; `*` for everything."""

    tags: Annotated[list[TagName], msgspec.Meta(min_length=1, max_length=64)]


class CachePages:
    """Over the file of kept answers, which every worker of the machine reads."""

    def __init__(self, office: KeyOffice) -> None:
        self._office = office

    async def stats(self, request: Request, actor: Actor) -> Response:
        found = await asyncio.to_thread(figures, self._office.kept.path)
        return Response(msgspec.json.encode(told(found)), media_type="application/json")

    async def invalidate(self, request: Request, actor: Actor) -> Response:
        """When it answers, no worker gives one of these answers any more."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                return refused(413, "request_too_large", f"At most {BODY_BYTES_MAX} bytes are taken.")
        try:
            wanted = msgspec.json.decode(bytes(body), type=Invalidate)
        except msgspec.MsgspecError as error:
            return refused(400, "invalid_request", f"What to end cannot be read: {error}.")
        await self._office.record(actor, "cache.invalidate", " ".join(wanted.tags)[:512])
        kept, now_ms = self._office.kept, time.time_ns() // 1_000_000
        gone = await asyncio.to_thread(invalidate, kept.path, kept.secret, wanted.tags, now_ms)
        return JSONResponse({"tags": wanted.tags, "entries": gone})
