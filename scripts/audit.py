"""Holds every pinned package against a copy of the OSV database: scripts/audit.py --osv FOLDER

FOLDER holds OSV's advisories for PyPI, one JSON file each, as in the `all.zip` that OSV publishes. Without it nothing
can be said, and this says so: exit 2. Exit 1: a pin is affected. Exit 0: every pin was looked up, and none is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from locks import Pin, all_pins
from packaging.version import InvalidVersion, Version

LOCKS = ("requirements.lock", "requirements-postgres.lock", "requirements-dev.lock")


def affected(pin: Pin, advisory: dict[str, Any]) -> bool:
    """By OSV's rules: a listed version, or one inside a range of ecosystem versions."""
    for each in advisory.get("affected", []):
        package = each.get("package", {})
        if package.get("ecosystem") != "PyPI" or normal(package.get("name", "")) != normal(pin.name):
            continue
        if pin.version in each.get("versions", []):
            return True
        if any(inside(pin.version, span["events"]) for span in each.get("ranges", []) if span["type"] == "ECOSYSTEM"):
            return True
    return False


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def inside(version: str, events: list[dict[str, str]]) -> bool:
    """Events in order of version: from `introduced` on, until `fixed`, or including `last_affected`."""
    here, hit = Version(version), False
    for event in sorted(events, key=_place):
        at = _place(event)
        if "introduced" in event and here >= at:
            hit = True
        elif ("fixed" in event and here >= at) or ("last_affected" in event and here > at):
            hit = False
    return hit


def _place(event: dict[str, str]) -> Version:
    text = next(iter(event.values()))
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


def advisories(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        advisory = json.loads(path.read_text(encoding="utf-8"))
        if "withdrawn" not in advisory:
            yield advisory


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--osv", type=Path, help="folder with OSV's advisories for PyPI")
    folder = parser.parse_args().osv
    pins = all_pins(LOCKS)
    if folder is None or not any(folder.glob("*.json")):
        print(f"NOT AUDITED: there is no vulnerability data. {len(pins)} pins were not looked up.", file=sys.stderr)
        print("Fetch OSV's all.zip for PyPI, unpack it, and pass --osv FOLDER.", file=sys.stderr)
        return 2
    known = list(advisories(folder))
    found = [(pin, advisory) for pin in pins for advisory in known if affected(pin, advisory)]
    for pin, advisory in found:
        print(f"{pin.name} {pin.version}: {advisory['id']} {advisory.get('summary', '')}".rstrip())
    print(f"{len(pins)} pins held against {len(known)} advisories: {len(found)} hits.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
