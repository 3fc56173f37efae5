"""The control plane's door within the supervisor: it listens from the start, and loads what is behind it when somebody
comes."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Callable
from typing import Any, Protocol

from signalbox.bootstrap.options import ServeOptions
from signalbox.config.address import is_loopback
from signalbox.control.office import KeyOffice
from signalbox.control.playground import Gateway
from signalbox.control.state import StateDir
from signalbox.control.supervisor import Supervisor
from signalbox.core.ports import Store
from signalbox.telemetry.log import Log

# Templates, pages and their server are 8 MiB and a quarter of a second of processor time, which calls need nothing of.
_BEHIND = "signalbox.bootstrap.console"


class _Server(Protocol):
    should_exit: bool

    async def run_on(self, listener: socket.socket) -> None: ...


class AdminDoor:
    """The listening socket of the control plane, and what serves it once somebody has connected."""

    def __init__(self, listener: socket.socket, make: Callable[[Any], _Server], log: Log) -> None:
        """make: the server, from the module behind the door."""
        self._listener = listener
        self._make = make
        self._log = log
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._stopping = False
        self.port: int = listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(listener, self._open)

    async def stop(self) -> None:
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        else:
            asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()

    def _open(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        self._serving = loop.create_task(self._serve())

    async def _serve(self) -> None:
        # In a thread, so that calls through this process go on meanwhile.
        behind = await asyncio.to_thread(lambda: importlib.import_module(_BEHIND))
        if self._stopping:
            return
        try:
            self._server = self._make(behind)
            await self._server.run_on(self._listener)
        except Exception as error:
            self._log.defect("the control plane ended", error)


def open_door(
    options: ServeOptions,
    listener: socket.socket,
    supervisor: Supervisor,
    office: KeyOffice,
    state: StateDir,
    gateway: Gateway,
    open_: Callable[[], Store],
) -> AdminDoor:
    """open_: the store, opened once more for those who read pages."""
    loopback = is_loopback(options.admin_host)
    return AdminDoor(
        listener,
        lambda behind: behind.server_of(loopback, supervisor, office, state, gateway, open_),
        Log("console"),
    )
