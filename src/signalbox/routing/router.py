"""Filter, Score, Pick: from the permitted set to the ranked list of one decision. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from signalbox.core.call import Call, Decision
from signalbox.core.snapshot import Deployment, Snapshot, Workload
from signalbox.routing.strategies import STRATEGIES

# Which APIs can stand in for one a deployment does not speak, in order of how much survives the translation.
TRANSLATIONS: dict[str, tuple[str, ...]] = {
    "chat": ("chat", "responses", "messages"),
    "responses": ("responses", "chat", "messages"),
    "messages": ("messages", "responses", "chat"),
    "completions": ("completions", "chat", "messages", "responses"),
    "embeddings": ("embeddings",),
    "count_tokens": ("count_tokens",),
}


class Needs(msgspec.Struct, frozen=True):
    """What a call demands of a deployment beyond permission."""

    api: str
    tools: bool = False
    images: bool = False


def needs(call: Call) -> Needs:
    """What this call demands, read from its envelope and document."""
    return Needs(call.api, bool(call.doc.get("tools")), call.envelope.opaque)


def target_api(api: str, deployment: Deployment) -> str | None:
    """The API in which `deployment` serves a call that came as `api`: its own, else a translation, else None."""
    for candidate in TRANSLATIONS[api]:
        if candidate in deployment.apis:
            return candidate
    return None


def serves(deployment: Deployment, needs: Needs) -> bool:
    if target_api(needs.api, deployment) is None:
        return False
    return not ((needs.tools and not deployment.tools) or (needs.images and not deployment.images))


class Router:
    """Ranks permitted deployments. Decisions that depend only on the configuration are remembered, boundedly."""

    MEMO_MAX = 4096

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._memo: dict[tuple[str, int, Needs], Decision] = {}

    def decide(self, workload: Workload, permitted: int, needs: Needs, pinned: Deployment | None) -> Decision:
        """The choices for a call in order, all of them; empty when none can serve it.

        pinned: the one deployment a caller named and was granted; it is used or nothing is.
        """
        if pinned is not None:
            good = permitted >> pinned.index & 1 and serves(pinned, needs)
            return Decision((pinned,) if good else (), f"pinned:{pinned.name}")
        key = (workload.name, permitted, needs)
        decision = self._memo.get(key)
        if decision is None:
            if len(self._memo) >= self.MEMO_MAX:
                self._memo.clear()
            decision = self._memo[key] = self._decide(workload, permitted, needs)
        return decision

    def _decide(self, workload: Workload, permitted: int, needs: Needs) -> Decision:
        candidates = [d for d in self._listed(workload) if permitted >> d.index & 1 and serves(d, needs)]
        ranked = STRATEGIES[workload.strategy](candidates)
        return Decision(tuple(ranked), f"{workload.strategy}:{workload.name}")

    def _listed(self, workload: Workload) -> Sequence[Deployment]:
        if not workload.placements:
            return self._snapshot.deployments
        return [self._snapshot.deployments[index] for index in workload.placements]
