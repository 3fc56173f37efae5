"""What pages are made from: the parts of the installation that the console reads, and how a page is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from signalbox import __version__
from signalbox.console.access import MAY, Visit
from signalbox.console.rendering import render
from signalbox.control.alerts import Alert
from signalbox.control.in_force import Configurations, InForce
from signalbox.control.office import Actor, KeyOffice
from signalbox.control.reading_room import ReadingRoom
from signalbox.control.readings.alerts import alerts_of_tenant
from signalbox.control.readings.facts import Facts, gather
from signalbox.control.state import StateDir
from signalbox.control.supervisor import Supervisor
from signalbox.core.link import Stop
from signalbox.core.ports import Store

T = TypeVar("T")
# (path, name) of the pages, in the order of the menu.
MENU = (
    ("/", "Overview"),
    ("/requests", "Requests"),
    ("/workloads", "Workloads"),
    ("/deployments", "Deployments"),
    ("/compliance", "Compliance"),
    ("/spend", "Spend"),
    ("/keys", "Keys and budgets"),
    ("/planner", "Planner"),
    ("/playground", "Playground"),
    ("/drills", "Drills"),
    ("/alerts", "Alerts"),
    ("/settings", "Settings"),
)
Reading = Callable[[Store, InForce], T]


class Desk:
    """now_ms: the clock."""

    def __init__(
        self,
        supervisor: Supervisor,
        office: KeyOffice,
        room: ReadingRoom,
        configurations: Configurations,
        state: StateDir,
        now_ms: Callable[[], int],
    ) -> None:
        self.state = state
        self.supervisor = supervisor
        self.office = office
        self.room = room
        self.now_ms = now_ms
        self.configurations = configurations

    async def facts(self) -> Facts:
        return await gather(self.supervisor, self.now_ms())

    async def firing(self, actor: Actor) -> Sequence[tuple[Alert, float]]:
        """The alerts that are for an actor's eyes, each since a Unix time."""
        firing = self.supervisor.firing
        if await self.office.sees_all(actor):
            return firing
        return alerts_of_tenant(firing, actor.key.tenant, await self.office.list_keys(actor))

    async def stop_calls(self, actor: Actor, scope: str, name: str, for_s: float) -> int | None:
        """The kill switch, on record. Until when new calls are refused, in Unix milliseconds; None, and nothing done,
        where calls of other tenants would end."""
        may = await self.office.may_stop(actor, scope, name)
        await self.office.record(actor, "calls.stop", f"{scope}:{name}", {"for_s": str(for_s)}, refused=not may)
        if not may:
            return None
        now_ms = self.now_ms()
        until_ms = now_ms + round(for_s * 1000)
        await self.supervisor.workers.stop_calls(Stop(scope, name, until_ms), now_ms)
        return until_ms

    async def read(self, reading: Reading[T]) -> T:
        """What a reading finds, in a thread of the reading room."""
        return await self.room.run(lambda store: reading(store, self.configurations.now()))

    async def page(self, request: Request, visit: Visit, template: str, reading: Reading[dict[str, Any]]) -> Response:
        """A page from a reading. Reading and rendering both happen in the reading room: the event loop may be the one
        that calls go through."""
        around = self.around(request, visit)
        html = await self.read(lambda store, in_force: render(template, **around, **reading(store, in_force)))
        return Response(html, media_type="text/html")

    def around(self, request: Request, visit: Visit | None) -> dict[str, Any]:
        """What the frame of every page shows."""
        role = visit.actor.role if visit is not None else ""
        path = request.url.path
        menu = [(to, name, _current(to, path)) for to, name in MENU if role in MAY.get(("GET", to), frozenset())]
        return {
            "menu": menu,
            "role": role,
            "who": visit.actor.key.name or visit.actor.id if visit is not None else "",
            "csrf": visit.session.csrf if visit is not None else "",
            "generation": self.supervisor.generation,
            "trouble": self._trouble(),
            "version": __version__,
            "now_ms": self.now_ms(),
            "may": visit.may if visit is not None else _nothing,
        }

    def _trouble(self) -> bool:
        house = self.supervisor
        critical = any(alert.severity == "critical" for alert, _ in house.firing)
        return critical or bool(house.last_error) or house.workers.alive < house.workers.wanted

    def excuse(self, request: Request, visit: Visit | None, status: int, title: str, said: str) -> Response:
        """A page that says why the wanted one is not there."""
        again = request.url.path if status == 503 and request.method == "GET" else ""
        html = render("excuse.html", **self.around(request, visit), title=title, said=said, status=status, again=again)
        return Response(html, status, media_type="text/html")


def _nothing(method: str, path: str) -> bool:
    return False


def _current(to: str, path: str) -> bool:
    return path == to or (to != "/" and path.startswith(f"{to}/"))


def json(document: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")
