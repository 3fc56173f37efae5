"""The control plane's own server, within the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator

import uvicorn

from signalbox.bootstrap.compiling import compile_declared
from signalbox.bootstrap.options import ServeOptions
from signalbox.bootstrap.sockets import bind
from signalbox.config.load import load_text
from signalbox.console.app import Console, is_loopback
from signalbox.control.explain import Explainer
from signalbox.control.in_force import InForce
from signalbox.control.office import KeyOffice
from signalbox.control.playground import Gateway
from signalbox.control.reading_room import ReadingRoom
from signalbox.control.state import StateDir
from signalbox.control.supervisor import Supervisor
from signalbox.core.ports import Store
from signalbox.telemetry.log import Log


class ConsoleServer(uvicorn.Server):
    """uvicorn without its own signal handling: the supervisor's is the only one."""

    port = 0
    serving: asyncio.Task[None]
    room: ReadingRoom
    console: Console

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def stop(self) -> None:
        self.should_exit = True
        await self.serving
        await self.console.close()
        self.room.close()


class ReadersConfigurations:
    """The configuration in force, compiled once for each generation, whichever thread asks first."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._made: InForce | None = None
        self._turn = threading.Lock()

    def now(self) -> InForce:
        with self._turn:
            generation = self._supervisor.generation
            if self._made is None or self._made.generation != generation:
                text = self._supervisor.text
                self._made = self.compiled(text.content, text.name, generation)
            return self._made

    def compiled(self, content: bytes, name: str, generation: int = 0) -> InForce:
        compiled = compile_declared(load_text(content, name), generation)
        explainer = Explainer(compiled.declared, compiled.snapshot)
        return InForce(generation, compiled.declared, compiled.snapshot, explainer)


async def start_console(
    options: ServeOptions,
    supervisor: Supervisor,
    office: KeyOffice,
    state: StateDir,
    gateway: Gateway,
    open_: Callable[[], Store],
) -> ConsoleServer:
    """open_: the store, opened once more for those who read pages."""
    listener = bind(options.admin_host, options.admin_port)
    room = ReadingRoom(open_)
    loopback = is_loopback(options.admin_host)
    log = Log("console")
    configurations = ReadersConfigurations(supervisor)
    console = Console(supervisor, office, loopback, configurations, state, gateway, room, log)
    config = uvicorn.Config(console.app(), log_config=None, access_log=False, lifespan="off", server_header=False)
    server = ConsoleServer(config)
    server.room = room
    server.console = console
    server.port = listener.getsockname()[1]
    server.serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    return server
