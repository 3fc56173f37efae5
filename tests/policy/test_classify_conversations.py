"""The table of conversations: what is kept is kept for everybody, and what cannot be kept is an error."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.errors import ConfigError, Overloaded
from signalbox.core.labels import LEVELS, TAG_BIT, Labels, labels_of
from signalbox.policy import sticky
from signalbox.policy.sticky import SLOTS, Conversations

KEY = b"k" * 32


def same_bucket(count: int) -> list[bytes]:
    return [b"\x01\x00\x00\x00" + number.to_bytes(12, "big") for number in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, (1 << len(TAG_BIT)) - 1), st.integers(0, 200)),
        max_size=30,
    )
)
def test_it_is_a_map_of_unions_with_lifetimes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int, int]]
) -> None:
    table = Conversations(tmp_path_factory.mktemp("t") / "c", KEY, lifetime_s=100)
    expected: dict[bytes, tuple[Labels, int]] = {}
    now = 1_000
    for who, level, tags, later in steps:
        now += later
        identity = same_bucket(6)[who]
        before, until = expected.get(identity, (Labels(), 0))
        labels = Labels(level, tags) | (before if until > now else Labels())
        table.keep(identity, Labels(level, tags), now)
        expected[identity] = (labels, now + 100)
        for one, (known, until) in expected.items():
            entry = table.recall(one, now)
            assert (entry.labels if entry else None) == (known if until > now else None)
    table.close()


def test_positions_of_tags_never_move() -> None:
    """They are in files: a new tag goes to the end of this list, and none of it changes."""
    known = (
        *("personal", "special-category", "phi", "pci", "credentials", "national-id", "financial", "source-code"),
        *("export-controlled", "legal", "children", "government", "opaque", "pci-sad"),
    )
    assert tuple(TAG_BIT)[: len(known)] == known
    assert [TAG_BIT[name] for name in known] == [1 << place for place in range(len(known))]
    assert LEVELS == ("public", "internal", "confidential", "restricted")


def test_a_full_bucket_refuses_and_makes_room_when_entries_end(tmp_path: Path) -> None:
    table = Conversations(tmp_path / "c", KEY, lifetime_s=100)
    phi = labels_of(["phi"])
    *full, one_more = same_bucket(SLOTS + 1)
    for identity in full:
        table.keep(identity, phi, 1_000)
    with pytest.raises(Overloaded):
        table.keep(one_more, phi, 1_050)
    assert all(table.recall(identity, 1_050) for identity in full)
    table.keep(full[0], labels_of(["pci"]), 1_050)
    table.keep(one_more, phi, 1_101)
    assert table.recall(one_more, 1_101)
    assert table.recall(full[0], 1_101)


def test_a_file_of_something_else_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"something else")
    with pytest.raises(ConfigError):
        Conversations(path, KEY)
    assert path.read_bytes() == b"something else"
    with pytest.raises(ConfigError):
        Conversations(tmp_path / "no" / "folder", KEY)


def test_a_file_that_was_cut_is_an_error_and_not_an_empty_table(tmp_path: Path) -> None:
    table = Conversations(tmp_path / "c", KEY)
    identity = table.identity(b"name", b"tenant", b"session")
    table.keep(identity, labels_of(["phi"]), 1)
    with (tmp_path / "c").open("r+b") as file:
        file.truncate(4096)
    with pytest.raises(Overloaded):
        table.recall(identity, 2)
    with pytest.raises(Overloaded):
        table.keep(identity, labels_of(["phi"]), 2)


def test_names_that_meet_in_their_parts_are_different(tmp_path: Path) -> None:
    table = Conversations(tmp_path / "c", KEY)
    assert table.identity(b"ab", b"c") != table.identity(b"a", b"bc")
    assert table.identity(b"a") != Conversations(tmp_path / "d", b"x" * 32).identity(b"a")
    assert sticky.key_from(b"p" * 32) != b"p" * 32


def _raise_many(path: Path, tag: str, barrier: object) -> None:
    table = Conversations(path, KEY)
    barrier.wait()  # type: ignore[attr-defined]
    for _ in range(50):
        for identity in same_bucket(SLOTS):
            table.keep(identity, labels_of([tag]), 1_000)


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    tags = ("phi", "pci", "legal")
    running = [context.Process(target=_raise_many, args=(tmp_path / "c", tag, barrier)) for tag in tags]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    table = Conversations(tmp_path / "c", KEY)
    for identity in same_bucket(SLOTS):
        entry = table.recall(identity, 1_000)
        assert entry is not None
        assert entry.labels == labels_of(tags)
