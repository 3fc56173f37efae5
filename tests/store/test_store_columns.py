"""Rows made and stored column by column are those that are made one by one, whatever records say."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.records import TRUE_UP, Opened, Settled
from signalbox.core.usage import Usage
from signalbox.store import columns, open_store
from signalbox.store.rows import ATTEMPT_COLUMNS, INT64_MAX, TOKENS_MAX, attempt_values

WORDS = st.sampled_from(("", "a", "it's", "?", "ü\0"))
# Mostly what is usual, so that whole columns are.
COUNTS = st.sampled_from((0, 0, 0, 0, 7, -1, 2**39, TOKENS_MAX + 1))
NAMES = st.sampled_from(((), (), ("x",), ("x", "y")))
FOUND = st.sampled_from(({}, {}, {"pan": 2}))
USAGES = st.builds(
    Usage, *[COUNTS] * 8, NAMES, st.sampled_from(((), (), (("image_in", 3),), (("image_in", -3),))), WORDS
)


def _pair(number: int, settled: Settled, opened: dict[str, object]) -> tuple[Opened, Settled]:
    attempt = opened["attempt"]
    call = f"req_{number}"
    told = Opened(f"{call}-{attempt}", call, 1000 + number, "t", "", "k", "w", "d", "e", "m", "chat", **opened)  # type: ignore[arg-type]
    return told, Settled(told.attempt_id, *[getattr(settled, name) for name in Settled.__struct_fields__[1:]])


OPENED = st.fixed_dictionaries(
    {
        "labels": NAMES, "reason": WORDS, "config": WORDS, "attempt": st.sampled_from((1, 1, 1, 2)),
        "stream": st.sampled_from((False, False, True)), "found": FOUND, "user": WORDS, "session": WORDS, "tags": NAMES,
    }
)  # fmt: skip
ENDS = st.builds(
    Settled,
    st.just(""),
    st.integers(0, 9),
    st.sampled_from(("settled", "settled", "failed", TRUE_UP)),
    USAGES,
    st.sampled_from(("provider", "none")),
    st.sampled_from((0, 5, 5, None, -5, INT64_MAX + 1)),
    st.sampled_from((200, 200, 500)),
    WORDS,
    st.sampled_from((0, 0, 3, -3, 2**40)),
    st.sampled_from((0, 3, -3, 2**40)),
    st.sampled_from((0, 0, 3, -3, INT64_MAX + 1)),
    FOUND,
)
SOME = st.lists(st.tuples(ENDS, OPENED), min_size=1, max_size=6)


@given(SOME)
@settings(max_examples=150, deadline=None)
def test_columns_are_those_of_the_rows(some: list[tuple[Settled, dict[str, object]]]) -> None:
    pairs = [_pair(number, *each) for number, each in enumerate(some)]
    made = [*zip(*columns.columns_of(pairs), strict=True)]
    assert made == [attempt_values(*pair) for pair in pairs]
    # A boolean equals an integer, but databases tell them apart.
    assert not any(isinstance(value, bool) for row in made for value in row)


@given(SOME)
@settings(max_examples=60, deadline=None)
def test_what_is_not_bound_is_stored_all_the_same(some: list[tuple[Settled, dict[str, object]]]) -> None:
    pairs = [_pair(number, *each) for number, each in enumerate(some)]
    made = columns.columns_of(pairs)
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE attempt_days ({', '.join(ATTEMPT_COLUMNS)}, summed)")
    columns.insert(connection, made)
    rows = connection.execute(f"SELECT {', '.join(ATTEMPT_COLUMNS)} FROM attempt_days ORDER BY time_ms").fetchall()
    connection.close()
    assert rows == [*zip(*made, strict=True)]


def test_the_usual_is_what_the_table_takes(tmp_path: Path) -> None:
    """Types of what is part of the statement are those of the columns, which are strict."""
    usual = Settled("", 1, "settled", Usage(), "provider", 0, status=200)
    opened: dict[str, object] = {"labels": (), "reason": "", "config": "", "attempt": 1}
    store = open_store(f"sqlite:{tmp_path}/s.db")
    with sqlite3.connect(tmp_path / "s.db") as connection:
        columns.insert(connection, columns.columns_of([_pair(1, usual, opened)]))
        connection.commit()
        assert connection.execute("SELECT COUNT(*) FROM attempt_days WHERE summed = 'cubes'").fetchone() == (1,)
    connection.close()
    store.close()
