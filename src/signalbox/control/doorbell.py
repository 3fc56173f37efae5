"""How another process of this machine tells a running installation that it changed keys: a socket beside the state."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from signalbox.core.errors import StoreError
from signalbox.telemetry.log import Log

# How long who rings waits until all workers have the keys, and how long the door stays open to who does not ring.
RING_S = 6.0
OPEN_S = 5.0
_RING, _DONE = b"keys\n", b"done\n"


class Doorbell:
    """Who may write to the state directory may ring; it says nothing but to look at the store now."""

    def __init__(self, path: Path, answer: Callable[[], Awaitable[None]], log: Log) -> None:
        self._path = path
        self._answer = answer
        self._log = log
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Without it (a path too long for a socket, a file system that has none) keys arrive by the look at the
        store."""
        try:
            self._path.unlink(missing_ok=True)  # left by an installation that was killed
            self._server = await asyncio.start_unix_server(self._open, self._path, limit=64)
            self._path.chmod(0o600)
        except (OSError, ValueError) as error:
            self._log.info("keys made on the command line arrive with a delay", reason=str(error)[:200])

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(OPEN_S):
                rung = await reader.readline()
            if rung == _RING:
                await self._answer()
                writer.write(_DONE)
                await writer.drain()
        except (OSError, ValueError, TimeoutError, StoreError):
            pass  # nobody is told that it is done, and the next look at the store will do it
        finally:
            writer.close()


def ring(path: Path) -> bool:
    """Has a running installation bring changed keys to its workers. False when none runs here, or none answers."""
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as bell:
        bell.settimeout(RING_S)
        bell.connect(str(path))
        bell.sendall(_RING)
        return bell.recv(len(_DONE)) == _DONE
    return False
