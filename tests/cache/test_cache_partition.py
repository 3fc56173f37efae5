"""The questions of a scope: what is turned into vectors and when, and what is counted of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from signalbox.cache.entry import BODY, Entry
from signalbox.cache.neighbours import Known, Neighbours
from signalbox.cache.partition import Partition
from signalbox.cache.semantic import WAITING_MAX, Asked, SemanticCache, Trial, Workspace
from signalbox.cache.verify import read, read_answer, same
from signalbox.core.caching import Semantic
from signalbox.embedding.hashed import HashedEncoder

pytest.importorskip("numpy")
QUESTIONS = [f"how long may {what} be on its way until it counts as lost" for what in ("a parcel", "a letter", "a box")]


class Counting(HashedEncoder):
    """Implements embedding.encoder.Encoder: the one without weights, and how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode(self, text: str) -> Any:
        self.asked.append(text)
        return super().encode(text)


def entry(size: int = 10, tag: str = "a") -> Entry:
    return Entry(BODY, b"x" * size, "mini", "call-1", 1, 0, 1 << 60, (tag,))


def known(text: str, group: int, tag: str = "a") -> Known:
    return Known(read(text), entry(tag=tag), read("an answer"), group)


def test_a_scope_of_one_question_needs_no_vector() -> None:
    encoder = Counting()
    partition = Partition(encoder.encode)
    assert partition.find(QUESTIONS[0], None, read(QUESTIONS[0]), 0) == (None, None)
    partition.add(QUESTIONS[0], None, known(QUESTIONS[0], 1))
    assert not encoder.asked
    assert len(partition) == 1


def test_the_second_question_is_compared_as_if_all_had_been_vectors_at_once() -> None:
    encoder = Counting()
    partition, eager = Partition(encoder.encode), Neighbours(encoder.dimensions)
    for number, text in enumerate(QUESTIONS, 1):
        reading = read(text)
        vector, candidate = partition.find(text, None, reading, 0)
        wanted = eager.find(HashedEncoder().encode(text), reading, 0)
        assert (candidate is None) == (wanted is None)
        if candidate is not None and wanted is not None:
            assert (candidate.score, candidate.known.group) == (wanted.score, wanted.known.group)
        partition.add(text, vector, known(text, number))
        eager.add(HashedEncoder().encode(text), known(text, number))
        assert (len(partition), partition.bytes_held) == (len(eager), eager.bytes_held)
    assert encoder.asked == [QUESTIONS[1], QUESTIONS[0], QUESTIONS[2]]


def test_a_scope_of_two_questions_that_came_together_has_both() -> None:
    """Two calls were looked up before either was answered."""
    encoder = Counting()
    partition = Partition(encoder.encode)
    for number, text in enumerate(QUESTIONS[:2], 1):
        partition.add(text, None, known(text, number))
    assert len(partition) == 2
    _, candidate = partition.find(QUESTIONS[1], None, read(QUESTIONS[1]), 0)
    assert candidate is not None
    assert candidate.known.group == 2


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_dropped_is_gone_whether_or_not_it_was_compared(count: int) -> None:
    partition = Partition(HashedEncoder().encode)
    for number, text in enumerate(QUESTIONS[:count], 1):
        partition.add(text, None, known(text, number, tag="b" if number == 1 else "a"))
    partition.keep(lambda each: "b" not in each.entry.tags)
    assert len(partition) == count - 1
    partition.keep_newest()
    assert len(partition) == (count - 1) - (count - 1) // 2
    partition.keep(lambda _: False)
    assert (len(partition), partition.bytes_held) == (0, 0)
    partition.add(QUESTIONS[0], None, known(QUESTIONS[0], 9))
    assert len(partition) == 1


def test_vectors_of_another_length_are_not_compared() -> None:
    partition = Partition(HashedEncoder().encode)
    partition.add(QUESTIONS[0], HashedEncoder().encode(QUESTIONS[0])[:8], known(QUESTIONS[0], 1))
    vector = HashedEncoder().encode(QUESTIONS[1])
    assert partition.find(QUESTIONS[1], vector, read(QUESTIONS[1]), 0)[1] is None


@pytest.mark.parametrize("scopes", [1, 7, 40])
async def test_what_is_held_is_counted_and_bounded(scopes: int) -> None:
    cache = made(entries_max=20, bytes_max=20 * 1200)
    workspace = cache.of("w")
    assert workspace is not None
    for number in range(100):
        asked = await look(cache, workspace, b"%d" % (number % scopes), f"question {number}")
        answer = entry(size=number * 13 % 700, tag=f"t{number % 3}")
        told = cache.learn(workspace, asked, answer, f"answer {number}", judged=False)
        assert told is not None
        await told
        if number % 30 == 29:
            cache.forget(["t1"])
            await look(cache, workspace, b"none", "")
        held = list(workspace.partitions.values())
        assert workspace.questions == sum(map(len, held)) <= 20
        assert workspace.bytes_held == sum(each.bytes_held for each in held) <= 20 * 1200
    cache.forget(["*"])
    await look(cache, workspace, b"none", "")
    assert (workspace.questions, workspace.bytes_held, len(workspace.partitions)) == (0, 0, 0)
    cache.close()


async def test_nobody_waits_behind_a_long_queue() -> None:
    cache = made()
    workspace = cache.of("w")
    assert workspace is not None
    told = [asyncio.ensure_future(cache.look(workspace, b"s", text, None, 0)) for text in QUESTIONS * WAITING_MAX]
    looked_up = [each for each in await asyncio.gather(*told) if each is not None]
    assert len(looked_up) == WAITING_MAX
    assert cache.waiting == 0
    first = looked_up[0]
    learnt = [cache.learn(workspace, first, entry(), "answer", judged=False) for _ in range(2 * WAITING_MAX)]
    trials = await asyncio.gather(*(each for each in learnt if each is not None))
    assert len(trials) == WAITING_MAX
    cache.close()


@pytest.mark.parametrize("judged", [False, True])
async def test_an_answer_is_compared_with_the_one_that_would_have_been_given(judged: bool) -> None:
    cache = made()
    workspace = cache.of("w")
    assert workspace is not None

    async def ask(question: str, answer: str) -> Trial:
        asked = await look(cache, workspace, b"s", question)
        told = cache.learn(workspace, asked, entry(), answer, judged=judged)
        assert told is not None
        return await told

    assert (await ask("where is my parcel", "It is in Oslo.")).right is None
    assert (await ask("where is my parcel please", "It is in Oslo.")).right is True
    other = await ask("where is my parcel, please", "It is in Bergen.")
    assert (other.right, other.doubtful) == ((None, True) if judged else (False, False))
    # What somebody is to judge first is not known yet.
    assert workspace.questions == (2 if judged else 3)
    cache.close()


@pytest.mark.parametrize(("one", "other", "says"), [("", "", True), ("end", "end", True), ("end", "fin", False)])
def test_long_answers_say_the_same_only_to_their_end(one: str, other: str, says: bool) -> None:
    long = "word " * 1000
    assert same(read_answer(long + one), read_answer(long + other)) is says


def made(entries_max: int = 1000, bytes_max: int = 1 << 20) -> SemanticCache:
    cache = SemanticCache()
    cache.adopt({"w": (Semantic(ttl_s=60, entries_max=entries_max), "")}, None, bytes_max)
    return cache


async def look(cache: SemanticCache, workspace: Workspace, scope: bytes, text: str) -> Asked:
    asked = await cache.look(workspace, scope, text, None, 0)
    assert asked is not None
    return asked
