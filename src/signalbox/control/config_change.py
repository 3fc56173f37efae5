"""One change of the configuration: what it would do, putting it in force, and going back to what was before.

The file is the truth: a change is made for a text of it, and refused when somebody else has changed it since.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec

from signalbox.config.load import read_bytes
from signalbox.config.schema_workloads import Strategy
from signalbox.control.config_text import Covers, digest_of
from signalbox.control.in_force import Configurations, InForce
from signalbox.control.readings.placements import placements_of
from signalbox.control.versions import Version, Versions, write_whole
from signalbox.control.yaml_edit import CannotEdit, set_value
from signalbox.core.errors import ConfigError
from signalbox.policy.check import check
from signalbox.policy.finding import Finding

EFFECTS_MAX = 500
DIFF_LINES_MAX = 2000
STRATEGIES: tuple[str, ...] = get_args(Strategy)


class Effect(msgspec.Struct, frozen=True):
    """A placement that a change opens or closes. rules: that would forbid it, where it closes."""

    workload: str
    deployment: str
    environment: str
    opens: bool
    rules: tuple[str, ...] = ()


class Preview(msgspec.Struct, frozen=True):
    """What a change would do. base: of the text it was made for. text: the new one, secrets covered. findings: that
    `signalbox check` would add to those of today."""

    base: str
    text: str
    diff: tuple[str, ...]
    effects: tuple[Effect, ...]
    findings: tuple[Finding, ...]
    version: str

    @property
    def empty(self) -> bool:
        return not self.diff


class Draft(msgspec.Struct, frozen=True):
    """The configuration as it may be edited. file: None when it is no file that can be changed."""

    base: str
    text: str
    file: str | None
    name: str


def draft(content: bytes, name: str, file: Path | None) -> Draft:
    covered = Covers().cover(content.decode("utf-8", "replace"))
    return Draft(digest_of(content), covered, str(file) if file is not None else None, name)


def preview(configurations: Configurations, content: bytes, name: str, wanted: str) -> Preview:
    """wanted: the new text, with covers where secrets are to stay. Raises ConfigError for one that cannot hold."""
    covers = Covers()
    before_text = covers.cover(content.decode())
    wanted = wanted.replace("\r\n", "\n")
    new = covers.uncover(wanted)
    after = configurations.compiled(new.encode(), name)
    before = configurations.now()
    after_text = covers.cover(new)
    lines = difflib.unified_diff(
        before_text.splitlines(), after_text.splitlines(), name, f"{name} (changed)", lineterm=""
    )
    known = {(finding.level, finding.message) for finding in check(before.declared, before.snapshot)}
    added = [one for one in check(after.declared, after.snapshot) if (one.level, one.message) not in known]
    return Preview(
        base=digest_of(content),
        text=after_text,
        diff=tuple(lines)[:DIFF_LINES_MAX],
        effects=tuple(_effects(before, after))[:EFFECTS_MAX],
        findings=tuple(added),
        version=after.snapshot.version,
    )


def _effects(before: InForce, after: InForce) -> list[Effect]:
    """Placements, as the workload's own list and all rules leave them, that differ."""
    found: list[Effect] = []
    for name, workload in after.snapshot.workloads.items():
        old = before.snapshot.workloads.get(name)
        was = {} if old is None else {one.deployment: one for one in placements_of(before.snapshot, old)}
        for one in placements_of(after.snapshot, workload):
            open_before = one.deployment in was and was[one.deployment].permitted
            if one.permitted != open_before:
                rules = tuple(reason.rule for reason in one.reasons)
                found.append(Effect(name, one.deployment, one.environment, one.permitted, rules))
    return found


def with_workload(content: bytes, name: str, workload: str, placements: list[str], strategy: str) -> str:
    """The text with a workload's placements and strategy changed, secrets covered. Raises ConfigError."""
    if strategy not in STRATEGIES:
        raise ConfigError([f"strategy: there is no {strategy[:64]!r}. Use one of: {', '.join(STRATEGIES)}."])
    text = Covers().cover(content.decode())
    try:
        text = set_value(text, ("workloads", workload, "placements"), placements)
        return set_value(text, ("workloads", workload, "strategy"), strategy)
    except CannotEdit as error:
        raise ConfigError([f"{name}: {error}: it cannot be edited here. Change the file by hand."]) from None


def apply_text(
    configurations: Configurations, versions: Versions, path: Path, base: str, wanted: str, why: str
) -> Version:
    """Writes a previewed text; the one before is kept first. Raises ConfigError when the file has changed since."""
    content = read_bytes(path)
    if digest_of(content) != base:
        raise ConfigError([f"{path.name}: it was changed meanwhile by somebody else. Look at it again, then apply."])
    covers = Covers()
    covers.cover(content.decode())
    new = covers.uncover(wanted.replace("\r\n", "\n")).encode()
    version = configurations.now().snapshot.version
    return replace(configurations, versions, path, content, new, version, why)


def roll_back(configurations: Configurations, versions: Versions, path: Path, wanted: str) -> Version:
    """Puts back a kept text; what holds now is kept in its turn. Raises ConfigError."""
    content = read_bytes(path)
    version = configurations.now().snapshot.version
    why = f"rollback to {wanted}"
    return replace(configurations, versions, path, content, versions.content(wanted), version, why)


def replace(
    configurations: Configurations,
    versions: Versions,
    path: Path,
    before: bytes,
    after: bytes,
    version: str,
    why: str,
) -> Version:
    """Compiles what is to be written, keeps what was, and replaces the file in one step. Raises ConfigError."""
    configurations.compiled(after, str(path))
    kept = versions.keep(before, version, datetime.now(UTC).isoformat(timespec="seconds"), why)
    try:
        write_whole(path, after)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be written ({error.strerror}). Apply the difference by hand."]) from None
    return kept
