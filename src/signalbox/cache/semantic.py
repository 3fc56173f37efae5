"""The semantic cache of one process: questions in other words get an answer that was given, under a bound on errors.

Everything but the last words of a call is a hard scope, like in the exact cache; within it the last words are compared
by meaning. All vectors and questions belong to one thread of their own, in which every look-up, addition and
invalidation takes its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from signalbox.cache.entry import Entry
from signalbox.cache.neighbours import Candidate, Known, Neighbours
from signalbox.cache.risk import Risk
from signalbox.cache.shelf import EVERYTHING
from signalbox.cache.verify import Reading, read
from signalbox.core.caching import Semantic
from signalbox.embedding.encoder import Encoder, built_in

# Longer answers are not given for other words.
ANSWER_BYTES_MAX = 64 * 1024
PARTITIONS_MAX = 50_000
LATER_MAX = 64
# As a threshold: no score reaches it.
CLOSED = 2.0


class Asked(msgspec.Struct, frozen=True):
    """A question that was looked up. candidate: what could be given, None for nothing."""

    partition: bytes
    vector: Any
    reading: Reading
    candidate: Candidate | None


class Workspace:
    """What is known for one workload. Its questions are the thread's; its risk the loop's."""

    def __init__(self, settings: Semantic, encoder: str) -> None:
        self.settings = settings
        self.encoder = encoder
        self.risk = Risk(settings.max_error)
        self.partitions: dict[bytes, Neighbours] = {}
        self.questions = 0
        self.bytes_held = 0
        self.groups = 0

    def fits(self, settings: Semantic, encoder: str) -> bool:
        """Whether it may serve on under these settings: thresholds belong to an encoder and a bound."""
        return self.encoder == encoder and self.settings.max_error == settings.max_error


class SemanticCache:
    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._encoder: Encoder | None = None
        self._folder: Path | None = None
        self._workspaces: dict[str, Workspace] = {}
        self._later: set[asyncio.Task[None]] = set()
        self.bytes_max = 0

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
        """Metrics with their labels: thresholds (CLOSED where nothing is given) and bounds on errors."""
        for name, workspace in self._workspaces.items():
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

    def keep(self, workspace: Workspace, asked: Asked, entry: Entry, answer: Reading, group: int) -> None:
        if len(entry.content) <= ANSWER_BYTES_MAX:
            known = Known(asked.reading, entry, answer, group)
            self.thread.submit(self._add, workspace, asked.partition, asked.vector, known)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something for which no client is to wait; with too much of it at once, not at all."""
        if len(self._later) >= LATER_MAX:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def stop(self) -> None:
        """Ends what goes on for no client."""
        tasks = list(self._later)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    # --- its own thread ---

    def look(self, workspace: Workspace, partition: bytes, text: str, vector: Any, now_ms: int) -> Asked:
        """vector: of the text, None for the built-in encoder to make."""
        if vector is None:
            assert self._encoder is not None
            vector = self._encoder.encode(text)
        reading = read(text)
        neighbours = workspace.partitions.pop(partition, None)
        if neighbours is None:
            return Asked(partition, vector, reading, None)
        workspace.partitions[partition] = neighbours  # the youngest again
        if neighbours.dimensions != len(vector):
            return Asked(partition, vector, reading, None)
        return Asked(partition, vector, reading, neighbours.find(vector, reading, now_ms))

    def _add(self, workspace: Workspace, partition: bytes, vector: Any, known: Known) -> None:
        neighbours = workspace.partitions.get(partition)
        if neighbours is None or neighbours.dimensions != len(vector):
            neighbours = workspace.partitions[partition] = Neighbours(len(vector))
        neighbours.add(vector, known)
        workspace.questions += 1
        workspace.bytes_held += known.entry.bytes_held
        most = workspace.settings.entries_max
        while (
            workspace.questions > most
            or workspace.bytes_held > self.bytes_max
            or len(workspace.partitions) > PARTITIONS_MAX
        ):
            self._shrink(workspace)

    def _shrink(self, workspace: Workspace) -> None:
        """The scope that was used longest ago goes; of a single one the older half does."""
        first = next(iter(workspace.partitions))
        if len(workspace.partitions) > 1:
            del workspace.partitions[first]
        else:
            workspace.partitions[first].keep_newest()
        self._recount(workspace)

    def _forget(self, tags: frozenset[str]) -> None:
        for workspace in list(self._workspaces.values()):
            if EVERYTHING in tags:
                workspace.partitions.clear()
            for neighbours in workspace.partitions.values():
                neighbours.keep(partial(_untouched, tags))
            self._recount(workspace)

    def _recount(self, workspace: Workspace) -> None:
        workspace.questions = sum(map(len, workspace.partitions.values()))
        workspace.bytes_held = sum(one.bytes_held for one in workspace.partitions.values())


def _untouched(tags: frozenset[str], known: Known) -> bool:
    return tags.isdisjoint(known.entry.tags)
