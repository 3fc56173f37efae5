"""Which labels a call carries: what is declared, what its text contains, what its conversation carried before.

Everything here raises; nothing lowers. What a part of a conversation contains is remembered by a keyed hash of it, so
that a long history costs little more than its new part.

The hash is the interpreter's own: SipHash under a secret that each process draws, at a fifth of the time of a
cryptographic one, and taken once for each string. Nobody sees it, so nobody can aim for a collision, and with what is
remembered one by chance takes 2**49 new parts. Should the secret be switched off, BLAKE2 takes its place.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar, cast

import msgspec

from signalbox.core.call import Call
from signalbox.core.errors import BadRequest
from signalbox.core.labels import NONE, Labels, labels_of
from signalbox.core.snapshot import Classify, Snapshot
from signalbox.detectors.found import Found
from signalbox.detectors.scan import EVERYTHING, Scanner
from signalbox.detectors.table import DETECTORS
from signalbox.policy import custom, sticky
from signalbox.policy.parts import Part, parts
from signalbox.policy.sticky import Conversations

# Bodies beyond this many bytes are read in steps, between which the loop serves others.
LARGE_BYTES = 64 * 1024
# One step reads about this much. Threads would not help: detectors hold the interpreter's lock, and waiting for it
# costs everybody else five milliseconds at a time instead of one step (benchmarks/classify.py measures both).
STEP_CHARS = 16 * 1024
# A longer text is read in pieces that overlap by so much.
OVERLAP_CHARS = 2 * 1024
# New parts together not longer than this are first read in one go: most contain nothing.
JOINT_CHARS = 16 * 1024
SEAMS_AT_ONCE = 32
# Wider than anything a detector looks at around a finding.
_APART = "\n" * 96
MEMO_MAX = 32_768
KINDS_MAX = 32

_TURNS = frozenset(("user", "assistant", "tool", "function"))
_CONVERSATIONS = frozenset(("chat", "messages", "responses", "count_tokens"))

MemoKey = tuple[int, int, int, int, int]
Counts = tuple[tuple[str, int], ...]
T = TypeVar("T")
Steps = Generator[None, None, T]


class Content(msgspec.Struct, frozen=True, gc=False):
    """What a text contains. counts: how many findings of each kind raised the labels, by kind. across: the same for
    what shows across seams or when parts are read together; most of it is counted where it stands already."""

    labels: Labels
    counts: Counts = ()
    across: Counts = ()


NOTHING = Content(NONE)


class Read(msgspec.Struct, frozen=True, gc=False):
    """What the parts of one body contain. together: what shows only when new parts are read together."""

    parts: list[Part]
    contents: list[Content]
    together: Content

    def found(self) -> Content:
        """The labels of the whole, and each kind of finding counted once."""
        for content in self.contents:
            if content is not NOTHING:
                break
        else:
            return self.together
        contents = [content for content in self.contents if content is not NOTHING]
        whole = _sum((*contents, self.together))
        counted = {name for name, _ in whole.counts}
        return Content(whole.labels, (*whole.counts, *(one for one in whole.across if one[0] not in counted)))


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


class Profile:
    """One workload's way to look. tag: a number that no other one of this process ever has."""

    __slots__ = ("scanners", "tag")

    def __init__(self, declared: Classify, tag: int) -> None:
        self.tag = tag
        self.scanners: list[Scanner] = []
        if declared.detectors is None:
            self.scanners.append(EVERYTHING)
        elif declared.detectors:
            self.scanners.append(Scanner([one for one in DETECTORS if one.name in declared.detectors]))
        if declared.custom:
            # On their own, so that no overlap of theirs with a built-in finding can take that one's place.
            self.scanners.append(Scanner([custom.detector(one) for one in declared.custom]))
        for scanner in self.scanners:
            scanner.ready()

    def scan(self, text: str) -> list[Found]:
        """Everything, for explanations."""
        return [found for scanner in self.scanners for found in scanner.scan(text)]

    def survey(self, text: str, known: Labels = NONE) -> list[Found]:
        """What raises labels beyond those known, counted as far as a record needs it."""
        if len(self.scanners) == 1:
            return self.scanners[0].survey(text, known)
        return [found for scanner in self.scanners for found in scanner.survey(text, known)]


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
        self._profiles_made = 0
        self._young: dict[MemoKey, Content] = {}
        self._old: dict[MemoKey, Content] = {}

    def adopt(self, snapshot: Snapshot) -> None:
        """Makes ready for the workloads of a snapshot, and forgets what only others needed."""
        wanted = {workload.classify for workload in snapshot.workloads.values()}
        self._profiles = {declared: self.profile(declared) for declared in wanted}

    def profile(self, declared: Classify) -> Profile:
        found = self._profiles.get(declared)
        if found is None:
            self._profiles_made += 1
            found = Profile(declared, self._profiles_made)
            self._profiles[declared] = found
        return found

    # --- one call ---

    async def classify(self, call: Call) -> Classified:
        """The labels of a call. What its conversation did not carry yet is on record when this returns. Raises
        Overloaded when that cannot be done."""
        if len(call.body) <= LARGE_BYTES:
            return self._classified(call, self._read(call, call.doc))
        return self._classified(call, await _in_steps(self._steps(call, call.doc)))

    def classify_now(self, call: Call) -> Classified:
        """The same in one go, however large the call is."""
        return self._classified(call, self._read(call, call.doc))

    def _classified(self, call: Call, read: Read) -> Classified:
        content = read.found()
        labels = call.workload.labels
        if content is not NOTHING:
            labels |= content.labels
        found = dict(content.counts)
        for name, more in (
            ("key", call.principal.labels),
            ("header", call.data_header),
            ("opaque", call.workload.opaque if call.envelope.opaque else NONE),
        ):
            if more is not NONE and labels | more != labels:
                labels |= more
                found[name] = 1
        known = self._remember(call, read, labels)
        if known != labels:
            found["conversation"] = 1
        return Classified(known, found)

    def of_body(self, call: Call, body: bytes) -> Content:
        """What a body contains that was written for this call in another dialect."""
        doc: Any = msgspec.json.decode(body)
        return self._read(call, doc).found()

    async def prepare(self, call: Call, body: bytes) -> None:
        """Reads a large body in steps, so that judging it does not hold up the loop."""
        if len(body) > LARGE_BYTES:
            doc: Any = msgspec.json.decode(body)
            await _in_steps(self._steps(call, doc))

    def raised(self, call: Call, labels: Labels) -> None:
        """Puts on record that the conversation of a call carries these labels as well."""
        self._remember(call, self._read(call, call.doc), labels)

    # --- conversations ---

    def _remember(self, call: Call, read: Read, labels: Labels) -> Labels:
        """The labels with those that the conversation carried before; keeps what is new about it.

        A named session keeps all its labels. Of one that only its first words tell, what is beyond the floor and cannot
        be read again from those words: a call that is nothing but its first message, or that nothing raised, writes
        nothing.
        """
        conversations = self._conversations
        if conversations is None:
            return labels
        floor, of_key = call.workload.labels, call.principal.labels
        if of_key is not NONE:
            floor |= of_key
        names = sticky.named(call)
        turns = 0
        for part in read.parts:
            if part.role in _TURNS:
                turns += 1
        if not names and turns < 2 and labels == floor:
            return labels
        tenant = call.principal.tenant.encode()
        now_s = self._time_ms() // 1000
        # A named session carries its class into whatever workload it is used in next, declared or found.
        keys = [(conversations.identity(b"name", tenant, name.encode()), NONE, True) for name in names]
        origin = _origin(read) if call.api in _CONVERSATIONS and (turns > 1 or labels != floor) else None
        if origin is not None:
            texts = (read.parts[at].text.encode("utf-8", "surrogatepass") for at in origin)
            identity = conversations.identity(b"text", tenant, call.principal.key_id.encode(), *texts)
            evident = _sum([read.contents[at] for at in origin]).labels
            keys.append((identity, floor | evident, False))
        entries = [conversations.recall(key, now_s) for key, _, _ in keys]
        own = labels
        # A first message of its own is a new conversation, whatever others began with the same words.
        labels |= sticky.union(entries if turns > 1 or origin is None else entries[:-1])
        for (key, evident, slides), entry in zip(keys, entries, strict=True):
            # What was kept of a text would be kept for ever if every other conversation that begins alike renewed it.
            needed = labels if slides else own
            if needed | evident == evident:
                continue
            if entry is None or entry.labels | needed != entry.labels or not conversations.is_fresh(entry, now_s):
                conversations.keep(key, needed, now_s)
        return labels

    # --- reading ---

    def _read(self, call: Call, doc: dict[str, Any]) -> Read:
        """What each part of a body contains: from memory, or read now."""
        profile = self.profile(call.workload.classify)
        asked = self._asked(profile, doc, call.envelope.opaque)
        if not asked.new:
            return Read(asked.parts, cast("list[Content]", asked.contents), NOTHING)
        new = [asked.parts[at] for at in asked.new]
        contents, together = _read_jointly(profile, new)
        return self._learnt(asked, contents or _at_once(_read_each(profile, new)), together)

    def _steps(self, call: Call, doc: dict[str, Any]) -> Steps[Read]:
        """The same in steps."""
        profile = self.profile(call.workload.classify)
        asked = self._asked(profile, doc, call.envelope.opaque)
        new = [asked.parts[at] for at in asked.new]
        contents, together = _read_jointly(profile, new)
        return self._learnt(asked, contents or (yield from _read_each(profile, new)), together)

    def _asked(self, profile: Profile, doc: dict[str, Any], opaque: bool) -> _Asked:
        """The parts of a body and what is remembered of them."""
        found = parts(doc, opaque=opaque)
        if not profile.scanners:
            return _Asked(found, [], [NOTHING] * len(found), [])
        tag, hashed = profile.tag, self._hash
        # Strings of different widths can have the same bytes inside; their lengths tell them apart.
        keys = [(tag, hashed(p.text), len(p.text), hashed(p.seam), len(p.seam)) for p in found]
        contents = list(map(self._young.get, keys))
        new = [at for at, content in enumerate(contents) if content is None and self._is_new(at, keys, contents)]
        return _Asked(found, keys, contents, new)

    def _learnt(self, asked: _Asked, read: list[Content], together: Content) -> Read:
        contents = asked.contents
        for at, content in zip(asked.new, read, strict=True):
            contents[at] = content
            self._keep(asked.keys[at], content)
        return Read(asked.parts, cast("list[Content]", contents), _across(together))

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
        raise BadRequest(
            f"x-signalbox-data names an unknown data class {str(error)[:64]!r}.", param="x-signalbox-data"
        ) from None


def _origin(read: Read) -> tuple[int, ...] | None:
    """Positions of what a conversation is known by: its system prompts, and the first message of its user."""
    at: list[int] = []
    for position, part in enumerate(read.parts):
        if part.role in ("system", "developer"):
            at.append(position)
        elif part.role == "user":
            return (*at, position)
    return None


def _read_jointly(profile: Profile, new: list[Part]) -> tuple[list[Content] | None, Content]:
    """What each part contains where one look can tell, else None; and what shows when all are read together."""
    if len(new) == 1 and not new[0].seam and len(new[0].text) <= STEP_CHARS:
        return [_content(profile.survey(new[0].text))], NOTHING
    if len(new) > 1 and sum(len(part.text) + len(part.seam) for part in new) <= JOINT_CHARS:
        together = _content(profile.survey(_APART.join([t for part in new for t in (part.text, part.seam) if t])))
        return [NOTHING] * len(new) if together is NOTHING else None, together
    return None, NOTHING


def _read_each(profile: Profile, new: list[Part]) -> Steps[list[Content]]:
    """What each part contains, read one by one, and then across their seams."""
    contents: list[Content] = []
    since = 0
    for part in new:
        contents.append((yield from _read_text(profile, part.text)))
        since += len(part.text)
        if since > STEP_CHARS:
            since = 0
            yield
    seams = [at for at, part in enumerate(new) if part.seam]
    for first in range(0, len(seams), SEAMS_AT_ONCE):
        yield from _read_seams(profile, new, seams[first : first + SEAMS_AT_ONCE], contents)
    return contents


def _read_text(profile: Profile, text: str) -> Steps[Content]:
    if len(text) <= STEP_CHARS:
        return _content(profile.survey(text))
    stride = STEP_CHARS - OVERLAP_CHARS
    pieces: list[Content] = []
    known = NONE
    for start in range(0, len(text) - OVERLAP_CHARS, stride):
        of_next = stride if start + STEP_CHARS < len(text) else None
        # What one piece has shown need not be found in the next: only the first is counted in full.
        content = _content(profile.survey(text[start : start + STEP_CHARS], known), of_next)
        known |= content.labels
        pieces.append(content)
        yield
    return _sum(pieces)


def _read_seams(profile: Profile, new: list[Part], seams: list[int], contents: list[Content]) -> Steps[None]:
    """Adds what shows across seams only. Hardly any shows something: a few are read in one go first."""
    if sum(len(new[at].seam) for at in seams) <= STEP_CHARS:
        joined = _content(profile.survey(_APART.join([new[at].seam for at in seams])))
        yield
        if joined is NOTHING:
            return
    for at in seams:
        crossed = yield from _read_text(profile, new[at].seam)
        contents[at] = _sum((contents[at], _across(crossed)))


def _content(found: list[Found], of_next: int | None = None) -> Content:
    """of_next: from this offset on findings raise labels but are counted with the piece that follows."""
    if not found:
        return NOTHING
    counts: dict[str, int] = {}
    for one in found:
        if of_next is None or one.start < of_next:
            name = kind_of(one)
            counts[name] = counts.get(name, 0) + 1
    return Content(labels_of({one.tag for one in found}), tuple(counts.items()))


def kind_of(found: Found) -> str:
    """What a finding is called in ledger and explanations: its detector, and what exactly it found."""
    return f"{found.detector}/{found.kind}" if found.kind else found.detector


def _across(content: Content) -> Content:
    return Content(content.labels, (), content.counts) if content is not NOTHING else NOTHING


def _sum(contents: Sequence[Content]) -> Content:
    labels = NONE
    counts: dict[str, int] = {}
    across: dict[str, int] = {}
    for content in contents:
        if content is not NOTHING:
            labels |= content.labels
            _add(counts, content.counts)
            for name, count in content.across:
                across[name] = max(count, across.get(name, 0))
    return Content(labels, tuple(counts.items()), tuple(across.items())) if labels is not NONE else NOTHING


def _add(counts: dict[str, int], more: Counts) -> None:
    for name, count in more:
        if name in counts or len(counts) < KINDS_MAX:
            counts[name] = counts.get(name, 0) + count


def _at_once(steps: Steps[T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


async def _in_steps(steps: Steps[T]) -> T:
    """The same with the loop serving others between steps."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        await asyncio.sleep(0)
