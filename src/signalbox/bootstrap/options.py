"""What a start is asked for, and what it has to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from signalbox.core.secret import Secret


class ServeOptions(msgspec.Struct, frozen=True):
    """What `signalbox serve` was asked for. config: a file, or None to discover. greet: told once it serves."""

    config: Path | None
    state_dir: Path
    host: str
    port: int
    admin_host: str
    admin_port: int
    workers: int
    environ: Mapping[str, str]
    greet: Callable[[Started], None]


class Started(msgspec.Struct, frozen=True):
    """What a start has to tell: addresses, and the secrets that are shown once."""

    url: str
    admin_url: str
    workers: int
    version: str
    admin_secret: Secret | None
    first_key: Secret | None
    seconds: float
    found: tuple[str, ...] = ()
