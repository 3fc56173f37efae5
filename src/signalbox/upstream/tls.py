"""TLS contexts: always verifying, one per CA bundle, rebuilt when the bundle's file changes."""

from __future__ import annotations

import asyncio
import os
import ssl

CONTEXTS_MAX = 256


class TlsContexts:
    """Hands out the context for a CA bundle, or the system's trust store for None."""

    __slots__ = ("_contexts",)

    def __init__(self) -> None:
        self._contexts: dict[str | None, tuple[tuple[int, int, int], ssl.SSLContext]] = {}

    async def get(self, ca_file: str | None) -> ssl.SSLContext:
        """Raises OSError or ssl.SSLError when the bundle cannot be read and no earlier version of it was."""
        known = self._contexts.get(ca_file)
        try:
            stamp = _stamp(ca_file)
            if known is not None and known[0] == stamp:
                return known[1]
            # Reading a system bundle takes tens of milliseconds: not on the event loop.
            context = await asyncio.get_running_loop().run_in_executor(None, _build, ca_file)
        except (OSError, ValueError):
            if known is None:
                raise
            return known[1]  # a bundle that is being replaced: the last good one still says whom we trust
        if len(self._contexts) >= CONTEXTS_MAX:
            self._contexts.clear()
        self._contexts[ca_file] = (stamp, context)
        return context


def _stamp(ca_file: str | None) -> tuple[int, int, int]:
    if ca_file is None:
        return (0, 0, 0)
    status = os.stat(ca_file)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _build(ca_file: str | None) -> ssl.SSLContext:
    # Not create_default_context: that one writes session keys wherever SSLKEYLOGFILE in the environment says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(cafile=ca_file)
    return context


def pinned(certificate_file: str) -> ssl.SSLContext:
    """Takes the server that shows this very certificate, whatever host it is made out for, and no other: for asking
    our own gateway. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=certificate_file)
    return context
