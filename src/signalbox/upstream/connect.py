"""Opens one connection to an origin: name, address check, TCP, proxy if set, TLS; all within one time limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time

from signalbox.core.errors import UpstreamFault
from signalbox.core.snapshot import Origin
from signalbox.upstream import address
from signalbox.upstream.connection import Connection
from signalbox.upstream.origin import Proxy, authority_of
from signalbox.upstream.resolve import ResolveError, Resolver
from signalbox.upstream.tls import TlsContexts

PROXY_HEAD_BYTES_MAX = 16 * 1024
# A dead address must leave time for the next one, and never less than this.
ADDRESS_S_MIN = 0.25
_UNKNOWN_AUTHORITY = "; name the authority that signed it in `ca_file`"
_OTHER_NAME = "; write the address with a name that it has"
# By OpenSSL's X509_V_ERR_*: self-signed (18, 19), no issuer known (2, 20, 21), another host or address (62, 64).
_REMEDIES = {2: _UNKNOWN_AUTHORITY, 18: _UNKNOWN_AUTHORITY, 19: _UNKNOWN_AUTHORITY, 20: _UNKNOWN_AUTHORITY,
             21: _UNKNOWN_AUTHORITY, 62: _OTHER_NAME, 64: _OTHER_NAME}  # fmt: skip


class Connector:
    """Opens connections for the pools of one event loop."""

    __slots__ = ("_resolver", "_tls")

    def __init__(self, resolver: Resolver, tls: TlsContexts) -> None:
        self._resolver = resolver
        self._tls = tls

    async def open(self, origin: Origin, connect_s: float, connection: Connection) -> None:
        """Connects `connection`. Raises UpstreamFault of kind dns, refused_address, connect or tls, sent False."""
        attempt = _Attempt(origin, connect_s, self._resolver, self._tls)
        try:
            async with asyncio.timeout(connect_s):
                await attempt.run(connection)
        except TimeoutError:
            message = f"{origin.name}: no connection within {connect_s:g} s ({attempt.phase})"
            raise UpstreamFault(attempt.phase, message, sent=False) from None


class _Attempt:
    """The state of one attempt: which phase it is in, for the name of the fault when time runs out."""

    __slots__ = ("_by", "_origin", "_resolver", "_tls", "phase")

    def __init__(self, origin: Origin, connect_s: float, resolver: Resolver, tls: TlsContexts) -> None:
        self._origin = origin
        self._by = time.monotonic() + connect_s
        self._resolver = resolver
        self._tls = tls
        self.phase = "dns"

    async def run(self, connection: Connection) -> None:
        origin = self._origin
        proxy = Proxy(origin.proxy) if origin.proxy is not None else None
        sock, connection.peer = await self._reach(proxy)
        try:
            if proxy is not None and origin.scheme == "https":
                await self._tunnel(sock, proxy)
            await self._attach(sock, connection)
        except BaseException:
            sock.close()
            raise

    async def _reach(self, proxy: Proxy | None) -> tuple[socket.socket, str]:
        origin = self._origin
        if proxy is None:
            return await self._connect(origin.host, origin.port, private=origin.private)
        # The proxy looks the name up, so only a literal can be judged here. That the proxy itself stands in a
        # private range is what naming it in the configuration means; link-local and metadata stay refused.
        fixed = address.literal(origin.host)
        if fixed is not None:
            self._check(fixed, private=origin.private)
        whom = f" to the proxy {authority_of(proxy.host, proxy.port).decode()}"
        return await self._connect(proxy.host, proxy.port, private=True, whom=whom)

    async def _connect(self, host: str, port: int, *, private: bool, whom: str = "") -> tuple[socket.socket, str]:
        """A connected socket and the address at its other end. whom: how a failure to connect is told, where it is not
        the deployment's own address."""
        try:
            candidates = await self._resolver.resolve(host)
        except ResolveError as error:
            raise self._fault("dns", str(error)) from None
        for candidate in candidates:
            self._check(candidate, private=private)
        self.phase = "connect"
        why = "no address"
        for position, candidate in enumerate(candidates):
            share_s = max((self._by - time.monotonic()) / (len(candidates) - position), ADDRESS_S_MIN)
            try:
                async with asyncio.timeout(share_s):
                    sock, peer = await _tcp(candidate, port)
            except TimeoutError:
                why = "no answer"
            except OSError as error:
                # Not error.strerror: event loops put a Python tuple there.
                why = os.strerror(error.errno) if error.errno else type(error).__name__
            else:
                try:
                    self._check(peer, private=private)
                except BaseException:
                    sock.close()
                    raise
                return sock, peer
        raise self._fault("connect", f"cannot connect{whom}: {why}")

    def _check(self, candidate: str, *, private: bool) -> None:
        why = address.refusal(candidate, private=private)
        if why is not None:
            raise self._fault("refused_address", f"{candidate} is refused: {why}")

    async def _tunnel(self, sock: socket.socket, proxy: Proxy) -> None:
        loop = asyncio.get_running_loop()
        authority = authority_of(self._origin.host, self._origin.port)
        request = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (authority, authority, proxy.authorization)
        head = b""
        try:
            await loop.sock_sendall(sock, request)
            while b"\r\n\r\n" not in head and len(head) < PROXY_HEAD_BYTES_MAX:
                more = await loop.sock_recv(sock, 4096)
                if not more:
                    break
                head += more
        except OSError:
            raise self._fault("connect", "the proxy dropped the connection") from None
        status = head[9:12]
        if not head.startswith(b"HTTP/1.") or not head.endswith(b"\r\n\r\n") or not status.isdigit():
            raise self._fault("connect", "the proxy's answer to CONNECT is not valid")
        if not 200 <= int(status) < 300:
            raise self._fault("connect", f"the proxy answered {int(status)} to CONNECT")

    async def _attach(self, sock: socket.socket, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        origin = self._origin
        if origin.scheme != "https":
            await loop.create_connection(lambda: connection, sock=sock)
            return
        self.phase = "tls"
        server_name = origin.host.strip("[]").rstrip(".")
        try:
            context = await self._tls.get(origin.ca_file)
        except (OSError, ValueError):
            raise self._fault("tls", "the CA bundle cannot be read") from None
        try:
            await loop.create_connection(lambda: connection, sock=sock, ssl=context, server_hostname=server_name)
        except ssl.SSLCertVerificationError as error:
            remedy = _REMEDIES.get(error.verify_code, "")
            raise self._fault("tls", f"certificate refused: {error.verify_message.rstrip('.')}{remedy}") from None
        except ssl.SSLError as error:
            raise self._fault("tls", f"handshake failed: {error.reason or 'not TLS'}") from None
        except OSError:
            raise self._fault("tls", "the connection was closed during the handshake") from None

    def _fault(self, kind: str, what: str) -> UpstreamFault:
        return UpstreamFault(kind, f"{self._origin.name}: {what}", sent=False)


async def _tcp(candidate: str, port: int) -> tuple[socket.socket, str]:
    """A connected socket and the address at its other end. Raises OSError, also where that is gone again already."""
    family = socket.AF_INET6 if ":" in candidate else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished without a word is noticed even during a long silent answer.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        await asyncio.get_running_loop().sock_connect(sock, (candidate, port))
        peer: str = sock.getpeername()[0]
    except BaseException:
        sock.close()
        raise
    return sock, peer
