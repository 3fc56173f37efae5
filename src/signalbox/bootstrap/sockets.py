"""The listening sockets and how they are shown."""

from __future__ import annotations

import contextlib
import errno
import resource
import socket

from signalbox.core.errors import ConfigError

BACKLOG = 2048
# A call takes two, and a worker takes 10,000 connections of clients.
DESCRIPTORS = 32_768


def allow_descriptors() -> None:
    """Lets this process and those it starts have as many descriptors as the system's hard limit allows, and no more
    than they could need: the soft limit, usually 1,024, is for programs that call select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bind(host: str, port: int, option: str = "") -> socket.socket:
    """A listening socket. option: what precedes `host` and `port` in the names of the options that state them."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        fix = f"Choose another --{option}port, or stop what holds it." if taken else f"Check --{option}host."
        raise ConfigError([f"{host}:{port}: cannot listen ({error.strerror}). {fix}"]) from None
    return listener


def own_host(host: str) -> str:
    """By which address this machine reaches what listens there."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def shown_url(host: str, port: int, scheme: str = "http") -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{scheme}://{shown}:{port}"
