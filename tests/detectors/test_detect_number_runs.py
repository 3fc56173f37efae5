"""Where numbers stand is told alike whatever else a text holds, and no run is passed over that may be one."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox.detectors.national_shapes import SHAPES
from signalbox.detectors.numbers import numbers
from signalbox.detectors.shapes import PHONE, is_hopeless
from signalbox.detectors.view import View

pieces = st.sampled_from(
    ["a", "AB", "ABC ", "X-", " ", "-", ".", "/", "+", "(", ")", "\n", "0", "12", "123", "1234", "12345678", "_", "é",
     "DE89", " 3704 0044 0532 0130 00", "4111 1111 1111 1111", "2026-11-21 06:30:45", "192.168.10.1", "44051401359",
     "0a1b2c3d-1111-2222-3333-123456789012", "+49 30 1234567", "T", "12345678Z", "00 000 000"]
)  # fmt: skip
NEXT = "\n\n"
texts = st.lists(pieces, max_size=25).map("".join)


@settings(max_examples=500, deadline=None)
@given(texts, st.sampled_from([" ", "\n"]))
@example("ABC 12345678 and AB 12 34 56 C", "\n")
@example("X-1234567-L", " ")
def test_the_length_of_a_text_changes_no_number_of_it(text: str, joint: str) -> None:
    alone = View(text + joint + NEXT)
    among = View(text + joint + NEXT + "a word, " * 400)
    logged = View(text + joint + NEXT + "12:34:56,789\n" * 400)
    assert alone.numbers == among.numbers == logged.numbers
    assert alone.kinds == among.kinds == logged.kinds


@settings(max_examples=300, deadline=None)
@given(texts)
def test_a_number_stands_apart_from_letters_and_digits(text: str) -> None:
    for start, end, kinds in View(text).numbers:
        assert kinds
        assert not text[max(0, start - 1) : start].isalnum()
        # But for a telephone number, whose extension may follow at once.
        assert not text[end : end + 1].isalnum() or (kinds == PHONE and text[end].islower())
        assert any(char.isdigit() for char in text[start:end])


lettered = sorted(shape.decode() for shape in SHAPES if shape[:1] == b"A")
runs = st.one_of(
    st.text("00A .-/()+", min_size=4, max_size=40).map(lambda rest: "0" + rest),
    st.sampled_from(lettered).map(lambda shape: shape[shape.find("0") :]),
    st.just("00 0000 0000 0000 0000 00"),
)


@settings(max_examples=1000, deadline=None)
@given(st.text("AA -a", max_size=12), runs, st.sampled_from(["", " ", " A", ".", " 00"]), st.sampled_from("a\n,"))
@example("AAAAA", "0000A", "", ",")
@example("AA", "00 0000 0000 0000 0000 00", "", "\n")
@example("A-", "0000000-A", "", ",")
def test_no_run_is_hopeless_that_is_a_number_behind_letters(before: str, run: str, after: str, end: str) -> None:
    shape = f"{before}{run}{after}{end}".encode()
    if numbers(shape, set())[0]:
        parts = [run + after, (run + after).rstrip("A")]
        assert not all(is_hopeless(part.encode()) for part in parts)
    assert numbers(shape, set()) == numbers(shape) == numbers(shape)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join), st.integers(1, 3))
def test_what_was_looked_at_before_changes_no_number(text: str, times: int) -> None:
    shape = View(text * times + "0 " * 40 * times + text).shape
    numbers(b"00-00 and 0000 and 0000-00-00A00 and 00 AAA ")
    assert numbers(shape, set()) == numbers(shape)
