"""Connections to a shared cache server: reached within a limit, let in, and known by the server's run."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from signalbox.cache.resp import Argument, Connection
from signalbox.core.caching import SharedCache
from signalbox.core.errors import StoreError

CONNECT_S = 2.0


async def reach(at: SharedCache) -> tuple[Connection, str]:
    """A connection that the server has let in, and the server's run. Raises StoreError."""
    loop = asyncio.get_running_loop()
    connection = Connection()
    try:
        async with asyncio.timeout(CONNECT_S):
            if at.path:
                await loop.create_unix_connection(lambda: connection, at.path)
            else:
                context = await asyncio.to_thread(_context, at.ca_file) if at.tls else None
                await loop.create_connection(lambda: connection, at.host, at.port, ssl=context)
    except (OSError, TimeoutError, ssl.SSLError) as error:
        connection.close()
        raise StoreError(f"the shared cache cannot be reached: {error or 'no answer in time'}") from None
    commands: list[Sequence[Argument]] = []
    if at.password is not None:
        commands.append(("AUTH", *((at.user,) if at.user else ()), at.password.reveal()))
    if at.database:
        commands.append(("SELECT", at.database))
    try:
        told = await connection.run(*commands, ("INFO", "server"), within_s=CONNECT_S)
        return connection, _run(told[-1])
    except StoreError:
        connection.close()
        raise


def _context(ca_file: str) -> ssl.SSLContext:
    # Not create_default_context: that one writes session keys wherever SSLKEYLOGFILE in the environment says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _run(info: bytes) -> str:
    for line in info.split(b"\r\n"):
        if line.startswith(b"run_id:"):
            return line[7:].decode("ascii", "replace")[:64]
    raise StoreError("the shared cache does not tell its run_id (INFO server)")
