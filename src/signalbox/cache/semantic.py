"""The semantic cache of one process: questions in other words get an answer that was given, under a bound on errors.

Everything but the last words of a call is a hard scope, like in the exact cache; within it the last words are compared
by meaning. All vectors and questions belong to one thread of their own, in which every look-up, addition and
invalidation takes its turn; answers are read and compared there too, so that the loop serves others meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from signalbox.cache.entry import Entry
from signalbox.cache.neighbours import Candidate, Known
from signalbox.cache.partition import Partition
from signalbox.cache.risk import Risk
from signalbox.cache.shelf import EVERYTHING
from signalbox.cache.verify import Reading, read, read_answer, same
from signalbox.core.caching import Semantic
from signalbox.embedding.encoder import Encoder, built_in

T = TypeVar("T")
# Longer answers are not given for other words.
ANSWER_BYTES_MAX = 64 * 1024
PARTITIONS_MAX = 50_000
# Behind so many others a call would wait for longer than a look-up is worth.
WAITING_MAX = 32
# Below this score nobody is asked whether two answers agree.
PLAUSIBLE = 0.4
# As a threshold: no score reaches it.
CLOSED = 2.0


class Asked(msgspec.Struct, frozen=True):
    """A question that was looked up. vector: None while nothing needed it. candidate: what could be given, None for
    nothing."""

    partition: bytes
    text: str
    vector: Any
    reading: Reading
    candidate: Candidate | None


class Trial(msgspec.Struct, frozen=True):
    """An answer that was asked for, beside the one that would have been given. answer: its words. right: whether they
    say the same; None where there is nothing to compare, or somebody is to be asked first."""

    answer: Reading
    right: bool | None
    doubtful: bool


class Workspace:
    """What is known for one workload. Its questions and their groups are the thread's; its risk the loop's. questions,
    bytes_held: of all partitions together."""

    def __init__(self, settings: Semantic, encoder: str) -> None:
        self.settings = settings
        self.encoder = encoder
        self.risk = Risk(settings.max_error)
        self.partitions: dict[bytes, Partition] = {}
        self.questions = 0
        self.bytes_held = 0
        self.groups = 0

    def fits(self, settings: Semantic, encoder: str) -> bool:
        """Whether it may serve on under these settings: thresholds belong to an encoder and a bound."""
        return self.encoder == encoder and self.settings.max_error == settings.max_error

    @contextmanager
    def changing(self, partition: Partition) -> Generator[None, None, None]:
        """Counts what becomes of one partition, not all of them anew."""
        questions, held = len(partition), partition.bytes_held
        try:
            yield
        finally:
            self.questions += len(partition) - questions
            self.bytes_held += partition.bytes_held - held


class SemanticCache:
    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._encoder: Encoder | None = None
        self._folder: Path | None = None
        self._workspaces: dict[str, Workspace] = {}
        self.bytes_max = 0
        self.waiting = 0

    # --- the loop's thread ---

    def adopt(self, wanted: dict[str, tuple[Semantic, str]], folder: Path | None, bytes_max: int) -> None:
        """Makes ready for workloads: their settings, and who turns their texts into vectors (empty: the built-in
        encoder, from `folder`). Raises ConfigError when that cannot be had."""
        self.bytes_max = bytes_max
        if any(not embedding for _, embedding in wanted.values()) and (self._encoder is None or folder != self._folder):
            self._encoder, self._folder = built_in(folder), folder
        own = self._encoder.id if self._encoder is not None else ""
        kept: dict[str, Workspace] = {}
        for name, (settings, embedding) in wanted.items():
            before = self._workspaces.get(name)
            if before is not None and before.fits(settings, embedding or own):
                before.settings = settings
                kept[name] = before
            else:
                kept[name] = Workspace(settings, embedding or own)
        self._workspaces = kept

    def of(self, workload: str) -> Workspace | None:
        return self._workspaces.get(workload)

    def gauges(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Metrics with their labels: thresholds (CLOSED where nothing is given), bounds on errors, and what is held."""
        if self._workspaces:
            yield ("signalbox_cache_semantic_waiting",), self.waiting
        for name, workspace in self._workspaces.items():
            yield ("signalbox_cache_semantic_questions", name), workspace.questions
            for relation, state in workspace.risk.states.items():
                threshold = CLOSED if state.threshold is None else state.threshold
                yield ("signalbox_cache_semantic_threshold", name, relation), threshold
                yield ("signalbox_cache_semantic_error_bound", name, relation), state.bound or 0.0

    @property
    def thread(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-meaning")
        return self._thread

    def forget(self, tags: list[str]) -> None:
        """Ends what was invalidated: every look-up that is asked for from now on comes after."""
        if self._workspaces:
            self.thread.submit(self._forget, frozenset(tags))

    async def look(self, workspace: Workspace, partition: bytes, text: str, vector: Any, now_ms: int) -> Asked | None:
        """What is known of a question; None where too many wait already. vector: of the text, None for the built-in
        encoder to make."""
        if self.waiting >= WAITING_MAX:
            return None
        return await self._turn(partial(self._look, workspace, partition, text, vector, now_ms))

    def learn(
        self, workspace: Workspace, asked: Asked, entry: Entry, text: str, *, judged: bool
    ) -> asyncio.Future[Trial] | None:
        """Takes an answer that was asked for, with its text; nothing where too many wait already. judged: somebody can
        be asked where words cannot tell; the question is kept after that, by `keep`."""
        if self.waiting >= WAITING_MAX:
            return None
        return self._turn(partial(self._learn, workspace, asked, entry, text, judged))

    def keep(self, workspace: Workspace, asked: Asked, entry: Entry, answer: Reading, right: bool | None) -> None:
        self.thread.submit(self._add, workspace, asked, entry, answer, right)

    def _turn(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Does something in the thread, after all that was asked of it before."""
        self.waiting += 1
        told = asyncio.get_running_loop().run_in_executor(self.thread, work)
        told.add_done_callback(self._done)
        return told

    def _done(self, _: asyncio.Future[Any]) -> None:
        self.waiting -= 1

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    # --- its own thread ---

    def _look(self, workspace: Workspace, name: bytes, text: str, vector: Any, now_ms: int) -> Asked:
        reading = read(text)
        partition = workspace.partitions.pop(name, None)
        if partition is None:
            return Asked(name, text, vector, reading, None)
        workspace.partitions[name] = partition  # the youngest again
        vector, candidate = partition.find(text, vector, reading, now_ms)
        return Asked(name, text, vector, reading, candidate)

    def _learn(self, workspace: Workspace, asked: Asked, entry: Entry, text: str, judged: bool) -> Trial:
        answer, candidate = read_answer(text), asked.candidate
        right = None if candidate is None else same(answer, candidate.known.answer)
        if right is False and judged and candidate is not None and candidate.score >= PLAUSIBLE:
            return Trial(answer, None, doubtful=True)
        self._add(workspace, asked, entry, answer, right)
        return Trial(answer, right, doubtful=False)

    def _add(self, workspace: Workspace, asked: Asked, entry: Entry, answer: Reading, right: bool | None) -> None:
        """right: whether the candidate's answer says the same, so that both questions are of one group."""
        if len(entry.content) > ANSWER_BYTES_MAX:
            return
        if right and asked.candidate is not None:
            group = asked.candidate.known.group
        else:
            workspace.groups += 1
            group = workspace.groups
        partition = workspace.partitions.get(asked.partition)
        if partition is None:
            partition = workspace.partitions[asked.partition] = Partition(self._encode)
        with workspace.changing(partition):
            partition.add(asked.text, asked.vector, Known(asked.reading, entry, answer, group))
        while (
            workspace.questions > workspace.settings.entries_max
            or workspace.bytes_held > self.bytes_max
            or len(workspace.partitions) > PARTITIONS_MAX
        ):
            self._shrink(workspace)

    def _encode(self, text: str) -> Any:
        assert self._encoder is not None
        return self._encoder.encode(text)

    def _shrink(self, workspace: Workspace) -> None:
        """The scope that was used longest ago goes; of a single one the older half does."""
        name, partition = next(iter(workspace.partitions.items()))
        with workspace.changing(partition):
            if len(workspace.partitions) > 1:
                del workspace.partitions[name]
                partition.keep(_nothing)
            else:
                partition.keep_newest()

    def _forget(self, tags: frozenset[str]) -> None:
        wanted = _nothing if EVERYTHING in tags else partial(_untouched, tags)
        for workspace in list(self._workspaces.values()):
            for name, partition in list(workspace.partitions.items()):
                with workspace.changing(partition):
                    partition.keep(wanted)
                if not partition:
                    del workspace.partitions[name]


def _untouched(tags: frozenset[str], known: Known) -> bool:
    return tags.isdisjoint(known.entry.tags)


def _nothing(_: Known) -> bool:
    return False
