"""Where the configuration's text comes from: a file that is watched, or a text made at start."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from signalbox.core.errors import ConfigError


class Text(msgspec.Struct, frozen=True):
    """A configuration as bytes; name stands before the line in messages."""

    content: bytes
    name: str


class ConfigSource(Protocol):
    def read(self) -> Text:
        """Raises ConfigError when there is nothing to read."""
        ...

    def changed(self) -> bool:
        """Whether it may differ from what was last read; cheap, asked several times a second."""
        ...


class FileSource:
    """A file, watched by size, time and inode, so that an editor's rename is seen as well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._mark()

    def read(self) -> Text:
        self._seen = self._mark()
        try:
            return Text(self._path.read_bytes(), str(self._path))
        except OSError as error:
            raise ConfigError(
                [f"{self._path}: cannot be read ({error.strerror}). Pass --config with its path."]
            ) from None

    def changed(self) -> bool:
        return self._mark() != self._seen

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


class FixedSource:
    """A text made at start, such as what discovery found."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def read(self) -> Text:
        return self._text

    def changed(self) -> bool:
        return False
