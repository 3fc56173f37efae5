"""What would become of a request, and why, without sending it: for `signalbox explain` and POST /api/explain.

The same parts judge as on the request path. Nothing of the request's text is in the answer: findings are told by kind,
number and place. What a conversation carried before is not looked up, and nothing is remembered.
"""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from signalbox.config.declared import Declared
from signalbox.core.call import Call, Principal
from signalbox.core.errors import BadRequest, ConfigError
from signalbox.core.labels import LEVELS
from signalbox.core.snapshot import Deployment, Snapshot
from signalbox.detectors.found import RAISES, Found
from signalbox.embedding.encoder import Encoder, built_in
from signalbox.policy.access import EVERY, resolve
from signalbox.policy.classify import Classifier, declared
from signalbox.policy.contents import kind_of
from signalbox.policy.interlock import Interlock
from signalbox.policy.parts import parts, pointers
from signalbox.policy.relax import Relaxation, relaxation
from signalbox.routing.difficulty.normalise import normalise
from signalbox.routing.difficulty.question import asked
from signalbox.routing.router import Router, serves
from signalbox.routing.standing import Standing
from signalbox.routing.strategies import Situation
from signalbox.routing.tiering import Judgement, Tiering
from signalbox.routing.translation import target_api, translated
from signalbox.wire import body as wire_body
from signalbox.wire.table import DIALECTS, PUBLIC

PLACES_MAX = 200
PUSHES_MAX = 8
# The verdict of a count that is answered with an estimate.
ESTIMATED = "estimated"


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """request: the body as a client would send it. workload: when `model` does not name it. data: as in the header
    x-signalbox-data. team, tenant: the caller's, for rules that ask."""

    request: msgspec.Raw
    api: str = "chat"
    workload: str | None = None
    data: str = ""
    team: str = ""
    tenant: str = "default"


class Finding(msgspec.Struct, frozen=True):
    """at: JSON pointer of the string, empty for what shows only when several are read together. start, end: characters
    of it, absent where it is JSON text with escapes inside. raises: whether it is sure enough to raise labels."""

    kind: str
    label: str
    at: str
    start: int | None
    end: int | None
    confidence: float
    raises: bool


class Reason(msgspec.Struct, frozen=True):
    rule: str
    source: str


class Refusal(msgspec.Struct, frozen=True):
    deployment: str
    environment: str
    reasons: tuple[Reason, ...]


class Choice(msgspec.Struct, frozen=True):
    """One deployment of the ranked list. api: in which it would be called; another one than asked is a translation.
    short: why it comes behind others that are not short of that. guard: the one whose work its permission rests on,
    empty where the raw content may go there."""

    deployment: str
    environment: str
    api: str
    short: tuple[str, ...] = ()
    guard: str = ""


class Push(msgspec.Struct, frozen=True):
    """What one feature adds to the score of a question. by: positive for harder."""

    feature: str
    by: float


class Tier(msgspec.Struct, frozen=True):
    """Which tier a question was given, and why. difficulty: its rank among questions like it, 0 to 1; threshold: of the
    rank. head: what judged. pushes: of its features, the strongest first."""

    deployment: str
    why: str
    difficulty: float | None
    threshold: float | None
    head: str
    pushes: tuple[Push, ...]


class Explanation(msgspec.Struct, frozen=True):
    """labels: of the call. declared: the part of them that workload and header state. raised: what raised the rest,
    by kind with its number. findings: at most PLACES_MAX of findings_total. permitted: by the rules; unable: permitted
    ones that cannot do what the call asks for. choices: who would be tried, in order. without_onward: who would be
    permitted if the request left out what is onward, only when nothing is permitted. relaxation: the smallest changes,
    only when nothing is permitted and that would not help. tier: of strategy tiered."""

    workload: str
    api: str
    labels: tuple[str, ...]
    declared: tuple[str, ...]
    raised: dict[str, int]
    onward: tuple[str, ...]
    findings: tuple[Finding, ...]
    findings_total: int
    permitted: tuple[str, ...]
    unable: tuple[str, ...]
    refused: tuple[Refusal, ...]
    choices: tuple[Choice, ...]
    reason: str
    verdict: str
    relaxation: Relaxation | None
    tier: Tier | None = None
    without_onward: tuple[str, ...] = ()


class Explainer:
    """Explains under one configuration."""

    def __init__(self, declared: Declared, snapshot: Snapshot) -> None:
        self._config = declared.config
        self._snapshot = snapshot
        self._classifier = Classifier(None, secrets.token_bytes(32), lambda: 0)
        self._interlock = Interlock(snapshot, self._classifier)
        self._router = Router(snapshot)
        self._tiering = Tiering(snapshot, Standing(), lambda: 1.0)
        self._encoder: Encoder | None = None

    def explain(self, question: Question) -> Explanation:
        """Raises CallError for a request that would be refused before its content matters."""
        call = self._call(question)
        classified = self._classifier.classify_now(call)
        call.labels, call.found = classified.labels, classified.found
        call.permitted = self._interlock.permitted(call)
        demanded = self._router.needs_of(call)
        judged: list[Judgement] = []
        known = partial(self._situation, call, judged) if call.workload.tiered is not None else None
        decision = self._router.decide(call.workload, call.permitted, demanded, call.pinned, known)
        short = self._router.fit(call.workload, call.permitted, demanded).short if call.pinned is None else {}
        findings, total = self._findings(call)
        permitted = [one for one in self._snapshot.deployments if call.permitted >> one.index & 1]
        nothing = not permitted
        without = self._interlock.without_onward(call) if nothing else 0
        return Explanation(
            workload=call.workload.name,
            api=call.api,
            labels=call.labels.names(),
            declared=(call.workload.labels | call.data_header).names(),
            raised=call.found,
            onward=call.envelope.onward,
            findings=tuple(findings),
            findings_total=total,
            permitted=tuple(one.name for one in permitted),
            unable=tuple(one.name for one in permitted if not serves(one, demanded)),
            refused=tuple(self._refusals(call)),
            choices=tuple(self._choice(call, one, short) for one in decision.choices),
            reason=decision.reason,
            verdict=self._verdict(call, decision.choices),
            relaxation=self._relaxation(call) if nothing and not without and not self._forbids_tools(call) else None,
            tier=self._tier(call, judged[0]) if judged else None,
            without_onward=tuple(one.name for one in self._snapshot.deployments if without >> one.index & 1),
        )

    def _situation(self, call: Call, judged: list[Judgement]) -> Situation:
        """What decides between tiers, and what came of it."""

        def tiers(ranked: list[Deployment]) -> tuple[list[Deployment], str]:
            call.meaning = self._meaning(call)
            opaque = call.envelope.opaque
            one = self._tiering.judge(
                call.workload, ranked, call.doc, unreadable=opaque, live=False, vector=call.meaning
            )
            judged.append(one)
            return one.ranked, one.note

        return Situation(choosing=call.workload.choosing, tiers=tiers)

    def _meaning(self, call: Call) -> Any:
        """The vector of a question, where its workload compares questions by meaning. Raises ConfigError when the
        encoder cannot be had, or is another one than the head's."""
        head = call.workload.tiered.head if call.workload.tiered is not None else None
        if head is None or head.near is None:
            return None
        if self._encoder is None:
            folder = self._config.caches.encoder
            self._encoder = built_in(Path(folder) if folder else None)
        if self._encoder.id != head.near.encoder:
            raise ConfigError([f"The head compares questions by {head.near.encoder}; here is {self._encoder.id}."])
        return self._encoder.encode(normalise(asked(call.doc).text)[0])

    def _tier(self, call: Call, judged: Judgement) -> Tier:
        pushes: tuple[Push, ...] = ()
        made_of = self._tiering.features(call.workload, call.doc, call.meaning)
        if judged.difficulty is not None and made_of is not None:
            found, scorer = made_of
            pushes = tuple(Push(name, round(amount, 4)) for name, amount in scorer.contributions(found)[:PUSHES_MAX])
        return Tier(judged.tier, judged.why, judged.difficulty, judged.threshold, judged.head, pushes)

    def _call(self, question: Question) -> Call:
        dialect = PUBLIC.get(question.api)
        if dialect is None:
            raise BadRequest(f"There is no API {question.api[:64]!r}. Use one of: {', '.join(PUBLIC)}.", param="api")
        body = bytes(question.request)
        doc = wire_body.parse(body)
        model = doc.get("model")
        if not isinstance(model, str) or not model:
            raise BadRequest("`model` must be a non-empty string.", param="model")
        who = Principal("explain", question.tenant, question.team, None, frozenset((EVERY,)))
        workload, pinned = resolve(self._snapshot, who, model, question.workload)
        return Call(
            id="explain",
            api=dialect.api,
            snapshot=self._snapshot,
            principal=who,
            body=body,
            doc=doc,
            envelope=dialect.envelope(doc),
            model=model,
            workload=workload,
            pinned=pinned,
            data_header=declared(question.data),
            headers=[],
            query=b"",
            received_ns=0,
            auth_ns=0,
        )

    def _findings(self, call: Call) -> tuple[list[Finding], int]:
        """Every string by itself, then what shows only across strings."""
        scan = self._classifier.profile(call.workload.classify).scan
        found: list[Finding] = []
        total = 0
        seen: set[str] = set()
        for at, text, before in pointers(call.doc, opaque=call.envelope.opaque):
            for one in scan(text):
                kind = kind_of(one)
                seen.add(kind)
                total += 1
                if len(found) < PLACES_MAX:
                    start, end = (max(0, one.start - before), max(0, one.end - before)) if before >= 0 else (None, None)
                    raises = one.confidence >= RAISES
                    found.append(Finding(kind, one.tag, at, start, end, round(one.confidence, 3), raises))
        across = call.found.keys() - seen - _SOURCES
        if across:
            for one in self._across(call):
                kind = kind_of(one)
                if kind in across:
                    across.discard(kind)
                    total += 1
                    found.append(Finding(kind, one.tag, "", None, None, round(one.confidence, 3), True))
        return found, total

    def _across(self, call: Call) -> list[Found]:
        """What the parts of a call contain, whatever string it stands in."""
        scan = self._classifier.profile(call.workload.classify).scan
        texts = [text for part in parts(call.doc, opaque=call.envelope.opaque) for text in (part.text, part.seam)]
        return [one for text in (*texts, "\n".join(texts)) for one in scan(text) if one.confidence >= RAISES]

    def _refusals(self, call: Call) -> list[Refusal]:
        refused = self._interlock.refused(call)
        tool = (Reason("unknown-tool-type", "a tool type that this version does not know"),)
        found: list[Refusal] = []
        for one in self._snapshot.deployments:
            if not call.permitted >> one.index & 1:
                reasons = tuple(Reason(rule, source) for rule, source in refused.get(one.name, []))
                if self._forbids_tools(call):
                    reasons += tool
                found.append(Refusal(one.name, one.environment.name, reasons))
        return found

    def _forbids_tools(self, call: Call) -> bool:
        return (
            bool(call.envelope.unknown_tools)
            and call.permitted == 0
            and call.labels.level >= LEVELS.index("confidential")
        )

    def _verdict(self, call: Call, choices: tuple[Deployment, ...]) -> str:
        if choices:
            return "permitted"
        open_ = call.permitted if call.pinned is None else call.permitted >> call.pinned.index & 1
        if not open_:
            return "no_permitted_placement"
        # Tokens that nobody permitted can count are estimated here, and nothing is sent.
        return ESTIMATED if call.api == "count_tokens" else "no_capable_placement"

    def _choice(self, call: Call, one: Deployment, short: dict[int, tuple[str, ...]]) -> Choice:
        why = tuple(_SHORT[what] for what in short.get(one.index, ()))
        guard = self._interlock.needs_guard(call, one)
        return Choice(one.name, one.environment.name, self._api(call, one), why, guard)

    def _api(self, call: Call, one: Deployment) -> str:
        usual = target_api(call.api, one) or call.api
        if usual == call.api:
            return usual
        try:
            if call.hub is None:
                call.hub = DIALECTS[call.api].read_request(call.doc)
            return translated(call.api, call.hub, one, call.workload.max_tokens_default).api
        except BadRequest:
            return usual  # where it would be refused

    def _relaxation(self, call: Call) -> Relaxation:
        return relaxation(
            self._config,
            self._snapshot,
            call.workload,
            call.labels,
            bool(call.envelope.onward),
            call.api,
            placed=call.pinned is None,
            caller=self._interlock.caller(call),
            kept=self._interlock.unstored(call),
        )


_SHORT = {
    "context": "its context window is too small for this call",
    "quality": "its quality is below quality_min",
    "quality?": "nobody stated its quality",
}
# What `found` names besides findings.
_SOURCES = frozenset(("key", "header", "opaque", "conversation"))
