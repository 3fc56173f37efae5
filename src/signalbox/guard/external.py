"""Guard `external`: a model of the operator's own says whether a request may pass.

The text goes to a declared deployment by way of core.ports.Dispatch, so the rules decide whether that deployment may
see it, and what it costs is on record. An answer that is neither of the two that were declared counts as a failure of
the guard, as does one that does not come.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, cast

import msgspec

from signalbox.config.schema_guards import External, ExternalScan
from signalbox.core.errors import CallError, ConfigError
from signalbox.core.guards import BLOCK, FLAG, GuardUse, Verdict
from signalbox.core.ports import Errand
from signalbox.detectors.pattern_safety import UnsafePattern, safe
from signalbox.guard.contract import UNTOUCHED, Guard, Means, Outgoing, Screened
from signalbox.guard.spoken import UNTRUSTED, USER, spoken

NAME = "external"
ANSWER_CHARS_MAX = 4096
# Nobody who says what was found in a text says more.
ANSWER_BYTES_MAX = 8 * 1024 * 1024
WITHIN_S = 10.0
READS = {"user": (USER,), "untrusted": (UNTRUSTED,), "both": (USER, UNTRUSTED)}


class GuardUnusable(Exception):
    """What was asked gave no answer that can be used; the guard has failed."""


def asked_about(sent: Outgoing, options: External | ExternalScan) -> str:
    """The text that somebody outside is asked about, empty when there is none. Raises GuardUnusable when it is too
    long."""
    speakers = READS[options.reads]
    text = "\n\n".join(said.text for said in spoken(sent.doc, sent.outside) if said.speaker in speakers)
    if not text.strip():
        return ""
    if len(text) > options.text_chars_max:
        raise GuardUnusable(f"the text has more than {options.text_chars_max} characters")
    return text


async def answer_of(sent: Outgoing, errand: Errand) -> bytes:
    """What somebody outside says. Raises GuardUnusable when nobody does, and for an answer far too long to be one."""
    if sent.ask is None:
        raise GuardUnusable("there is nobody to ask")
    try:
        body = (await sent.ask.ask(sent.call, errand)).body
    except CallError as error:
        raise GuardUnusable(error.code) from error
    if len(body) > ANSWER_BYTES_MAX:
        raise GuardUnusable(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
    return body


class Asking:
    """The request side."""

    def __init__(self, options: External, found: re.Pattern[str], passes: re.Pattern[str], within_s: float) -> None:
        self._options = options
        self._found = found
        self._passes = passes
        self._within_s = within_s

    async def screen(self, sent: Outgoing) -> Screened:
        call, options = sent.call, self._options
        if call.errand:
            # Our own question to a model is not one that another model has to be asked about.
            return UNTOUCHED
        text = asked_about(sent, options)
        if not text:
            return UNTOUCHED
        assert call.guarded is not None
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = cast("tuple[bytes, bool] | None", call.guarded.memory.get(NAME))
        # Another attempt of the same call asks no second time.
        found = known[1] if known is not None and known[0] == key else await self._asked(sent, text)
        call.guarded.memory[NAME] = (key, found)
        if not found:
            return UNTOUCHED
        return Screened(None, (Verdict(NAME, "found", BLOCK if options.action == "block" else FLAG),))

    async def _asked(self, sent: Outgoing, text: str) -> bool:
        options = self._options
        doc: dict[str, Any] = {
            "messages": [{"role": "system", "content": options.instructions}, {"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": options.max_tokens,
        }
        answer = _said(await answer_of(sent, Errand("guard", "chat", doc, options.deployment, self._within_s)))
        if self._found.search(answer) is not None:
            return True
        if self._passes.search(answer) is not None:
            return False
        raise GuardUnusable("the answer is neither of those that were declared")


def _said(body: bytes) -> str:
    """The text of a chat answer. Raises GuardUnusable for anything else."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, RecursionError):
        raise GuardUnusable("the answer is no chat completion") from None
    return answer.choices[0].message.content[:ANSWER_CHARS_MAX] if answer.choices else ""


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct):
    choices: list[_Choice]


def make(use: GuardUse, means: Means) -> Guard:
    """Raises ConfigError for a pattern that cannot be used."""
    options = use.options
    assert isinstance(options, External)
    if options.deployment not in means.deployments:
        what = f"guard {NAME} of workload {means.workload.name!r}: there is no deployment {options.deployment!r}"
        raise ConfigError([what])
    patterns: list[re.Pattern[str]] = []
    for name, pattern in (("found_when", options.found_when), ("passes_when", options.passes_when)):
        try:
            patterns.append(re.compile(safe(pattern)))
        except UnsafePattern as error:
            raise ConfigError([f"guard {NAME} of workload {means.workload.name!r}, {name}: {error}"]) from None
    return Guard(use, request=Asking(options, patterns[0], patterns[1], use.timeout_s or WITHIN_S))
