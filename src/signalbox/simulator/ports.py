"""A listener of one provider's own, which can go down (connections refused) and come up again on the same port."""

from __future__ import annotations

import asyncio
import ssl

from signalbox.simulator.connection import Connection, Service

_BACKLOG = 2_048


class ProviderPort:
    """Serves `/v1/...` without the provider's name in the path. tls: what it shows of itself, None for plain HTTP."""

    def __init__(self, service: Service, provider: str, tls: ssl.SSLContext | None = None) -> None:
        self._service = service
        self._provider = provider
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self.host: str = ""
        self.port: int = 0

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls is not None else ''}://{self.host}:{self.port}"

    async def up(self, host: str = "", port: int = 0) -> None:
        """Listens (again). Raises OSError when somebody else took the port meanwhile."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._connection,
            host or self.host,
            port or self.port,
            backlog=_BACKLOG,
            reuse_address=True,
            ssl=self._tls,
        )
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def down(self) -> None:
        """Closes the listener and resets the provider's open connections, as a crashed host would."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in self._connections:
            connection.reset()
        self._connections.clear()
        await asyncio.sleep(0)

    def _connection(self) -> Connection:
        self._connections = {one for one in self._connections if one.open}
        connection = Connection(self._service, self._provider)
        self._connections.add(connection)
        return connection
