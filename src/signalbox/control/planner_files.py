"""What an installation knows beyond the shipped catalogue and calibration: two files in its state directory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from signalbox.core.errors import ConfigError
from signalbox.planner.calibration import Calibration, fitted
from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.catalogue.read import read, shipped

CATALOGUE = "catalogue.json"
CALIBRATION = "calibration.json"
BYTES_MAX = 16 * 1024 * 1024


class PlannerFiles:
    """Under `planner/` of the state directory. Neither file needs to be there."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "planner"

    def own(self) -> Catalogue:
        """What was added here, without what ships. Raises ConfigError when the file is wrong."""
        content = self._content(CATALOGUE)
        return Catalogue() if content is None else read(content, str(self._folder / CATALOGUE))

    def catalogue(self) -> Catalogue:
        """What ships, with what was added here in its place."""
        return shipped().merged(self.own())

    def calibration(self) -> Calibration:
        """What ships, or what one's own measurements made of it."""
        content = self._content(CALIBRATION)
        if content is None:
            return fitted()
        try:
            return msgspec.json.decode(content, type=Calibration)
        except (msgspec.DecodeError, RecursionError) as error:
            path = self._folder / CALIBRATION
            raise ConfigError([f"{path}: {error}. Delete the file to go back to the shipped calibration."]) from None

    def keep_catalogue(self, own: Catalogue) -> None:
        self._keep(CATALOGUE, own)

    def keep_calibration(self, calibration: Calibration) -> None:
        self._keep(CALIBRATION, calibration)

    def _content(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            if path.stat().st_size > BYTES_MAX:
                raise ConfigError([f"{path}: is larger than {BYTES_MAX} bytes. Delete it and build it again."])
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError([f"{path}: cannot be read ({error.strerror})."]) from None

    def _keep(self, name: str, value: msgspec.Struct) -> None:
        """Replaces the file in one step, so that a reader finds the old one or the new one."""
        content = msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, written = tempfile.mkstemp(dir=self._folder, prefix=name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(written, self._folder / name)
        except OSError as error:
            raise ConfigError([f"{self._folder / name}: cannot be written ({error.strerror})."]) from None
