"""The interlock: the only module that makes permits, and so the only place where bytes are allowed to leave."""

from __future__ import annotations

from signalbox.core.call import Call, Principal
from signalbox.core.errors import BadRequest, NoPermittedPlacement, Unsupported
from signalbox.core.labels import CONFIDENTIAL, NONE, Labels
from signalbox.core.permit import Permit
from signalbox.core.snapshot import APIS, Caller, Deployment, Snapshot, Workload
from signalbox.policy import rules
from signalbox.policy.classify import Classifier
from signalbox.wire.body import parse
from signalbox.wire.table import DIALECTS

ZERO_RETENTION = "zero-retention"
# The one onward fact that we undo: `store: false` is written for zero-retention environments and for deployments with
# `store: never`, and a translation leaves storing out, whatever the client said or left unsaid.
STORE = "store"
# A client is told of so many rules; `signalbox explain` tells of all.
RULES_SHOWN_MAX = 8


class Interlock:
    """Judges calls under one snapshot."""

    def __init__(self, snapshot: Snapshot, classifier: Classifier) -> None:
        self._snapshot = snapshot
        self._classifier = classifier
        self._callers = rules.Callers(snapshot)
        # Of calls that send nothing further, where rules ask for nobody in particular: nearly all.
        self._usual: dict[tuple[str, Labels, str, bool], int] = {}
        self._never_stored = sum(
            1 << d.index
            for d in snapshot.deployments
            if d.no_store or any(a.name == ZERO_RETENTION for a in d.environment.attests)
        )
        # By the client's API: the deployments at which nothing is kept, though the client lets it be.
        self._unstored = {
            api: self._never_stored | sum(1 << d.index for d in snapshot.deployments if api not in d.apis)
            for api in APIS
        }

    def writes_no_store(self, deployment: Deployment) -> bool:
        """True where every body must say `store: false`."""
        return bool(self._never_stored >> deployment.index & 1)

    def unstored(self, call: Call) -> int:
        """The bitset of deployments at which nothing is kept, though the call lets it be, and nothing goes further."""
        return self._unstored[call.api] if call.envelope.onward == (STORE,) else 0

    def caller(self, call: Call) -> Caller:
        """What rules may ask about who calls."""
        return self._callers.of(call.principal)

    def permitted(self, call: Call) -> int:
        """The bitset of deployments that may see this call's raw content."""
        raw = self._permitted(call, call.labels)
        for use in call.workload.guards:
            if use.name in self._snapshot.index.guards:
                raw |= self._permitted(call, call.labels, use.name)
        return raw

    def reach(self, principal: Principal, workload: Workload, api: str, *, placed: bool) -> int:
        """The bitset of deployments that may see what this caller and workload declare, raw or past a guard: what calls
        can hope for. Their own content is judged call by call."""
        labels, caller = workload.labels | principal.labels, self._callers.of(principal)
        return rules.permitted_guarded(self._snapshot, workload, labels, False, api, placed, caller)

    def needs_guard(self, call: Call, deployment: Deployment) -> str:
        """The guard whose work a deployment's permission rests on: empty where the raw content may go there."""
        if self._snapshot.index.guards:
            for use in call.workload.guards:
                if self._rests_on(use.name, call, deployment):
                    return use.name
        return ""

    def _rests_on(self, guard: str, call: Call, deployment: Deployment) -> bool:
        """Whether a deployment may have what this guard makes of a call, and not the raw content."""
        if self._permitted(call, call.labels) >> deployment.index & 1:
            return False
        return bool(self._permitted(call, call.labels, guard) >> deployment.index & 1)

    def _permitted(self, call: Call, labels: Labels, guard: str = "") -> int:
        envelope = call.envelope
        if guard and _is_beyond_guards(call):
            guard = ""
        if not (guard or envelope.onward or envelope.unknown_tools) and self._callers.alike:
            key = (call.workload.name, labels, call.api, call.pinned is None)
            found = self._usual.get(key)
            if found is None:
                if len(self._usual) >= rules.MEMO_MAX:
                    self._usual.clear()
                found = self._usual[key] = rules.permitted(self._snapshot, call.workload, labels, False, *key[2:])
            return found
        if _unknown_tools(call, labels):
            return 0
        onward, placed = bool(envelope.onward), call.pinned is None
        snapshot, workload, api, caller = self._snapshot, call.workload, call.api, self._callers.of(call.principal)
        allowed = rules.permitted(snapshot, workload, labels, onward, api, placed, caller, guard)
        if onward and envelope.onward == (STORE,):
            unstored = rules.permitted(snapshot, workload, labels, False, api, placed, caller, guard)
            allowed |= unstored & self._unstored[api]
        return allowed

    def _goes_further(self, call: Call, deployment: Deployment) -> bool:
        """Whether the call carries content further than the model when it goes there."""
        onward = call.envelope.onward
        return bool(onward) and not (onward == (STORE,) and self._unstored[call.api] >> deployment.index & 1)

    def permit(
        self, call: Call, deployment: Deployment, attempt_id: str, api: str, body: bytes, guard: str = ""
    ) -> Permit:
        """A permit for exactly these bytes to go to exactly this deployment, asked for anew at every attempt.

        Judged are these bytes. In the client's own dialect they are the body that was classified, apart from edits that
        bring in nothing but constants and the deployment's own model name; a translation puts strings together anew,
        and is read again. Raises NoPermittedPlacement when the rules, evaluated now, forbid it: nothing leaves.

        guard: the one that has transformed these bytes, empty for none. Then they are read again as well: what the
        call carries counts as transformed where a rule names the guard, and what is still in them as raw everywhere.
        Where the permission rests on the guard, nothing may be left that it is there to take out.
        """
        labels = call.labels
        if api != call.api and call.envelope.onward == (STORE,) and self._snapshot.rules and _stores(api, body):
            raise self._forbidden(call, deployment, labels)
        if guard:
            hides = self._rests_on(guard, call, deployment)
            content, left = self._classifier.beside_pseudonyms(call, body, telling=hides)
            if left:
                raise self._not_hidden(call, deployment, guard, left)
            rest = content.labels
            further = self._goes_further(call, deployment)
            allowed = self._permitted(call, labels, guard) & rules.permitted_beside(
                self._snapshot, call.workload, rest, further, call.api, self.caller(call)
            )
            if not allowed >> deployment.index & 1:
                raise self._forbidden(call, deployment, labels | rest)
            return Permit(attempt_id, deployment, api, body, labels, f"{call.reason} {guard}d")
        if api != call.api:
            labels |= self._classifier.of_body(call, body).labels
            if labels != call.labels:
                self._classifier.raised(call, labels)
        if not self._permitted(call, labels) >> deployment.index & 1:
            raise self._forbidden(call, deployment, labels)
        return Permit(attempt_id, deployment, api, body, labels, call.reason)

    def _not_hidden(
        self, call: Call, deployment: Deployment, guard: str, left: tuple[str, ...]
    ) -> NoPermittedPlacement:
        """The error for what is left of what a guard has to take out. What a rule says of a declared class no detector
        can tell from the bytes, so whatever tells who somebody is counts."""
        kinds = ", ".join(left[:RULES_SHOWN_MAX])
        return NoPermittedPlacement(
            f"The rules permit {deployment.name!r} for this call only once {guard} has taken out what identifies"
            f" anybody, and it cannot take out: {kinds}.",
            self._forbidden(call, deployment, call.labels).rules,
        )

    def refused(self, call: Call) -> dict[str, list[tuple[str, str]]]:
        """The rules that forbid each deployment that this call may not go to, as rules.refusals tells them."""
        return self._refusals(call, call.labels)

    def _refusals(self, call: Call, labels: Labels) -> dict[str, list[tuple[str, str]]]:
        return rules.refusals(
            self._snapshot,
            call.workload,
            labels,
            bool(call.envelope.onward),
            call.api,
            placed=call.pinned is None,
            caller=self.caller(call),
            kept=self.unstored(call),
        )

    def _forbidden(self, call: Call, deployment: Deployment, labels: Labels) -> NoPermittedPlacement:
        """That these very bytes may not go there."""
        why = self._refusals(call, labels).get(deployment.name, [])
        named = tuple(sorted({rule for rule, _ in why})[:RULES_SHOWN_MAX])
        return NoPermittedPlacement(f"The rules do not permit {deployment.name!r} for this call.", named)

    def refusal(self, call: Call) -> BadRequest:
        """Why nothing is permitted, naming the rules that forbid and what they cite."""
        if _unknown_tools(call, call.labels):
            return Unsupported(
                f"The tool type {call.envelope.unknown_tools[0][:64]!r} is unknown to this gateway, and content of"
                " class confidential and above may only use known ones.",
                param="tools",
                code="unknown_tool_type",
            )
        refused = self.refused(call)
        if call.pinned is not None:
            refused = {call.pinned.name: refused.get(call.pinned.name, [])}
        cited = sorted({_cited(rule, source) for found in refused.values() for rule, source in found})
        labels = ", ".join(call.labels.names())
        why = f"forbidden by {', '.join(cited[:RULES_SHOWN_MAX])}" if cited else "no placement of it may take this"
        return NoPermittedPlacement(
            f"No permitted placement for workload {call.workload.name!r} with data class {labels}: {why}."
            + self._but_for(call),
            tuple(sorted({rule for found in refused.values() for rule, _ in found})[:RULES_SHOWN_MAX]),
        )

    def _but_for(self, call: Call) -> str:
        """What the caller can leave out so that it would be permitted: whatever carries the content further, and what
        no guard can transform."""
        if _is_beyond_guards(call) and any(use.name in self._snapshot.index.guards for use in call.workload.guards):
            return " It holds parts that no guard can read (images, files, token ids), so that none can transform it."
        if not self.without_onward(call):
            return ""
        return f" It would be permitted without {leaving_out(call.envelope.onward)}: that carries content further."

    def without_onward(self, call: Call) -> int:
        """The bitset of deployments that might see the content of a call if it carried nothing further; 0 for one that
        does not."""
        if not call.envelope.onward or _unknown_tools(call, call.labels):
            return 0
        without = rules.permitted(
            self._snapshot,
            call.workload,
            call.labels,
            False,
            call.api,
            placed=call.pinned is None,
            caller=self.caller(call),
        )
        return without if call.pinned is None else without & 1 << call.pinned.index


def leaving_out(onward: tuple[str, ...]) -> str:
    """What carries content further, for people. The Responses API stores what says nothing about it."""
    return ", ".join(onward) + (' (say `"store": false`)' if STORE in onward else "")


def _cited(rule: str, source: str) -> str:
    return f"{rule} ({source})" if source and rule != rules.PLACEMENTS else rule


def _stores(api: str, body: bytes) -> bool:
    """Whether a translation goes further than the model after all. That it stores nothing is seen in the bytes that
    leave, and counts on nobody's promise."""
    return bool(DIALECTS[api].envelope(parse(body)).onward)


def _is_beyond_guards(call: Call) -> bool:
    """Whether it holds what no guard can read, and so none can transform, unless that is declared to hold nothing."""
    return call.envelope.media and call.workload.opaque != NONE


def _unknown_tools(call: Call, labels: Labels) -> bool:
    """Whether a tool that may run anywhere stands beside content that may not go anywhere."""
    return bool(call.envelope.unknown_tools) and labels.level >= CONFIDENTIAL
