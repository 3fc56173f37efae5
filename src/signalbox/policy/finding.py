"""One finding of `signalbox check`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Finding(Struct, frozen=True, omit_defaults=True):
    """level: error fails the check, warning deserves a look. where: `file:line`. about: what counts of findings are
    kept by, such as expiring or obligation; empty for the rest."""

    level: Literal["error", "warning"]
    where: str
    message: str
    about: str = ""
