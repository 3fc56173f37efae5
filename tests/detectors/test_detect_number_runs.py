"""Where numbers stand is told alike in short texts, where each run is looked at, and in long ones, where few are."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox.detectors.shapes import PHONE
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
