"""Takes connections from a listening socket that several processes share, so that each gets its part."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from math import inf
from time import monotonic

from signalbox.gateway.tls import Listening
from signalbox.telemetry.log import Log

# After the process ran out of descriptors or memory, it leaves new connections to others for this long.
REST_S = 0.1
# How often the log says so.
TOLD_EVERY_S = 60.0
# Connections whose TLS is not agreed on yet, beyond which new ones are turned away, and how long each may take.
HANDSHAKES_MAX = 2000
HANDSHAKE_S = 10.0


class Acceptor:
    """One connection a turn of the event loop.

    The server of an event loop accepts whatever waits, which with a shared socket means that the process which wakes
    first takes all of it, and its streams stay with it. One a turn, the busier a process is the fewer it takes.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        secured: Callable[[], asyncio.Protocol],
        tls: Callable[[], Listening | None],
        log: Log,
    ) -> None:
        """tls: asked at each connection; where there is any, its protocol is made by `secured`."""
        self._secured = secured
        self._tls = tls
        self._listener = listener
        self._protocol = protocol
        self._log = log
        self._told_at = -inf
        self._loop = asyncio.get_running_loop()
        self._resting: asyncio.TimerHandle | None = None
        # Held here until they are connected, because the loop itself holds tasks weakly.
        self._connecting: set[asyncio.Task[object]] = set()
        self._listen()

    def close(self) -> None:
        """Takes no more. The socket is closed for this process; others may go on."""
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _listen(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # another process was faster, or the client is gone already
        except OSError as error:
            self._tell(error)
            self._loop.remove_reader(self._listener)
            self._resting = self._loop.call_later(REST_S, self._listen)
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = self._tls()
        if tls is not None and len(self._connecting) >= HANDSHAKES_MAX:
            accepted.close()
            return
        connecting = self._loop.create_task(self._connect(accepted, tls))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    def _tell(self, error: OSError) -> None:
        now = monotonic()
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            fix = " Raise the limit (`ulimit -n`, LimitNOFILE)." if error.errno == errno.EMFILE else ""
            self._log.error("new connections have to wait", reason=f"{error.strerror}.{fix}")

    async def _connect(self, accepted: socket.socket, tls: Listening | None) -> object:
        try:
            if tls is None:
                return await self._loop.connect_accepted_socket(self._protocol, accepted)
            return await self._loop.connect_accepted_socket(
                self._secured, accepted, ssl=tls.context, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError:
            accepted.close()
            return None
