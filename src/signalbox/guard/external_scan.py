"""Guard `external-scan`: a service that scans texts, Presidio's analyzer or LLM Guard, says whether a request may pass.

Which of the two it is, the protocol of its deployment says. The text goes there by way of core.ports.Dispatch, under
the rules like any call; an answer of any other shape, an error or none in time is a failure of the guard.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

import msgspec

from signalbox.config.schema_guards import ExternalScan
from signalbox.core.errors import ConfigError
from signalbox.core.guards import BLOCK, FLAG, GuardUse, Verdict
from signalbox.core.ports import Errand
from signalbox.guard.contract import UNTOUCHED, Guard, Means, Outgoing, Screened
from signalbox.guard.external import WITHIN_S, GuardUnusable, answer_of, asked_about
from signalbox.wire.scan_answers import findings, judgement

NAME = "external-scan"
PRESIDIO, LLM_GUARD = "presidio", "llm-guard"
# So many kinds of findings are on record; what is found besides is found all the same.
RULES_MAX = 16
_RULE_CHARS_MAX = 64


class Scanning:
    """The request side."""

    def __init__(self, options: ExternalScan, protocol: str, within_s: float) -> None:
        self._options = options
        self._protocol = protocol
        self._within_s = within_s

    async def screen(self, sent: Outgoing) -> Screened:
        call, options = sent.call, self._options
        if call.errand:
            return UNTOUCHED
        text = asked_about(sent, options)
        if not text:
            return UNTOUCHED
        assert call.guarded is not None
        key = hashlib.sha256(f"{options.deployment}\0{text}".encode("utf-8", "surrogatepass")).digest()
        known = cast("dict[bytes, dict[str, int]]", call.guarded.memory.setdefault(NAME, {}))
        if key not in known:
            # Another attempt of the same call asks no second time.
            known[key] = await self._found(sent, text)
        action = BLOCK if options.action == "block" else FLAG
        found = known[key].items()
        return Screened(None, tuple([Verdict(NAME, rule, action, "request", count) for rule, count in found]))

    async def _found(self, sent: Outgoing, text: str) -> dict[str, int]:
        """What the service names, with how often."""
        errand = Errand("guard", "scan", self._body(text), self._options.deployment, self._within_s)
        body = await answer_of(sent, errand)
        try:
            named = self._named(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise GuardUnusable("the answer is not of its protocol") from None
        counts: dict[str, int] = {}
        for name in named:
            rule = name[:_RULE_CHARS_MAX].lower().replace("_", "-")
            if rule in counts or len(counts) < RULES_MAX:
                counts[rule] = counts.get(rule, 0) + 1
        return counts

    def _body(self, text: str) -> dict[str, Any]:
        options = self._options
        if self._protocol == LLM_GUARD:
            return {"prompt": text}
        body: dict[str, Any] = {"text": text, "language": options.language, "score_threshold": options.score_min}
        if options.entities:
            body["entities"] = options.entities
        return body

    def _named(self, body: bytes) -> list[str]:
        """The kinds of what was found, and counts here; the threshold and the list are kept to whatever a service does
        with them."""
        options = self._options
        wanted = {one.casefold() for one in options.entities}
        if self._protocol == LLM_GUARD:
            told = judgement(body)
            found = [name for name, score in told.scanners.items() if score >= options.score_min]
            if not told.is_valid and not found:
                found = ["invalid"]
            return [one for one in found if not wanted or one == "invalid" or one.casefold() in wanted]
        return [
            one.entity_type
            for one in findings(body)
            if one.score >= options.score_min and (not wanted or one.entity_type.casefold() in wanted)
        ]


def make(use: GuardUse, means: Means) -> Guard:
    """Raises ConfigError for a deployment that cannot be asked."""
    options = use.options
    assert isinstance(options, ExternalScan)
    protocol = means.deployments.get(options.deployment)
    if protocol not in (PRESIDIO, LLM_GUARD):
        what = "there is no such deployment" if protocol is None else f"it speaks {protocol}, not presidio or llm-guard"
        raise ConfigError([f"guard {NAME} of workload {means.workload.name!r}: {options.deployment!r}: {what}"])
    return Guard(use, request=Scanning(options, protocol, use.timeout_s or WITHIN_S))
