"""Filter, Score, Pick: from the permitted set to the ranked list of one decision. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from signalbox.core.call import Call, Decision
from signalbox.core.snapshot import Deployment, Snapshot, Workload
from signalbox.routing.strategies import LIVE, NOTHING_KNOWN, STRATEGIES, TIMED_MIN, Situation
from signalbox.routing.translation import TRANSLATIONS, target_api
from signalbox.routing.trusting import Judge

# So many bytes of a body are a token at least, in any language and encoding that is met.
BYTES_PER_TOKEN = 4
# Of a stated output limit so much counts as needed: clients state the most there is by habit.
OUTPUT_TOKENS_COUNTED = 4096


class Needs(msgspec.Struct, frozen=True):
    """What a call demands of a deployment beyond permission. window: how many of the context windows that deployments
    state, each counted once, are too small for it."""

    api: str
    tools: bool = False
    images: bool = False
    json_schema: bool = False
    window: int = 0


_SCHEMA_PLACES = ("response_format", "text", "output_config", "output_format")
# Without any of these members a body demands nothing but its API.
_DEMANDING = frozenset(("tools", *_SCHEMA_PLACES))
_OF_TEXT = {api: Needs(api) for api in TRANSLATIONS}


def needs(call: Call) -> Needs:
    """What this call demands, read from its envelope and document; how much context it takes, the router tells."""
    doc = call.doc
    if _DEMANDING.isdisjoint(doc):
        return _OF_TEXT[call.api] if not call.envelope.opaque else Needs(call.api, images=True)
    return Needs(call.api, bool(doc.get("tools")), call.envelope.opaque, _demands_schema(doc))


def _demands_schema(doc: dict[str, Any]) -> bool:
    """Whether the answer has to conform to a JSON Schema: in chat, in Responses, in Messages."""
    for place in _SCHEMA_PLACES:
        if place in doc:
            found: object = doc[place]
            while isinstance(found, dict):
                fields = cast("dict[str, object]", found)
                if fields.get("type") == "json_schema":
                    return True
                found = fields.get("format")
    return False


def tokens_of(call: Call) -> int:
    """About how many tokens of context a call takes, answer included; 0 where its body does not tell."""
    envelope = call.envelope
    if envelope.opaque or envelope.stateful:
        return 0
    return len(call.body) // BYTES_PER_TOKEN + min(envelope.max_tokens or 0, OUTPUT_TOKENS_COUNTED)


def serves(deployment: Deployment, needs: Needs) -> bool:
    if target_api(needs.api, deployment) is None:
        return False
    if needs.json_schema and not deployment.json_schema:
        return False
    return not ((needs.tools and not deployment.tools) or (needs.images and not deployment.images))


class Fit(msgspec.Struct, frozen=True):
    """What the filter leaves of a workload's deployments. able: all of them, as listed. good: those that meet what was
    asked of them; rest: those that serve only where nothing better does. short: what they are short of, by index."""

    able: tuple[Deployment, ...]
    good: tuple[Deployment, ...]
    rest: tuple[Deployment, ...]
    short: dict[int, tuple[str, ...]]


class Router:
    """Ranks permitted deployments. Decisions that depend only on the configuration are remembered, boundedly; of the
    others, what the filter leaves is."""

    MEMO_MAX = 4096

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._memo: dict[tuple[str, int, Needs], Decision] = {}
        self._fits: dict[tuple[str, int, Needs], Fit] = {}
        self._priced: dict[tuple[str, int, Needs, int, int], Decision] = {}
        # Some price depends on the time of day.
        self._clocked = any(one.tariff is not None and one.tariff.windows for one in snapshot.deployments)
        self.judges = {name: Judge(one.cascade) for name, one in snapshot.workloads.items() if one.cascade is not None}
        self._windows = sorted({one.context_tokens for one in snapshot.deployments if one.context_tokens})
        self.live = frozenset(name for name, one in snapshot.workloads.items() if is_live(one))

    def decide(
        self,
        workload: Workload,
        permitted: int,
        needs: Needs,
        pinned: Deployment | None,
        situation: Callable[[], Situation] | None = None,
    ) -> Decision:
        """The choices for a call in order, all of them; empty when none can serve it.

        pinned: the one deployment a caller named and was granted; it is used or nothing is. situation: tells what is
        known at this moment, asked only where the order depends on that.
        """
        if pinned is not None:
            good = permitted >> pinned.index & 1 and serves(pinned, needs)
            return Decision((pinned,) if good else (), f"pinned:{pinned.name}")
        key = (workload.name, permitted, needs)
        if situation is not None and workload.name in self.live:
            fit = self._fits.get(key)
            if fit is None:
                if len(self._fits) >= self.MEMO_MAX:
                    self._fits.clear()
                fit = self._fits[key] = self.fit(workload, permitted, needs)
            return self._rank_live(workload, key, fit, situation())
        decision = self._memo.get(key)
        if decision is None:
            if len(self._memo) >= self.MEMO_MAX:
                self._memo.clear()
            known = msgspec.structs.replace(NOTHING_KNOWN, choosing=workload.choosing, cascade=workload.cascade)
            decision = self._memo[key] = self._rank(workload, self.fit(workload, permitted, needs), known)
        return decision

    def _rank_live(self, workload: Workload, key: tuple[str, int, Needs], fit: Fit, known: Situation) -> Decision:
        """Prices alone are the same for all calls of about one size, until the clock or a cached beginning counts."""
        if workload.strategy != "cheapest" or workload.ttft_p95_ms or known.stayed or self._clocked:
            return self._rank(workload, fit, known)
        priced = (*key, known.tokens_in, known.tokens_out)
        decision = self._priced.get(priced)
        if decision is None:
            if len(self._priced) >= self.MEMO_MAX:
                self._priced.clear()
            decision = self._priced[priced] = self._rank(workload, fit, known)
        return decision

    def needs_of(self, call: Call) -> Needs:
        """What this call demands, room for it included where deployments state how much they have."""
        demanded = needs(call)
        if self._windows:
            tokens = tokens_of(call)
            if tokens > self._windows[0]:
                return msgspec.structs.replace(demanded, window=bisect_left(self._windows, tokens))
        return demanded

    def fit(self, workload: Workload, permitted: int, needs: Needs) -> Fit:
        """Filter: who is permitted and able, and of these who meets the quality floor and has room for the call. Who
        does not stays behind those who do: a floor never empties the set."""
        able = [d for d in self._listed(workload) if permitted >> d.index & 1 and serves(d, needs)]
        smallest = self._windows[needs.window - 1] + 1 if needs.window else 0
        short = {one.index: _short_of(one, workload, smallest) for one in able}
        worst = sorted(able, key=lambda one: _badness(short[one.index]))
        best = _badness(short[worst[0].index]) if worst else 0
        good = tuple(one for one in worst if _badness(short[one.index]) == best)
        rest = tuple(one for one in worst if _badness(short[one.index]) > best)
        return Fit(tuple(able), good, rest, {index: what for index, what in short.items() if what})

    def _rank(self, workload: Workload, fit: Fit, known: Situation) -> Decision:
        """Score and Pick. The reason tells what stood in the way of whoever would have been first."""
        rank = STRATEGIES[workload.strategy]
        notes: list[str] = []
        ranked = rank(fit.good, known)
        if known.tiers is not None:
            ranked, note = known.tiers(ranked)
            notes.append(note)
        if fit.rest:
            unfiltered = rank(fit.able, known)[0]
            notes += fit.short.get(unfiltered.index, ()) if unfiltered not in fit.good else ()
        ranked = _hurried(ranked, workload.ttft_p95_ms * 1_000_000, known, notes)
        if known.choosing.sticky and known.stayed:
            ranked = _kept(ranked, workload.ttft_p95_ms * 1_000_000, known, notes)
        reason = f"{workload.strategy}:{workload.name}"
        return Decision((*ranked, *fit.rest), " ".join((reason, *notes)) if notes else reason)

    def _listed(self, workload: Workload) -> Sequence[Deployment]:
        if not workload.placements:
            return self._snapshot.deployments
        return [self._snapshot.deployments[index] for index in workload.placements]


def is_live(workload: Workload) -> bool:
    """Whether its order depends on more than the configuration and what the call needs."""
    return workload.strategy in LIVE or workload.ttft_p95_ms > 0 or workload.choosing.sticky


def _short_of(deployment: Deployment, workload: Workload, tokens: int) -> tuple[str, ...]:
    """What a deployment is short of for a call: room for so many tokens, or the quality that the workload asks for.
    Whose quality nobody stated is in doubt, and comes behind those that are known to be good enough."""
    short: list[str] = []
    if 0 < deployment.context_tokens < tokens:
        short.append("context")
    if workload.quality_min:
        quality = workload.choosing.quality_of(deployment.index)
        if quality is None:
            short.append("quality?")
        elif quality < workload.quality_min:
            short.append("quality")
    return tuple(short)


def _badness(short: tuple[str, ...]) -> int:
    """No room is worse than too little quality, and that is worse than a quality that nobody knows."""
    return ("quality?" in short) + 2 * ("quality" in short) + 4 * ("context" in short)


def _hurried(ranked: list[Deployment], limit_ns: int, known: Situation, notes: list[str]) -> list[Deployment]:
    """Those that are known to be late behind those that are not, unless that is all of them."""
    late = [one for one in ranked if _is_late(one, limit_ns, known)] if limit_ns else []
    if not late or len(late) == len(ranked):
        return ranked
    if ranked[0] in late:
        notes.append("slow")
    return [*(one for one in ranked if one not in late), *late]


def _kept(ranked: list[Deployment], limit_ns: int, known: Situation, notes: list[str]) -> list[Deployment]:
    """The one where the conversation was before comes first, unless it is late."""
    kept = next((one for one in ranked if one.name == known.stayed and not _is_late(one, limit_ns, known)), None)
    if kept is None or kept is ranked[0]:
        return ranked
    notes.append("stays")
    return [kept, *(one for one in ranked if one is not kept)]


def _is_late(deployment: Deployment, limit_ns: int, known: Situation) -> bool:
    """Whether its 95th percentile of time to first content is known to be over the limit."""
    paces = known.paces(deployment.index)
    return limit_ns > 0 and paces.timed >= TIMED_MIN and paces.first_p95_ns > limit_ns
