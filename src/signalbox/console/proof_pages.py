"""Pages of proof: compliance, checking the chain, the evidence pack, drills, and plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from signalbox import __version__
from signalbox.console.access import Visit, refused
from signalbox.console.desk import Desk, json
from signalbox.console.drill_page import shown
from signalbox.console.keys import read_body
from signalbox.console.rendering import ROOM, render
from signalbox.control.contents import Erasure, content_dict
from signalbox.control.drills import Drill, Drills
from signalbox.control.in_force import InForce
from signalbox.control.office import Actor
from signalbox.control.proof import newest_checkpoint, verified, write_pack
from signalbox.control.readings.compliance import Compliance, compliance, read_days, read_label
from signalbox.control.readings.plans import plans
from signalbox.control.readings.scope import Scope
from signalbox.core.errors import ConfigError
from signalbox.core.labels import LEVELS, TAGS
from signalbox.core.ports import Store
from signalbox.ledger.query import iso_time
from signalbox.ledger.verify import Report

_CHUNK = 1 << 18
FINDINGS_SHOWN = 100


class WantedDrill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    calls: int


class ProofPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.drills = Drills(desk.state, desk.now_ms)

    # --- compliance

    async def compliance(self, request: Request, visit: Visit) -> Response:
        return await self._compliance(request, visit, None)

    async def verify(self, request: Request, visit: Visit) -> Response:
        await self._desk.office.record(visit.actor, "ledger.verify")
        return await self._compliance(request, visit, await self._verified())

    async def _compliance(self, request: Request, visit: Visit, report: Report | None) -> Response:
        desk, scope = self._desk, await self._desk.office.scope(visit.actor)
        label, days = _asked(dict(request.query_params))

        def read(store: Store, now: InForce) -> dict[str, Any]:
            return {
                "view": compliance(store, now, scope, label, days, desk.now_ms()),
                "report": report,
                "findings": report.findings[:FINDINGS_SHOWN] if report is not None else (),
                "checkpoint": newest_checkpoint(desk.state),
                "label_names": [*LEVELS, *TAGS],
                "days": days,
                "whole": scope.whole,
            }

        return await desk.page(request, visit, "compliance.html", read)

    async def compliance_json(self, request: Request, actor: Actor) -> Response:
        scope = await self._desk.office.scope(actor)
        return json(await self._read(scope, *_asked(dict(request.query_params))))

    async def verify_json(self, request: Request, actor: Actor) -> Response:
        await self._desk.office.record(actor, "ledger.verify")
        return json(await self._verified())

    async def content_json(self, request: Request, actor: Actor) -> Response:
        kept = await self._desk.office.content(actor, request.path_params["id"])
        if kept is None:
            return refused(404, "not_found", "Nothing is kept of this call.")
        return json(content_dict(kept))

    async def erase_json(self, request: Request, actor: Actor) -> Response:
        asked = await read_body(request, Erasure)
        if isinstance(asked, Response):
            return asked
        return json({"keys_destroyed": await self._desk.office.erase(actor, asked)})

    async def _verified(self) -> Report:
        return await self._desk.read(lambda store, now: verified(self._desk.state, store.shipped_all()))

    async def _read(self, scope: Scope, label: str, days: int) -> Compliance:
        return await self._desk.read(lambda store, now: compliance(store, now, scope, label, days, self._desk.now_ms()))

    async def evidence(self, request: Request, visit: Visit) -> Response:
        return await self._evidence(visit.actor, dict(request.query_params))

    async def evidence_json(self, request: Request, actor: Actor) -> Response:
        return await self._evidence(actor, dict(request.query_params))

    async def _evidence(self, actor: Actor, query: dict[str, str]) -> Response:
        """The journals hold everybody's records: only who may read all of them gets them."""
        scope = await self._desk.office.scope(actor)
        if not scope.whole:
            raise ConfigError(["the evidence pack holds the records of all tenants: ask with a key of all tenants."])
        label, days = _asked(query)
        await self._desk.office.record(actor, "evidence.pack", label)
        made = iso_time(self._desk.now_ms())
        file = await self._desk.read(lambda store, now: self._pack(store, now, scope, label, days, made))
        name = f"signalbox-evidence-{made[:10]}.zip"
        return StreamingResponse(
            _sent(file), media_type="application/zip", headers={"content-disposition": f'attachment; filename="{name}"'}
        )

    def _pack(self, store: Store, now: InForce, scope: Scope, label: str, days: int, made: str) -> IO[bytes]:
        desk = self._desk
        view = compliance(store, now, scope, label, days, desk.now_ms())
        report = verified(desk.state, store.shipped_all())
        checkpoint = newest_checkpoint(desk.state)
        style = (ROOM / "static" / "console.css").read_text(encoding="utf-8")
        context = {"view": view, "report": report, "checkpoint": checkpoint, "made": made, "version": __version__}
        page = render("evidence.html", **context, style=style, config_version=now.snapshot.version)
        document = msgspec.json.encode(
            {
                "made": made, "version": __version__, "config_version": now.snapshot.version, "compliance": view,
                "verification": report, "checkpoint": checkpoint,
            }
        )  # fmt: skip
        file = TemporaryFile()  # noqa: SIM115  (closed when it was sent)
        try:
            write_pack(file, desk.state, page, document, made, __version__, now.snapshot.version)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    # --- drills

    async def drill_list(self, request: Request, visit: Visit) -> Response:
        context = {"drills": await asyncio.to_thread(self.drills.list), "running": self.drills.running}
        return await self._desk.page(request, visit, "drills.html", lambda store, now: context)

    async def drill(self, request: Request, visit: Visit) -> Response:
        found = await asyncio.to_thread(self.drills.one, request.path_params["id"])
        if found is None:
            return self._desk.excuse(request, visit, 404, "No such drill", "The last fifty are kept.")
        return await self._desk.page(request, visit, "drill.html", lambda store, now: shown(found))

    async def run_drill(self, request: Request, visit: Visit) -> Response:
        calls = visit.form.get("calls", "")
        number = int(calls) if calls.isascii() and calls.isdecimal() and len(calls) < 8 else 0
        started = await self._start(visit.actor, visit.form.get("kind", ""), number)
        return RedirectResponse(f"/drills/{started.id}", 303)

    async def drills_json(self, request: Request, actor: Actor) -> Response:
        kept = await asyncio.to_thread(self.drills.list)
        return json({"running": self.drills.running, "drills": kept})

    async def drill_json(self, request: Request, actor: Actor) -> Response:
        found = await asyncio.to_thread(self.drills.one, request.path_params["id"])
        return json(found) if found is not None else refused(404, "not_found", "There is no such drill.")

    async def run_drill_json(self, request: Request, actor: Actor) -> Response:
        wanted = await read_body(request, WantedDrill)
        if isinstance(wanted, Response):
            return wanted
        return json(await self._start(actor, wanted.kind, wanted.calls), 202)

    async def _start(self, actor: Actor, kind: str, calls: int) -> Drill:
        await self._desk.office.record(actor, "drill.run", kind[:32], {"calls": str(calls)})
        return self.drills.start(self._desk.supervisor.text.content, kind, calls, actor.id)

    # --- plans

    async def planner(self, request: Request, visit: Visit) -> Response:
        root = self._desk.state.root

        def read(store: Store, now: InForce) -> dict[str, Any]:
            return {"files": plans(root, now.snapshot.version)}

        return await self._desk.page(request, visit, "planner.html", read)

    async def plans_json(self, request: Request, actor: Actor) -> Response:
        root: Path = self._desk.state.root
        return json({"plans": await self._desk.read(lambda store, now: plans(root, now.snapshot.version))})


def _asked(query: dict[str, str]) -> tuple[str, int]:
    unknown = sorted(query.keys() - {"label", "days"})
    if unknown:
        raise ConfigError([f"{unknown[0][:64]!r} is no filter here. Use label and days."])
    return read_label(query.get("label", "")), read_days(query.get("days", ""))


async def _sent(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
