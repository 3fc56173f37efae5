"""What of a workload's choosing has to fit together: shares, qualities and cascades name deployments it may use."""

from __future__ import annotations

from signalbox.config.problems import Path, Problems, did_you_mean
from signalbox.config.schema import Config
from signalbox.config.schema_choosing import Cascade
from signalbox.config.schema_shadow import Shadow
from signalbox.config.schema_workloads import Workload


def check_choosing(path: Path, workload: Workload, config: Config, problems: Problems) -> None:
    for name in workload.weights:
        _check_usable((*path, "weights", name), name, workload, config, problems)
    for name in workload.quality:
        if name not in config.deployments:
            fix = did_you_mean(name, config.deployments)
            problems.add((*path, "quality", name), f"there is no deployment {name[:64]!r}", fix)
    if workload.strategy == "weighted":
        if not any(workload.weights.values()) and problems.clean((*path, "weights")):
            problems.add((*path, "weights"), "no deployment has a share", "Give at least one a share above 0")
    elif workload.weights:
        problems.add((*path, "weights"), "is for strategy weighted", "Write `strategy: weighted`, or leave it out")
    if workload.shadow is not None:
        _check_shadow(path, workload, config, problems)
    if workload.strategy == "cascade":
        _check_cascade(path, workload, config, problems)
    elif workload.cascade is not None:
        problems.add((*path, "cascade"), "is for strategy cascade", "Write `strategy: cascade`, or leave it out")


def _check_cascade(path: Path, workload: Workload, config: Config, problems: Problems) -> None:
    weak, strong = cascade_pair(workload)
    if weak is None or strong is None:
        problems.add(
            path,
            "its cascade names no weak and strong deployment",
            "List two placements, the weak one first, or give `cascade: {weak: ..., strong: ...}`",
        )
        return
    for key, name in (("weak", weak), ("strong", strong)):
        _check_usable((*path, "cascade", key), name, workload, config, problems)
    where, known = (*path, "cascade", "agrees_with"), {weak, strong}
    for name in cascade_helpers(workload):
        if name not in config.deployments:
            problems.add(where, f"there is no deployment {name[:64]!r}", did_you_mean(name, config.deployments))
        elif name in (weak, strong):
            problems.add(where, "is the weak or the strong one itself", "Name a third one")
        elif name in known:
            problems.add(where, f"names {name[:64]!r} twice", "Name it once: its second answer is no other opinion")
        known.add(name)
    if weak == strong:
        problems.add((*path, "cascade"), "weak and strong are the same deployment", "Name two")


def _check_shadow(path: Path, workload: Workload, config: Config, problems: Problems) -> None:
    weak, strong = shadow_pair(workload)
    if weak is None or strong is None or weak == strong:
        fix = "List two placements, the weak one first, or give `shadow: {weak: ..., strong: ...}`"
        problems.add((*path, "shadow"), "names no two deployments to compare", fix)
        return
    for key, name in (("weak", weak), ("strong", strong)):
        _check_usable((*path, "shadow", key), name, workload, config, problems)
    judge = workload.shadow.judge if workload.shadow is not None else None
    if judge is not None and judge not in config.deployments:
        fix = did_you_mean(judge, config.deployments)
        problems.add((*path, "shadow", "judge"), f"there is no deployment {judge[:64]!r}", fix)


def _check_usable(path: Path, name: str, workload: Workload, config: Config, problems: Problems) -> None:
    if name not in config.deployments:
        if problems.names_of(("deployments",)) is not None:
            problems.add(path, f"there is no deployment {name[:64]!r}", did_you_mean(name, config.deployments))
    elif workload.placements and name not in workload.placements:
        problems.add(path, f"{name!r} is not among the workload's placements", "Add it there, or take it away here")


def cascade_pair(workload: Workload) -> tuple[str | None, str | None]:
    """Names of the weak and the strong deployment: as stated, else the first two placements that are left."""
    return _pair(workload, workload.cascade)


def cascade_helpers(workload: Workload) -> list[str]:
    """Names of the deployments whose agreement counts, none without a cascade that asks for it."""
    stated = workload.cascade.agrees_with if workload.cascade is not None else None
    return [stated] if isinstance(stated, str) else stated or []


def shadow_pair(workload: Workload) -> tuple[str | None, str | None]:
    """Likewise of the two that a shadow slice compares; those of a cascade where there is one."""
    weak, strong = _pair(workload, workload.shadow)
    if workload.strategy == "cascade" and workload.shadow is not None:
        first, second = cascade_pair(workload)
        weak, strong = workload.shadow.weak or first, workload.shadow.strong or second
    return weak, strong


def _pair(workload: Workload, stated: Cascade | Shadow | None) -> tuple[str | None, str | None]:
    weak, strong = (stated.weak, stated.strong) if stated is not None else (None, None)
    left = [name for name in workload.placements if name not in (weak, strong)]
    if weak is None and left:
        weak = left.pop(0)
    if strong is None and left:
        strong = left.pop(0)
    return weak, strong
