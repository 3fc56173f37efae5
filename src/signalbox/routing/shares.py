"""Who gets the slots of a deployment that several workloads want: least shares kept free, weights for the rest.

Nothing waits and nothing is taken away from a call that runs: a call that has no room is passed over, as where the
deployment is full. Pure but for its own counts; one for each deployment and process.
"""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.core.shares import Share

# A workload that was turned away so lately wants a slot still.
WANTS_NS = 1_000_000_000
_PLAIN = Share()


class Shares:
    """Calls under way by workload, and who was turned away when."""

    __slots__ = ("_active", "_declared", "_least", "_turned_ns", "concurrency")

    def __init__(self, concurrency: int, declared: Mapping[str, Share]) -> None:
        self._active: dict[str, int] = {}
        self._turned_ns: dict[str, int] = {}
        self.adopt(concurrency, declared)

    def adopt(self, concurrency: int, declared: Mapping[str, Share]) -> None:
        self.concurrency = concurrency
        self._declared = dict(declared)
        self._least = {name: max(1, int(share.least * concurrency)) for name, share in declared.items() if share.least}

    def begin(self, workload: str) -> None:
        self._active[workload] = self._active.get(workload, 0) + 1

    def end(self, workload: str) -> None:
        left = self._active.get(workload, 0) - 1
        if left > 0:
            self._active[workload] = left
        else:
            self._active.pop(workload, None)

    def room(self, workload: str, now_ns: int) -> bool:
        """Whether one more call of a workload may begin: within its least share always, beyond it only in slots that
        nobody is owed, and beyond its weight's share only while no other that is below its own was turned away."""
        mine, active = self._active.get(workload, 0), self._active
        free = self.concurrency - sum(active.values())
        if free > 0 and mine < self._least.get(workload, 0):
            return True
        owed = sum(max(0, least - active.get(name, 0)) for name, least in self._least.items() if name != workload)
        if free > owed and not self._beyond_its_weight(workload, mine, now_ns):
            return True
        self._turned_ns[workload] = now_ns
        return False

    def _beyond_its_weight(self, workload: str, mine: int, now_ns: int) -> bool:
        self._turned_ns = {name: at for name, at in self._turned_ns.items() if now_ns - at < WANTS_NS}
        wanting = [name for name in self._turned_ns if name != workload]
        if not wanting:
            return False
        weights = {name: self._weight(name) for name in {workload, *wanting, *self._active}}
        slot = self.concurrency / sum(weights.values())
        return mine >= weights[workload] * slot and any(
            self._active.get(name, 0) < weights[name] * slot for name in wanting
        )

    def _weight(self, workload: str) -> float:
        return self._declared.get(workload, _PLAIN).weight
