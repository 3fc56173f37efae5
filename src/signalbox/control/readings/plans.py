"""Plans that lie in the state directory, to be looked at and held side by side.

What reads a plan belongs to the extra `plan` (numpy): it is loaded when there is a plan to show, and never by a process
that only serves.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from signalbox.core.errors import ConfigError

if TYPE_CHECKING:
    from signalbox.planner.plan import Plan

FOLDER = "plans"
SHOWN_MAX = 20
BYTES_MAX = 64 * 1024 * 1024


class PlanFile(msgspec.Struct, frozen=True):
    """stale: it was made for another configuration than the one in force; empty config says it was made without one."""

    file: str
    plan: Plan
    stale: bool


def plans(state_dir: Path, config_version: str) -> list[PlanFile]:
    """`plans/*.json`, the newest first; what is no plan is left out, and all of them where numpy is not installed."""
    found: list[PlanFile] = []
    folder = state_dir / FOLDER
    if not folder.is_dir():
        return []
    try:
        decode = import_module("signalbox.planner.plan").decode
    except ModuleNotFoundError:
        return []
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in paths[:SHOWN_MAX]:
        if path.stat().st_size <= BYTES_MAX:
            try:
                plan = decode(path.read_bytes())
            except (ValueError, ConfigError):
                continue
            found.append(PlanFile(path.name, plan, plan.sources.config != config_version))
    return found
