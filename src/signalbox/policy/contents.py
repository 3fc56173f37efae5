"""What texts contain: the parts of a body read by the detectors that its workload asked for, whole or in steps."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from typing import TypeVar

import msgspec

from signalbox.core.labels import NONE, Labels, labels_of
from signalbox.core.snapshot import Classify
from signalbox.detectors.found import Found
from signalbox.detectors.scan import EVERYTHING, Scanner, scanner_of
from signalbox.policy import custom
from signalbox.policy.parts import Part

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
KINDS_MAX = 32

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
        whole = summed((*contents, self.together))
        counted = {name for name, _ in whole.counts}
        return Content(whole.labels, (*whole.counts, *(one for one in whole.across if one[0] not in counted)))


class Profile:
    """One workload's way to look. tag: a number that no other one of this process ever has."""

    __slots__ = ("scanners", "tag")

    def __init__(self, declared: Classify, tag: int) -> None:
        self.tag = tag
        self.scanners: list[Scanner] = []
        if declared.detectors is None:
            self.scanners.append(EVERYTHING)
        elif declared.detectors:
            self.scanners.append(scanner_of(declared.detectors))
        if declared.custom:
            # On their own, so that no overlap of theirs with a built-in finding can take that one's place.
            self.scanners.append(Scanner([custom.detector(one) for one in declared.custom]))

    def postpone(self) -> None:
        """Lets no text wait for `ready`, which somebody is about to call in another thread."""
        for scanner in self.scanners:
            scanner.postpone()

    def ready(self) -> None:
        """Compiles what would be compiled at the first text. In any thread; meanwhile texts are read without it."""
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


def read_jointly(profile: Profile, new: list[Part]) -> tuple[list[Content] | None, Content]:
    """What each part contains where one look can tell, else None; and what shows when all are read together."""
    if len(new) == 1 and not new[0].seam and len(new[0].text) <= STEP_CHARS:
        return [_content(profile.survey(new[0].text))], NOTHING
    if len(new) > 1 and sum(len(part.text) + len(part.seam) for part in new) <= JOINT_CHARS:
        together = _content(profile.survey(_APART.join([t for part in new for t in (part.text, part.seam) if t])))
        return [NOTHING] * len(new) if together is NOTHING else None, together
    return None, NOTHING


def read_each(profile: Profile, new: list[Part]) -> Steps[list[Content]]:
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
    return summed(pieces)


def _read_seams(profile: Profile, new: list[Part], seams: list[int], contents: list[Content]) -> Steps[None]:
    """Adds what shows across seams only. Hardly any shows something: a few are read in one go first."""
    if sum(len(new[at].seam) for at in seams) <= STEP_CHARS:
        joined = _content(profile.survey(_APART.join([new[at].seam for at in seams])))
        yield
        if joined is NOTHING:
            return
    for at in seams:
        crossed = yield from _read_text(profile, new[at].seam)
        contents[at] = summed((contents[at], across(crossed)))


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


def across(content: Content) -> Content:
    return Content(content.labels, (), content.counts) if content is not NOTHING else NOTHING


def summed(contents: Sequence[Content]) -> Content:
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


def at_once(steps: Steps[T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


async def in_steps(steps: Steps[T]) -> T:
    """The same with the loop serving others between steps."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        await asyncio.sleep(0)
