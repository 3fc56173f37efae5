"""Where the configuration's text comes from: a file that is watched, or a text made at start."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import msgspec

from signalbox.config.load import read_bytes
from signalbox.config.references import may_block
from signalbox.config.watch import Stamp, stamp
from signalbox.core.errors import ConfigError


class Text(msgspec.Struct, frozen=True):
    """A configuration as bytes; name stands before the line in messages."""

    content: bytes
    name: str


class ConfigSource(Protocol):
    @property
    def path(self) -> Path | None:
        """The file that may be changed, None for what is no file."""
        ...

    def read(self) -> Text:
        """Raises ConfigError when there is nothing to read."""
        ...

    def changed(self, others: Collection[str]) -> bool:
        """Whether it, or another file that it drew from, may differ from what was last read. Cheap: asked several
        times a second."""
        ...


class FileSource:
    """A file, watched with the secrets and certificates it names."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.path: Path | None = path
        self._seen: dict[str, Stamp] = {}
        self._read_ns = 0

    def read(self) -> Text:
        # Looked at before it is read: what is written in between shows up as a change. So does what is written to the
        # others, of which the first reading tells only afterwards that they exist.
        if may_block(self._path):
            raise ConfigError([f"{self._path}: it is a pipe or a device. Name a file: it is read again and again."])
        self._read_ns = time.time_ns()
        self._seen[str(self._path)] = stamp([str(self._path)])
        return Text(read_bytes(self._path), str(self._path))

    def changed(self, others: Collection[str]) -> bool:
        now = {file: stamp([file]) for file in (str(self._path), *others)}
        changed = any(self._differs(file, mark) for file, mark in now.items())
        self._seen = now
        return changed

    def _differs(self, file: str, mark: Stamp) -> bool:
        seen = self._seen.get(file)
        if seen is not None:
            return seen != mark
        return any(one is not None and one[0] >= self._read_ns for one in mark)


class FixedSource:
    """A text made at start, such as what discovery found."""

    path: Path | None = None

    def __init__(self, text: Text) -> None:
        self._text = text

    def read(self) -> Text:
        return self._text

    def changed(self, others: Collection[str]) -> bool:
        return False
