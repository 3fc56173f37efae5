"""The guards of one snapshot, ready to work, by workload."""

from __future__ import annotations

from signalbox.config.schema_guards import ValidJson
from signalbox.core.snapshot import Snapshot
from signalbox.detectors.scan import Scanner
from signalbox.guard.contract import AnswerGuard, Guard, Means, RequestGuard, SharedVault, Vault
from signalbox.guard.table import GUARDS


class GuardSet:
    """The guards of one workload: those that look at requests, in the order of the file, and those that look at
    answers, in the order in which answers pass them. json: what becomes of an answer that does not fit its schema; None
    where that is only looked at."""

    __slots__ = ("answers", "json", "requests")

    def __init__(self, guards: list[Guard]) -> None:
        self.requests: list[tuple[Guard, RequestGuard]] = [(one, one.request) for one in guards if one.request]
        ordered = sorted(guards, key=lambda one: one.order)
        self.answers: list[tuple[Guard, AnswerGuard]] = [(one, one.answer) for one in ordered if one.answer]
        declared = [one.use.options for one in guards if isinstance(one.use.options, ValidJson)]
        self.json = next((one for one in declared if one.repair or one.unfit == "refuse"), None)


class GuardRoom:
    """Made once for each snapshot. Raises ConfigError for settings with which a guard cannot work."""

    __slots__ = ("_by_workload", "scanners")

    def __init__(self, snapshot: Snapshot, vault: Vault | None = None, shared: SharedVault | None = None) -> None:
        self._by_workload: dict[str, GuardSet] = {}
        scanners: dict[Scanner, None] = {}
        deployments = {name: one.protocol for name, one in snapshot.deployment_by_name.items()}
        for workload in snapshot.workloads.values():
            if workload.guards:
                means = Means(workload, vault, shared, deployments)
                guards = [GUARDS[use.name](use, means) for use in workload.guards]
                self._by_workload[workload.name] = GuardSet(guards)
                scanners |= dict.fromkeys(one.scanner for one in guards if one.scanner is not None)
        # What guards look with, each once: the first text of each would wait until it is ready.
        self.scanners = [*scanners]

    def of(self, workload: str) -> GuardSet:
        return self._by_workload[workload]
