"""Every configuration that was in force before a change, kept for ever, to be shown and to go back to."""

from __future__ import annotations

import difflib
import os
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from signalbox.core.errors import ConfigError

FOLDER = "versions"


class Version(Struct, frozen=True):
    """id: to go back to it. version: the content's hash, as ledger rows name it. time: ISO. why: what replaced it."""

    id: str
    version: str
    time: str
    why: str


class Change(Struct, frozen=True):
    """before, after: the file's text. missing: options of the plan that no deployment is yet, with what to do; none
    on the way back to an earlier version."""

    before: str
    after: str
    missing: tuple[str, ...]

    def diff(self, name: str) -> str:
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), name, f"{name} (changed)"
        )
        return "".join(lines)


class Versions:
    """Files under `versions/` of the state directory: the content, and beside it what it was."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def list(self) -> list[Version]:
        if not self._folder.is_dir():
            return []
        return [msgspec.json.decode(path.read_bytes(), type=Version) for path in sorted(self._folder.glob("*.json"))]

    def keep(self, content: bytes, version: str, time: str, why: str) -> Version:
        """Keeps a content before it is replaced. Raises ConfigError when it cannot: then nothing may be replaced."""
        kept = Version(f"{len(self.list()) + 1:06d}-{version[:8]}", version, time, why)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / f"{kept.id}.yaml", content)
            write_whole(self._folder / f"{kept.id}.json", msgspec.json.encode(kept))
        except OSError as error:
            raise ConfigError([f"{self._folder}: cannot be written ({error.strerror}). Nothing was changed."]) from None
        return kept

    def content(self, wanted: str) -> bytes:
        """Raises ConfigError when there is no such version."""
        known = [each.id for each in self.list()]
        if wanted not in known:
            raise ConfigError([f"there is no version {wanted!r}. Known are: {', '.join(known[-10:]) or 'none'}."])
        return (self._folder / f"{wanted}.yaml").read_bytes()


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file in one step and keeps its permissions. Raises OSError."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    descriptor, written = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(written, mode)
        os.replace(written, path)
    except OSError:
        Path(written).unlink(missing_ok=True)
        raise
