"""Guard `injection`: texts that try to take over the model, and what a model may do after it read such content.

What the caller writes and what nobody vouches for are weighed apart. A bare imperative in a tool's result cannot be
told from data by its words, so besides finding there is taint: once a conversation holds untrusted content, tool
calls with side effects need the workload's consent.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict
from typing import Any

import msgspec

from signalbox.config.schema_guards import Injection
from signalbox.core.call import Call
from signalbox.core.guards import BLOCK, CUT, FLAG, REPLACE, Channel, GuardUse, Verdict
from signalbox.detectors.injection import Reader, Suspicion, weights
from signalbox.guard.contract import UNTOUCHED, Guard, Means, Outgoing, Screened
from signalbox.guard.spoken import MODEL, SYSTEM, TOOLS, UNTRUSTED, Said, spoken

NAME = "injection"
APPROVAL_HEADER = b"x-signalbox-approve-tools"
# Texts of a conversation come again with every turn: what they look like is remembered under a digest of them.
REMEMBERED_MAX = 16_384
STRIPPED = "[removed: not data]"
# Tools with effects outside the answer that a provider runs by itself.
PROVIDER_TOOLS = frozenset(("web_search", "web_fetch", "mcp", "code_interpreter"))

_SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]*")
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


class Memory:
    """What texts looked like, for the process; digests are keyed, so that nobody can aim at one."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Suspicion] = OrderedDict()
        self._key = os.urandom(32)
        self._reader: Reader | None = None

    def read(self, text: str, *, untrusted: bool, model: bool) -> Suspicion:
        raw = text.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(raw, digest_size=16, key=self._key, person=b"%d%d" % (untrusted, model)).digest()
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
            return known
        if self._reader is None:
            self._reader = Reader(weights())
        found = self._reader.read(text, untrusted=untrusted, model=model)
        self._known[digest] = found
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return found


MEMORY = Memory()


class _Finding(msgspec.Struct, frozen=True):
    said: Said
    rule: str


class Screener:
    """The request side: finds, strips, blocks, and notes whether anything untrusted is in the conversation."""

    def __init__(self, options: Injection) -> None:
        self._options = options

    async def screen(self, sent: Outgoing) -> Screened:
        options = self._options
        found, untrusted = self.findings(sent.doc, sent.outside)
        tainted = untrusted if options.taint == "any" else any(one.said.speaker == UNTRUSTED for one in found)
        assert sent.call.guarded is not None
        sent.call.guarded.memory[NAME] = tainted
        verdicts: list[Verdict] = []
        if tainted and options.after_untrusted != "allow":
            verdicts += self._provider_tools(sent.call)
        strip = False
        for one in found:
            action = self._action(one.said.speaker)
            strip = strip or action == "strip"
            kind = {"flag": FLAG, "strip": REPLACE, "block": BLOCK}[action]
            verdicts.append(Verdict(NAME, one.rule, kind, one.said.where))
        if not verdicts:
            return UNTOUCHED
        return Screened(self._stripped(sent.body, sent.outside) if strip else None, tuple(verdicts))

    def _action(self, speaker: str) -> str:
        if speaker == UNTRUSTED:
            return self._options.untrusted
        # Definitions of tools give the model orders by nature: what looks like an attack in them is on record only.
        return "flag" if speaker == TOOLS else self._options.user

    def findings(self, doc: dict[str, Any], outside: frozenset[str] = frozenset()) -> tuple[list[_Finding], bool]:
        """What is found in a body, and whether anything in it is untrusted, what nobody can read included."""
        options = self._options
        found: list[_Finding] = []
        untrusted = False
        turns: dict[tuple[str, str], list[Said]] = {}
        for said in spoken(doc, outside):
            speaker = said.speaker
            if speaker == SYSTEM:
                continue
            untrusted = untrusted or speaker == UNTRUSTED
            if not said.text or (options.untrusted if speaker == UNTRUSTED else options.user) == "off":
                continue
            turns.setdefault((said.turn, speaker), []).append(said)
            rule = self._rule(said.text, speaker)
            if rule:
                found.append(_Finding(said, rule))
        hit = {one.said.turn for one in found}
        for (turn, speaker), parts in turns.items():
            # A sentence may be split over the parts of one turn.
            if len(parts) > 1 and turn not in hit and speaker != TOOLS:
                rule = self._rule(" ".join(said.text for said in parts), speaker)
                if rule:
                    found += [_Finding(said, rule) for said in parts]
        return found, untrusted

    def _rule(self, text: str, speaker: str) -> str:
        options = self._options
        untrusted = speaker == UNTRUSTED
        # What the model itself said and what tools are for is weighed by rules alone.
        model = options.score_min < 1 and speaker not in (MODEL, TOOLS)
        suspicion = MEMORY.read(text, untrusted=untrusted, model=model)
        if suspicion.rules:
            return suspicion.rules[0]
        return "likely" if model and suspicion.score >= options.score_min else ""

    def _provider_tools(self, call: Call) -> list[Verdict]:
        """Tools that the provider runs itself cannot be stopped in the answer: they need consent before."""
        consent = Consent(self._options, call)
        named = [*call.envelope.onward, *call.envelope.unknown_tools]
        asked = [name for name in named if name in PROVIDER_TOOLS or name in call.envelope.unknown_tools]
        return [Verdict(NAME, "provider-tool", BLOCK, "/tools") for name in asked if not consent.given(name)]

    def _stripped(self, body: bytes, outside: frozenset[str]) -> bytes:
        """The body with what was found in untrusted content taken out, sentence by sentence where that suffices."""
        doc = _decode(body)
        found, _ = self.findings(doc, outside)
        for one in found:
            if one.said.speaker == UNTRUSTED:
                one.said.holder[one.said.key] = self.cleaned(one.said.text)
        left, _ = self.findings(doc, outside)
        for one in left:
            if one.said.speaker == UNTRUSTED:
                one.said.holder[one.said.key] = STRIPPED
        return _encode(doc)

    def cleaned(self, text: str) -> str:
        """The text without the sentences that look like an injection by themselves; nothing of it where what is left
        still does."""
        kept: list[str] = []
        for match in _SENTENCE.finditer(text):
            piece = match[0]
            if piece:
                kept.append(STRIPPED if self._rule(piece, UNTRUSTED) else piece)
        out = "".join(kept)
        return STRIPPED if self._rule(out.replace(STRIPPED, " "), UNTRUSTED) else out


class _CallWindow:
    """The name of one tool that the model calls."""

    __slots__ = ("_consent", "_name", "held")

    def __init__(self, consent: Consent) -> None:
        self._consent = consent
        self._name = ""
        self.held = ""

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        self._name += text
        self.held = self._name
        return "", None

    def end(self) -> tuple[str, Verdict | None]:
        name, self.held = self._name, ""
        if self._consent.given(name):
            return name, None
        return "", Verdict(NAME, "tool-call", CUT, "call")


class Consent:
    """Which tools the model may call after it read untrusted content."""

    hold_chars_max = 256

    def __init__(self, options: Injection, call: Call) -> None:
        self._options = options
        self._call = call
        self._approved: frozenset[str] | None = None

    def window(self, channel: Channel) -> _CallWindow | None:
        guarded = self._call.guarded
        if channel.kind != "call" or guarded is None or not guarded.memory.get(NAME):
            return None
        return _CallWindow(self)

    def passes(self, channel: Channel, text: str) -> bool:
        return channel.kind != "call"

    def over(self) -> None:
        return None

    def given(self, name: str) -> bool:
        if name in self._options.tools_allowed:
            return True
        if self._options.after_untrusted != "approve":
            return False
        if self._approved is None:
            named = [value for header, value in self._call.headers if header == APPROVAL_HEADER]
            self._approved = frozenset(one.strip() for value in named for one in value.decode("latin-1").split(","))
        return name in self._approved


class _Taint:
    def __init__(self, options: Injection) -> None:
        self._options = options

    def watch(self, call: Call) -> Consent:
        return Consent(self._options, call)


def make(use: GuardUse, means: Means) -> Guard:
    options = use.options
    assert isinstance(options, Injection)
    taints = options.after_untrusted != "allow"
    return Guard(use, request=Screener(options), answer=_Taint(options) if taints else None, order=5)
