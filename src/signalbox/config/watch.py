"""Whether a file of the configuration changed since it was last looked at; cheap enough to ask every second."""

from __future__ import annotations

import os
from collections.abc import Iterable

# (modification time, size, inode) of each file; None for one that is not there.
Stamp = tuple[tuple[int, int, int] | None, ...]


def stamp(files: Iterable[str]) -> Stamp:
    """What to compare with the next answer. Links are followed, so a swapped Kubernetes secret is a change."""
    return tuple(_one(file) for file in files)


def _one(file: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
