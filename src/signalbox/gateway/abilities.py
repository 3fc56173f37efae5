"""What is known of a name that clients put into `model`: what calls with it may hold, and how they are served."""

from __future__ import annotations

from signalbox.core.call import Principal
from signalbox.core.errors import NotFound
from signalbox.core.snapshot import ANSWERING, Deployment, Snapshot
from signalbox.policy.access import of_models, resolve
from signalbox.policy.interlock import Interlock
from signalbox.routing.translation import target_api

_CONVERSATIONS = ("chat", "responses", "messages")

# The members that are told, and what they mean.
MEMBERS = {
    "apis": "By API of the call: `native` where some deployment gets the client's own bytes, else `translated`.",
    "context_tokens": "The same as `max_input_tokens`.",
    "input": "What calls may hold: `text`, `image`.",
    "output": "What comes back: `text`, `embedding`.",
    "tools": "Whether calls may offer tools.",
    "json_schema": "Whether calls may demand an answer that follows a JSON Schema.",
}


class Abilities:
    """For one caller: no more than its own calls could find out. Deployments count that may see what the workload
    declares (rules and the key's limits included); which they are is not told."""

    def __init__(self, snapshot: Snapshot, interlock: Interlock, principal: Principal) -> None:
        self._snapshot = snapshot
        self._interlock = interlock
        self._principal = principal
        self._apis = [api for api in ANSWERING if principal.apis is None or api in principal.apis]
        every = (1 << len(snapshot.deployments)) - 1
        self._allowed = every if principal.models is None else of_models(snapshot, principal.models)
        # Rules tell APIs apart only by what attestations cover.
        self._alike = not any(held.covers for one in snapshot.deployments for held in one.environment.attests)
        # Many names lead to the same deployments.
        self._known: dict[tuple[int, ...], dict[str, object]] = {}

    def of(self, name: str) -> dict[str, object]:
        """Members of the model's object: `max_input_tokens` where it is known, as the Messages API calls it, and
        `signalbox` with all of it. Empty for a name that no call could use."""
        try:
            workload, pinned = resolve(self._snapshot, self._principal, name, None)
        except NotFound:
            return {}
        mask = self._allowed if pinned is None else self._allowed & 1 << pinned.index
        asked = self._apis[:1] if self._alike else self._apis
        reach = tuple(
            [self._interlock.reach(self._principal, workload, api, placed=pinned is None) & mask for api in asked]
        )
        found = self._known.get(reach)
        if found is None:
            found = self._known[reach] = self._told(reach * len(self._apis) if self._alike else reach)
        return found

    def _told(self, reach: tuple[int, ...]) -> dict[str, object]:
        apis: dict[str, str] = {}
        able: dict[int, Deployment] = {}
        talking: dict[int, Deployment] = {}
        for api, bits in zip(self._apis, reach, strict=True):
            serving = [one for one in self._snapshot.deployments if bits >> one.index & 1 and target_api(api, one)]
            if serving:
                apis[api] = "native" if any(api in one.apis for one in serving) else "translated"
                able |= {one.index: one for one in serving}
                if api in _CONVERSATIONS:
                    talking |= {one.index: one for one in serving}
        told: dict[str, object] = {"apis": apis}
        members: dict[str, object] = {"signalbox": told}
        windows = [one.context_tokens for one in able.values()]
        if windows and all(windows):
            # Calls that are too long for one go to a larger one.
            members["max_input_tokens"] = told["context_tokens"] = max(windows)
        output = ["text"] if apis.keys() - {"embeddings"} else []
        images = any(one.images for one in talking.values())
        told["input"] = ["text", "image"] if images else ["text"] if apis else []
        told["output"] = output + (["embedding"] if "embeddings" in apis else [])
        told["tools"] = any(one.tools for one in talking.values())
        told["json_schema"] = any(one.json_schema for one in talking.values())
        return members
