"""Which labels a call carries: what is declared, what its text contains, what its conversation carried before.

Everything here raises; nothing lowers. What a part of a conversation contains is remembered by a keyed hash of it, so
that a long history costs little more than its new part.

The hash is the interpreter's own: SipHash under a secret that each process draws, at a fifth of the time of a
cryptographic one, and taken once for each string. Nobody sees it, so nobody can aim for a collision, and with what is
remembered one by chance takes 2**49 new parts. Should the secret be switched off, BLAKE2 takes its place.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any, cast

import msgspec

from signalbox.core.call import Call
from signalbox.core.errors import BadRequest
from signalbox.core.labels import LEVELS, NONE, TAGS, Labels, labels_of
from signalbox.core.snapshot import Classify, Snapshot
from signalbox.detectors import identifying
from signalbox.detectors.pseudonym import blanked
from signalbox.policy import sticky
from signalbox.policy.carried import carried
from signalbox.policy.contents import (
    NOTHING,
    Content,
    Profile,
    Read,
    Steps,
    across,
    at_once,
    in_steps,
    read_each,
    read_jointly,
)
from signalbox.policy.parts import Part, parts
from signalbox.policy.sticky import Conversations

# Bodies beyond this many bytes are read in steps, between which the loop serves others.
LARGE_BYTES = 64 * 1024
MEMO_MAX = 32_768

_INSTRUCTING = frozenset(("system", "developer"))
_IDENTIFYING = Classify(identifying.NAMES)

# Profile, hash and length of a text, and of its seam where it has one.
MemoKey = tuple[int, int, int] | tuple[int, int, int, int, int]


class _Asked(msgspec.Struct, gc=False):
    """What is remembered of the parts of one body. keys: theirs in memory. new: positions of those never read."""

    parts: list[Part]
    keys: list[MemoKey]
    contents: list[Content | None]
    new: list[int]


class Classified(msgspec.Struct, frozen=True, gc=False):
    """The labels of a call, and where those beyond the declared floor came from: kinds of findings with their number,
    and `opaque`, `header`, `key` or `conversation`."""

    labels: Labels
    found: dict[str, int]


class Classifier:
    """Classifies the calls of one process. conversations: None to look each call up by itself, and remember nothing of
    it. key: a secret. time_ms: Unix milliseconds."""

    def __init__(self, conversations: Conversations | None, key: bytes, time_ms: Callable[[], int]) -> None:
        self._conversations = conversations
        self._key = key
        is_secret = sys.flags.hash_randomization and sys.hash_info.width == 64
        self._hash: Callable[[str], int] = hash if is_secret else self._blake2
        self._time_ms = time_ms
        self._profiles: dict[Classify, Profile] = {}
        # The one that was asked for last, as it nearly always is the next time.
        self._last: tuple[Classify | None, Profile | None] = (None, None)
        self._profiles_made = 0
        self._young: dict[MemoKey, Content] = {}
        self._old: dict[MemoKey, Content] = {}

    def adopt(self, snapshot: Snapshot) -> list[Profile]:
        """Makes ready for the workloads of a snapshot, and forgets what only others needed. Returns how they look."""
        wanted = {workload.classify for workload in snapshot.workloads.values()}
        self._profiles = {declared: self.profile(declared) for declared in wanted}
        self._last = (None, None)
        return [*self._profiles.values()]

    def profile(self, declared: Classify) -> Profile:
        known, found = self._last
        if known is declared and found is not None:
            return found
        found = self._profiles.get(declared)
        if found is None:
            self._profiles_made += 1
            found = Profile(declared, self._profiles_made)
            self._profiles[declared] = found
        self._last = (declared, found)
        return found

    # --- one call ---

    def at_once(self, call: Call) -> Classified | None:
        """The labels of a call that is small enough to hold nobody up, as `classify` tells them; None for others."""
        if len(call.body) > LARGE_BYTES:
            return None
        if self._has_nothing_to_read(call):
            return Classified(call.workload.labels, {})
        return self._classified(call, self._read(call, call.doc))

    async def classify(self, call: Call) -> Classified:
        """The labels of a call. What its conversation did not carry yet is on record when this returns. Raises
        Overloaded when that cannot be done."""
        if len(call.body) <= LARGE_BYTES:
            return self._classified(call, self._read(call, call.doc))
        return self._classified(call, await in_steps(self._steps(call, call.doc)))

    def classify_now(self, call: Call) -> Classified:
        """The same in one go, however large the call is."""
        return self._classified(call, self._read(call, call.doc))

    def _has_nothing_to_read(self, call: Call) -> bool:
        """Whether the labels are the workload's whatever the text says: its detectors are off, nobody declared more,
        and the call can be no turn of a conversation that has raised them before."""
        if (
            call.api != "chat"
            or self.profile(call.workload.classify).scanners
            or call.principal.labels != NONE
            or call.data_header != NONE
            or call.envelope.opaque
            or sticky.named(call)
        ):
            return False
        doc = call.doc
        if "prompt" in doc or "input" in doc:
            return False
        messages = doc["messages"]
        turns = len(messages)
        for message in messages if turns > 1 else ():
            role = message.get("role")
            if role.__class__ is str and role in _INSTRUCTING:
                turns -= 1
                if turns < 2:
                    return True
        return turns < 2

    def _classified(self, call: Call, read: Read) -> Classified:
        content = read.found()
        workload, of_key, of_header, opaque = call.workload, call.principal.labels, call.data_header, NONE
        labels = workload.labels
        found: dict[str, int] = {}
        if content is not NOTHING:
            labels |= content.labels
            found.update(content.counts)
        if call.envelope.opaque:
            opaque = workload.opaque
        if of_key is not NONE or of_header is not NONE or opaque is not NONE:
            for name, more in (("key", of_key), ("header", of_header), ("opaque", opaque)):
                if more is not NONE and labels | more != labels:
                    labels |= more
                    found[name] = 1
        known = self._carried(call, read, labels)
        if known is not labels and known != labels:
            found["conversation"] = 1
        return Classified(known, found)

    def of_body(self, call: Call, body: bytes) -> Content:
        """What a body contains that was written for this call in another dialect."""
        doc: Any = msgspec.json.decode(body)
        return self._read(call, doc).found()

    def beside_pseudonyms(self, call: Call, body: bytes, *, telling: bool) -> tuple[Content, tuple[str, ...]]:
        """What a body contains besides the pseudonyms that were put into it. And where `telling` is asked for, kinds of
        what tells in it who somebody is, looked for whatever its workload looks for."""
        doc: Any = msgspec.json.decode(blanked(body))
        content = self._read(call, doc).found()
        if not telling:
            return content, ()
        everything = call.workload.classify.detectors is None
        found = content if everything else self._read(call, doc, self.profile(_IDENTIFYING)).found()
        if not found.labels.tags & identifying.BITS:
            return content, ()
        kinds = tuple(name for name, _ in found.counts)
        return content, tuple(name for name in kinds if name.partition("/")[0] in identifying.NAMES) or kinds

    async def prepare(self, call: Call, body: bytes, *, guarded: bool) -> None:
        """Reads a large body in steps, so that judging it does not hold up the loop. guarded: pseudonyms may have been
        put into it."""
        if len(body) <= LARGE_BYTES:
            return
        doc: Any = msgspec.json.decode(blanked(body) if guarded else body)
        await in_steps(self._steps(call, doc))
        if guarded and call.workload.classify.detectors is not None:
            await in_steps(self._steps(call, doc, self.profile(_IDENTIFYING)))

    def raised(self, call: Call, labels: Labels) -> None:
        """Puts on record that the conversation of a call carries these labels as well."""
        self._carried(call, self._read(call, call.doc), labels)

    def _carried(self, call: Call, read: Read, labels: Labels) -> Labels:
        """The labels with those that the conversation carried before; what is new about it is on record then."""
        if self._conversations is None:
            return labels
        return carried(self._conversations, call, read, labels, self._time_ms)

    # --- reading ---

    def _read(self, call: Call, doc: dict[str, Any], profile: Profile | None = None) -> Read:
        """What each part of a body contains: from memory, or read now. profile: the workload's when left out."""
        profile = profile or self.profile(call.workload.classify)
        asked = self._asked(profile, doc, call.envelope.opaque)
        if not asked.new:
            return Read(asked.parts, cast("list[Content]", asked.contents), NOTHING)
        new = [asked.parts[at] for at in asked.new]
        contents, together = read_jointly(profile, new)
        return self._learnt(asked, contents or at_once(read_each(profile, new)), together)

    def _steps(self, call: Call, doc: dict[str, Any], profile: Profile | None = None) -> Steps[Read]:
        """The same in steps."""
        profile = profile or self.profile(call.workload.classify)
        asked = self._asked(profile, doc, call.envelope.opaque)
        new = [asked.parts[at] for at in asked.new]
        contents, together = read_jointly(profile, new)
        return self._learnt(asked, contents or (yield from read_each(profile, new)), together)

    def _asked(self, profile: Profile, doc: dict[str, Any], opaque: bool) -> _Asked:
        """The parts of a body and what is remembered of them."""
        found = parts(doc, opaque=opaque)
        if not profile.scanners:
            return _Asked(found, [], [NOTHING] * len(found), [])
        tag, hashed = profile.tag, self._hash
        keys: list[MemoKey] = []
        for part in found:
            # Strings of different widths can have the same bytes inside; their lengths tell them apart.
            text, seam = part.text, part.seam
            known = (tag, hashed(text), len(text))
            keys.append((*known, hashed(seam), len(seam)) if seam else known)
        contents = list(map(self._young.get, keys))
        if None not in contents:
            return _Asked(found, keys, contents, [])
        new = [at for at, content in enumerate(contents) if content is None and self._is_new(at, keys, contents)]
        return _Asked(found, keys, contents, new)

    def _learnt(self, asked: _Asked, read: list[Content], together: Content) -> Read:
        contents = asked.contents
        for at, content in zip(asked.new, read, strict=True):
            contents[at] = content
            self._keep(asked.keys[at], content)
        return Read(asked.parts, cast("list[Content]", contents), across(together))

    def _blake2(self, text: str) -> int:
        raw = text.encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(raw, digest_size=16, key=self._key, person=b"part").digest(), "big")

    def _is_new(self, at: int, keys: list[MemoKey], contents: list[Content | None]) -> bool:
        """Whether a part that was not asked for of late was never read, or is forgotten; fills it in if not."""
        content = self._old.get(keys[at])
        if content is None:
            return True
        contents[at] = content
        self._keep(keys[at], content)
        return False

    def _keep(self, key: MemoKey, content: Content) -> None:
        """What was asked for of late survives; the rest goes with the older half."""
        if len(self._young) >= MEMO_MAX // 2:
            self._old, self._young = self._young, {}
        self._young[key] = content


def declared(header: str) -> Labels:
    """Labels from an `x-signalbox-data: phi,personal` header. Raises BadRequest for an unknown name: a typing error
    must not lower what the caller meant to raise."""
    names = [name.strip().lower() for name in header.split(",") if name.strip()]
    try:
        return labels_of(names)
    except ValueError as error:
        known = ", ".join((*LEVELS, *TAGS))
        raise BadRequest(
            f"x-signalbox-data names an unknown data class {str(error)[:64]!r}. There are {known}.",
            param="x-signalbox-data",
        ) from None
