"""The built-in encoder of one process for questions that wait for it: in a thread of its own, with a bounded queue."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from signalbox.embedding.encoder import Encoder, built_in

# Beyond these the queue alone would take longer than what is to be found out is worth.
WAITING_MAX = 32


class Encoding:
    """Loads the encoder when something first needs it. id: of the encoder, empty without one."""

    def __init__(self) -> None:
        self._encoder: Encoder | None = None
        self._folder: Path | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0

    def adopt(self, folder: Path | None) -> str:
        """Makes ready the encoder from a folder, or the one without weights, and says which it is. Raises
        ConfigError."""
        if self._encoder is None or folder != self._folder:
            self._encoder, self._folder = built_in(folder), folder
        return self._encoder.id

    @property
    def id(self) -> str:
        return "" if self._encoder is None else self._encoder.id

    async def vector(self, text: str) -> Any:
        """Of a text; None where too many wait for theirs, and of what the encoder cannot read."""
        encoder = self._encoder
        if encoder is None or self._waiting >= WAITING_MAX:
            return None
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="encoding")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, encoder.encode, text)
        except ValueError:
            return None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
