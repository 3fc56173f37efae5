"""Marks are found and counted in large bodies as `bytes.find` and `bytes.count` would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire.marks import LARGE_BYTES, count, find

MARKS = (b'"', b"{", b"\\u00", b'"model"', b'"speed"')
# What is in a body with an image: the image, which has none of the marks' beginnings; marks, parts of them, overlaps.
pieces = st.lists(
    st.sampled_from((*MARKS, b"model", b'"mod', b'"model"model"', b'""""', b"\\", b"A" * 200, b"B" * LARGE_BYTES)),
    max_size=30,
)


@given(before=pieces, after=pieces, dense=st.integers(0, 300), mark=st.sampled_from(MARKS), start=st.integers(0, 9_000))
def test_the_same_as_those_of_bytes(
    before: list[bytes], after: list[bytes], dense: int, mark: bytes, start: int
) -> None:
    """dense: so many marks in a row, more than a large body is expected to have."""
    data = b"".join(before) + b'"model""x{' * dense + b"A" * LARGE_BYTES + b"".join(after)
    assert count(data, mark) == data.count(mark)
    assert find(data, mark) == data.find(mark)
    assert find(data, mark, start) == data.find(mark, start)
    assert count(data[:500], mark) == data[:500].count(mark)
    assert find(data[:500], mark, start) == data[:500].find(mark, start)
