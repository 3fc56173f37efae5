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
from signalbox.control.in_force import InForce, Now
from signalbox.control.office import KeyOffice
from signalbox.control.reading_room import ReadingRoom
from signalbox.control.supervisor import Supervisor
from signalbox.core.ports import Store
from signalbox.telemetry.log import Log


class ConsoleServer(uvicorn.Server):
    """uvicorn without its own signal handling: the supervisor's is the only one."""

    port = 0
    serving: asyncio.Task[None]
    room: ReadingRoom

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def stop(self) -> None:
        self.should_exit = True
        await self.serving
        self.room.close()


def in_force_of(supervisor: Supervisor) -> Now:
    """The configuration in force, compiled once for each generation, whichever thread asks first."""
    made: list[InForce] = []
    turn = threading.Lock()

    def in_force() -> InForce:
        with turn:
            generation = supervisor.generation
            if not made or made[0].generation != generation:
                text = supervisor.text
                compiled = compile_declared(load_text(text.content, text.name), generation)
                explainer = Explainer(compiled.declared, compiled.snapshot)
                made[:] = [InForce(generation, compiled.declared, compiled.snapshot, explainer)]
            return made[0]

    return in_force


async def start_console(
    options: ServeOptions, supervisor: Supervisor, office: KeyOffice, open_: Callable[[], Store]
) -> ConsoleServer:
    """open_: the store, opened once more for those who read pages."""
    listener = bind(options.admin_host, options.admin_port)
    room = ReadingRoom(open_)
    loopback = is_loopback(options.admin_host)
    app = Console(supervisor, office, loopback, in_force_of(supervisor), room, Log("console")).app()
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    server = ConsoleServer(config)
    server.room = room
    server.port = listener.getsockname()[1]
    server.serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    return server
