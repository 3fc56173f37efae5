"""Guard `pseudonymise`: identifying values leave as random tokens, and come back in the answer.

It is a transform in the sense of the rules. What it finds gets a token that the whole conversation keeps; what the
conversation knows already is replaced wherever it stands, so that a history which holds restored values leaves exactly
as it left before. New entries are on disk before anything is sent.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from time import monotonic
from typing import Any, cast

import msgspec

from signalbox.config.schema_guards import Pseudonymise
from signalbox.core.call import Call
from signalbox.core.errors import GuardFailed, Overloaded
from signalbox.core.guards import REPLACE, Channel, Guarded, GuardUse, Verdict
from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.identifying import NAMES
from signalbox.detectors.scan import scanner_of
from signalbox.guard.contract import UNTOUCHED, Guard, Means, Outgoing, Screened, SharedVault, Vault
from signalbox.guard.json_text import in_string, plain, quoted
from signalbox.guard.pseudonyms import OPEN, TOKEN, TOKEN_CHARS_MAX, Pseudonyms, kind_of

NAME = "pseudonymise"
# Conversations that this process has at hand, and strings of one that it need not read again.
CONVERSATIONS_MAX = 1024
READ_MAX = 4096
# Longer strings without a blank are media, which no detector reads.
_MEDIA_CHARS = 4096
_APART = "\n" * 64
# Other machines are asked again, so that they keep what is in use here, when so much of the lifetime is over.
_REFRESH = 8

_LITERALS = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"([ \t\r\n]*+:)?', re.DOTALL)
_LITERALS_AND_NUMBERS = re.compile(
    _LITERALS.pattern + rb"|(?<![0-9A-Za-z_.+-])([1-9][0-9]{6,})(?![0-9A-Za-z_.])", re.DOTALL
)
# Numbers from here on may be somebody's.
_NUMBER_MIN = 1_000_000
# Keys of the protocols; any other one is read with its value, as what it says about it.
_PROTOCOL_KEY = re.compile(
    r"role|type|content|text|id|call_id|tool_call_id|tool_use_id|input|output|arguments|function|parameters|"
    r"description|properties|required|items|enum|input_schema|schema|tools|messages|system|instructions|prompt|"
    r"metadata|user|summary|thinking|reasoning|signature|title"
)
_SKIPPED_KEYS = frozenset(("model", "role", "type", "encrypted_content", "signature", "tool_choice", "id", "call_id"))
_JSON_STARTS = frozenset('{["')
_decode = msgspec.json.Decoder(str).decode
_decode_any = msgspec.json.decode
_encode = msgspec.json.encode


class _Literal(msgspec.Struct, gc=False):
    """One string of a body. start, end: of its characters between the quotes. key: what names it, if that says
    anything. at: where it stands in the text that detectors read, -1 when they need not. bare: it is a number."""

    start: int
    end: int
    text: str
    key: str = ""
    at: int = -1
    bare: bool = False
    spans: list[tuple[int, int, str]] = []


class _Conversation:
    """What this process knows of one conversation. read: strings in which everything that detectors find is found by
    its spelling alone.
    fetched_s: when it was last asked what other machines know of it; a monotonic clock."""

    __slots__ = ("fetched_s", "names", "read")

    def __init__(self) -> None:
        self.fetched_s = float("-inf")
        self.names = Pseudonyms(secrets.choice)
        self.read: set[tuple[int, int]] = set()


class _Requests:
    def __init__(self, options: Pseudonymise, vault: Vault | None, shared: SharedVault | None) -> None:
        self._where = options.where
        self._lifetime_s = options.lifetime_s
        self._vault = vault
        self._shared = shared
        self._conversations: OrderedDict[bytes, _Conversation] = OrderedDict()

    async def screen(self, sent: Outgoing) -> Screened:
        if not self._wanted(sent):
            return UNTOUCHED
        if self._vault is None:
            raise GuardFailed("There is nowhere to keep pseudonyms.")
        scope = sent.conversation
        known = self._vault.recall(scope, self._lifetime_s)
        guarded = sent.call.guarded
        assert guarded is not None
        if not known and _holds_nothing(sent.call):
            guarded.memory.pop(NAME, None)
            return NOTHING_HIDDEN
        conversation = self._conversation(scope, len(known))
        if self._shared is not None and monotonic() - conversation.fetched_s > self._lifetime_s / _REFRESH:
            known = await self._fetched(scope, known, self._vault, self._shared)
            conversation = self._conversation(scope, len(known))
            conversation.fetched_s = monotonic()
        names = conversation.names
        names.learn(known)
        guarded.memory[NAME] = names
        literals = _literals(sent.body, _free(sent.doc))
        unread = [one for one in literals if (hash(one.text), len(one.text)) not in conversation.read]
        found = _found(unread)
        entries = names.new(found)
        if entries:
            if self._shared is not None:
                entries = await self._shared.settle(scope, entries, self._lifetime_s)
            names.learn(self._vault.keep(scope, entries, self._lifetime_s))
            if names.new(found):
                raise Overloaded("A value has no pseudonym, so nothing is sent.", retry_after_s=0)
        # Only now: had keeping failed, they would have to be read again.
        known_by_now = [(hash(one.text), len(one.text)) for one in unread if _is_known(one, names)]
        if len(conversation.read) + len(known_by_now) > READ_MAX:
            conversation.read.clear()
        conversation.read.update(known_by_now)
        body, count = _replaced(sent.body, literals, names) if len(names) else (sent.body, 0)
        if not count:
            return NOTHING_HIDDEN
        return Screened(body, (Verdict(NAME, "hidden", REPLACE, "request", count),), NAME)

    async def _fetched(
        self, scope: bytes, known: list[tuple[str, str]], vault: Vault, shared: SharedVault
    ) -> list[tuple[str, str]]:
        """What is kept of a conversation when this machine and the store know the same of it."""
        held = await shared.fetch(scope, self._lifetime_s)
        there = set(held)
        if known and not there.issuperset(known):
            held = await shared.settle(scope, known, self._lifetime_s)
        here = set(known)
        new = [one for one in held if one not in here]
        return vault.keep(scope, new, self._lifetime_s) if new else known

    def _wanted(self, sent: Outgoing) -> bool:
        if sent.needed == NAME or self._where == "always":
            return True
        return self._where == "off-premises" and sent.deployment.environment.kind not in ("on-prem", "edge")

    def _conversation(self, scope: bytes, kept: int) -> _Conversation:
        """kept: how many entries are kept of it. Fewer than are known here: it was forgotten, and begins anew."""
        found = self._conversations.get(scope)
        if found is None or len(found.names) > kept:
            found = self._conversations[scope] = _Conversation()
            if len(self._conversations) > CONVERSATIONS_MAX:
                self._conversations.popitem(last=False)
        self._conversations.move_to_end(scope)
        return found


NOTHING_HIDDEN = Screened(transformed=NAME)


def _holds_nothing(call: Call) -> bool:
    """Whether all detectors have read the call already, and found nothing in it."""
    return not call.found and call.workload.classify.detectors is None and call.decided_ns > 0


def _found(literals: list[_Literal]) -> list[tuple[str, str]]:
    """(kind, value) of what detectors find in strings, read together: what one says may make sense of another."""
    texts: list[str] = []
    read: list[_Literal] = []
    at = 0
    for literal in literals:
        if _readable(literal.text):
            said = f"{literal.key}: " if literal.key else ""
            literal.at = at + len(said)
            texts.append(said + literal.text)
            read.append(literal)
            at += len(texts[-1]) + len(_APART)
    if not texts:
        return []
    everything = scanner_of(NAMES).scan(_APART.join(texts))
    found = [one for one in everything if one.confidence >= RAISES and one.tag != "pci-sad"]
    return _values(found, read)


def _values(found: list[Found], literals: list[_Literal]) -> list[tuple[str, str]]:
    """What was found in which string; both are in the order of the text."""
    values: list[tuple[str, str]] = []
    position = 0
    for one in found:
        while position < len(literals) and literals[position].at + len(literals[position].text) <= one.start:
            position += 1
        if position == len(literals):
            break
        literal = literals[position]
        start, end = max(one.start - literal.at, 0), min(one.end - literal.at, len(literal.text))
        if end > start:
            kind = kind_of(one.detector, one.kind)
            literal.spans = [*literal.spans, (start, end, kind)]
            values.append((kind, literal.text[start:end]))
    return values


def _free(doc: dict[str, Any]) -> set[str]:
    """Strings that stand under keys of the protocols, and large numbers, where keys and values are somebody else's: in
    what a tool was called with, and in what callers note beside a call."""
    found: set[str] = set()
    _collect(doc.get("metadata"), found)
    messages = doc.get("messages")
    for message in cast("list[Any]", messages) if isinstance(messages, list) else ():
        content = cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else None
        for block in cast("list[Any]", content) if isinstance(content, list) else ():
            if isinstance(block, dict) and "input" in block:
                _collect(cast("dict[str, Any]", block)["input"], found)
    return found


def _collect(value: object, found: set[str], key: str = "") -> None:
    if isinstance(value, str):
        if key in _SKIPPED_KEYS:
            found.add(value)
    elif isinstance(value, int):
        if value >= _NUMBER_MIN:
            found.add(str(value))
    elif isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            _collect(inner, found, name)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            _collect(inner, found, key)


def _literals(body: bytes, free: set[str]) -> list[_Literal]:
    """Every string of a body that may hold a value, keys included. free: what is one under any key."""
    literals: list[_Literal] = []
    key = ""
    numbers = any(text.isdecimal() for text in free)
    for match in (_LITERALS_AND_NUMBERS if numbers else _LITERALS).finditer(body):
        raw = match[1]
        if raw is None:
            text = match[3].decode()
            if text in free:
                literals.append(_Literal(match.start(), match.end(), text, key, bare=True))
            continue
        named = match[2] is not None
        skipped = not named and key in _SKIPPED_KEYS
        if skipped and not free:
            key = ""
            continue
        text = raw.decode() if b"\\" not in raw else _decode(b'"%b"' % raw)
        if skipped and text not in free:
            key = ""
            continue
        if named:
            key = text
            if _PROTOCOL_KEY.fullmatch(text) is None and len(text) > 2:
                literals.append(_Literal(match.start(1), match.end(1), text))
            continue
        if text[:1] in _JSON_STARTS and "\\" in text:
            text = plain(text)
        if len(text) > 1:
            literals.append(_Literal(match.start(1), match.end(1), text, "" if _PROTOCOL_KEY.fullmatch(key) else key))
    return literals


def _is_known(literal: _Literal, names: Pseudonyms) -> bool:
    """Whether what detectors found in a string is hidden without them as well. Not so what is known in another
    spelling, or stands against a letter: that has to be found again in every turn."""
    return not literal.spans or names.hide(literal.text) == names.hide(literal.text, literal.spans)


def _readable(text: str) -> bool:
    return len(text) < _MEDIA_CHARS or " " in text[:_MEDIA_CHARS]


def _replaced(body: bytes, literals: list[_Literal], names: Pseudonyms) -> tuple[bytes, int]:
    """The body with tokens, every other byte as it was."""
    out: list[bytes] = []
    at = total = 0
    for literal in literals:
        if not _readable(literal.text):
            continue
        hidden, count = names.hide(literal.text, literal.spans)
        if count:
            if literal.text[:1] in _JSON_STARTS:
                hidden = _still_json(literal.text, hidden)
            out += (body[at : literal.start], _encode(hidden) if literal.bare else _encode(hidden)[1:-1])
            at, total = literal.end, total + count
    out.append(body[at:])
    return b"".join(out), total


def _still_json(was: str, text: str) -> str:
    """A text with its tokens: where it was JSON, those that stand for numbers become strings."""
    if not _is_json(was) or _is_json(text):
        return text
    out: list[str] = []
    at, inside = 0, False
    for match in TOKEN.finditer(text):
        before = text[at : match.start()]
        inside = in_string(before, inside)
        out += (before, match[0] if inside else f'"{match[0]}"')
        at = match.end()
    return "".join((*out, text[at:]))


def _is_json(text: str) -> bool:
    try:
        _decode_any(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


class _Restoring:
    """Implements guard.contract.Window: puts values back for tokens, holds back what may be the beginning of one."""

    __slots__ = ("_before", "_guarded", "_json", "_where", "held")

    def __init__(self, guarded: Guarded, channel: Channel) -> None:
        self._guarded = guarded
        self._where = channel.kind
        self._json = channel.kind == "tool"
        self._before = ""
        self.held = ""

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        names = cast("Pseudonyms | None", self._guarded.memory.get(NAME))
        if names is None or not len(names):
            return text, None
        if self.held:
            text, self.held = self.held + text, ""
        said = self._before + text
        begun = OPEN.search(said, max(len(self._before), len(said) - TOKEN_CHARS_MAX))
        if begun is not None:
            at = begun.start() - len(self._before)
            text, self.held = text[:at], text[at:]
        return self._restored(text, names)

    def end(self) -> tuple[str, Verdict | None]:
        names = cast("Pseudonyms | None", self._guarded.memory.get(NAME))
        text, self.held = self.held, ""
        return self._restored(text, names) if names is not None and text else (text, None)

    def _restored(self, text: str, names: Pseudonyms) -> tuple[str, Verdict | None]:
        before, self._before = self._before, text[-1:] or self._before
        if "_" not in text:
            return text, None
        out: list[str] = []
        said, at, count = before + text, len(before), 0
        for match in TOKEN.finditer(said, at):
            value = names.value(match[0])
            if value is not None:
                out += (said[at : match.start()], quoted(value) if self._json else value)
                at, count = match.end(), count + 1
        text = "".join((*out, said[at:]))
        return text, Verdict(NAME, "restored", REPLACE, self._where, count) if count else None


class _Watch:
    hold_chars_max = TOKEN_CHARS_MAX

    def __init__(self, guarded: Guarded) -> None:
        self._guarded = guarded

    def window(self, channel: Channel) -> _Restoring:
        return _Restoring(self._guarded, channel)

    def passes(self, channel: Channel, text: str) -> bool:
        return "_" not in text or not self._guarded.memory.get(NAME)

    def over(self) -> None:
        return None


class _Answers:
    def watch(self, call: Call) -> _Watch:
        assert call.guarded is not None
        return _Watch(call.guarded)


def make(use: GuardUse, means: Means) -> Guard:
    options = use.options
    assert isinstance(options, Pseudonymise)
    requests = _Requests(options, means.vault, means.shared if options.shared else None)
    return Guard(use, request=requests, answer=_Answers(), order=0, scanner=scanner_of(NAMES))
