"""The locks as data: every pinned package with its hashes and who needs it. Read by sbom.py, audit.py and bundle.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# What a running installation is made of: the core, the engine that looks words up, and the driver of PostgreSQL.
RUNTIME = ("requirements.lock", "requirements-fast.lock", "requirements-postgres.lock")
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: *; *(?P<marker>[^\\]+?))? *\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Pin(NamedTuple):
    """One package. hashes: SHA-256 of each file that may be installed. via: names of those that need it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]


def pins(lock: str) -> list[Pin]:
    """In the order of the file. Raises ValueError for a package without a hash."""
    found: list[tuple[str, str, str, list[str], list[str]]] = []
    in_via = False
    for line in (ROOT / lock).read_text().splitlines():
        match = _PIN.match(line)
        if match:
            found.append((match["name"].lower(), match["version"], match["marker"] or "", [], []))
            in_via = False
        elif found and (digest := _HASH.search(line)):
            found[-1][3].append(digest[1])
        elif found and line.startswith("    #"):
            said = line.strip().removeprefix("#").strip()
            in_via = in_via or said.startswith("via")
            name = said.removeprefix("via").strip()
            if in_via and name:
                found[-1][4].append(name.split(" ")[0])
    for name, _, _, hashes, _ in found:
        if not hashes:
            raise ValueError(f"{lock}: {name} has no hash")
    return [Pin(name, version, marker, tuple(hashes), tuple(via)) for name, version, marker, hashes, via in found]


def all_pins(locks: tuple[str, ...]) -> list[Pin]:
    """Of several locks, each version of each package once: a marker may ask for another one on another platform."""
    found = {(pin.name, pin.version): pin for lock in reversed(locks) for pin in pins(lock)}
    return [found[key] for key in sorted(found)]
