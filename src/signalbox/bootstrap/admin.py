"""The control plane's own server, within the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator

import uvicorn

from signalbox.bootstrap.compiling import explainer_for
from signalbox.bootstrap.options import ServeOptions
from signalbox.bootstrap.sockets import bind
from signalbox.config.load import load_text
from signalbox.console.app import Console, is_loopback
from signalbox.control.explain import Explainer
from signalbox.control.office import KeyOffice
from signalbox.control.supervisor import Supervisor


class ConsoleServer(uvicorn.Server):
    """uvicorn without its own signal handling: the supervisor's is the only one."""

    port = 0
    serving: asyncio.Task[None]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def stop(self) -> None:
        self.should_exit = True
        await self.serving


def _explainer_of(supervisor: Supervisor) -> Callable[[], Explainer]:
    """Explains under the configuration in force, compiled once for each."""
    made: list[tuple[int, Explainer]] = []

    def explainer() -> Explainer:
        generation = supervisor.generation
        if not made or made[0][0] != generation:
            text = supervisor.text
            made[:] = [(generation, explainer_for(load_text(text.content, text.name), generation))]
        return made[0][1]

    return explainer


async def start_console(options: ServeOptions, supervisor: Supervisor, office: KeyOffice) -> ConsoleServer:
    listener = bind(options.admin_host, options.admin_port)
    app = Console(supervisor, office, is_loopback(options.admin_host), _explainer_of(supervisor)).app()
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    server = ConsoleServer(config)
    server.port = listener.getsockname()[1]
    server.serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    return server
