"""The control plane's pages and their server; loaded by bootstrap/admin.py when somebody comes for the first time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Generator

import uvicorn

from signalbox.bootstrap.compiling import Compiled, compile_declared, without_lapsed
from signalbox.config.load import load_text
from signalbox.console.app import Console
from signalbox.console.connections import BoundedConnection
from signalbox.control.explain import Explainer
from signalbox.control.in_force import InForce
from signalbox.control.office import KeyOffice
from signalbox.control.playground import Gateway
from signalbox.control.reading_room import ReadingRoom
from signalbox.control.source import Text
from signalbox.control.state import StateDir
from signalbox.control.supervisor import Supervisor
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.telemetry.log import Log


class ConsoleServer(uvicorn.Server):
    """uvicorn without its own signal handling: the supervisor's is the only one."""

    def __init__(self, console: Console, room: ReadingRoom) -> None:
        super().__init__(
            uvicorn.Config(
                console.app(),
                http=BoundedConnection,
                ws="none",
                log_config=None,
                # A stranger may not have a line written for every request that is none; failures of ours are told by
                # the console itself.
                log_level="critical",
                access_log=False,
                lifespan="off",
                server_header=False,
            )
        )
        self._console = console
        self._room = room

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def run_on(self, listener: socket.socket) -> None:
        """Serves until `should_exit`, and ends what pages have started."""
        await self.serve(sockets=[listener])
        await self._console.close()
        self._room.close()


class ReadersConfigurations:
    """The configuration in force, compiled once for each generation, whichever thread asks first."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._made: InForce | None = None
        self._made_of: Text | None = None
        self._turn = threading.Lock()

    def now(self) -> InForce:
        with self._turn:
            generation = self._supervisor.generation
            if self._made is None or self._made.generation != generation:
                text = self._supervisor.text
                self._made, self._made_of = self._anew(text, generation), text
            return self._made

    def _anew(self, text: Text, generation: int) -> InForce:
        before = self._made
        try:
            return self.compiled(text.content, text.name, generation)
        except ConfigError:
            # In force all the same: what could be compiled once has stayed, but for what lapsed.
            if before is None or self._made_of is not text:
                raise
            return _in_force(without_lapsed(Compiled(before.declared, before.snapshot), generation))

    def compiled(self, content: bytes, name: str, generation: int = 0) -> InForce:
        return _in_force(compile_declared(load_text(content, name), generation))


def _in_force(compiled: Compiled) -> InForce:
    declared, snapshot = compiled.declared, compiled.snapshot
    return InForce(snapshot.generation, declared, snapshot, Explainer(declared, snapshot))


def server_of(
    loopback: bool,
    supervisor: Supervisor,
    office: KeyOffice,
    state: StateDir,
    gateway: Gateway,
    open_: Callable[[], Store],
) -> ConsoleServer:
    """loopback: only this machine reaches it. open_: the store, opened once more for those who read pages."""
    room = ReadingRoom(open_)
    configurations = ReadersConfigurations(supervisor)
    console = Console(supervisor, office, loopback, configurations, state, gateway, room, Log("console"))
    return ConsoleServer(console, room)
