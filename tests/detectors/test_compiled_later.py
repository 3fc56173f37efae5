"""Patterns that are compiled at their first use do what compiled ones do, from every thread."""

from __future__ import annotations

import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.pattern import compiled_later
from signalbox.detectors.lexicon import SHORT_BYTES, Lexicon

PATTERNS = (r"(?i)a+b|c", r"\bx(\d+)", "[^a-z]", "")


@given(st.sampled_from(PATTERNS), st.text("abcABCx1 2\n", max_size=30))
def test_it_does_what_a_compiled_one_does(pattern: str, text: str) -> None:
    later, now = compiled_later(pattern, re.MULTILINE), re.compile(pattern, re.MULTILINE)
    for _ in range(2):
        assert [found.span() for found in later.finditer(text)] == [found.span() for found in now.finditer(text)]
        assert later.findall(text) == now.findall(text)
        assert later.sub("-", text) == now.sub("-", text)
        assert (later.search(text) is None) == (now.search(text) is None)
    assert (later.pattern, later.flags, later.groups) == (now.pattern, now.flags, now.groups)


def test_a_wrong_one_is_told_of_at_its_first_use() -> None:
    later = compiled_later("(")
    with pytest.raises(re.error):
        later.search("x")


def test_words_are_found_while_another_thread_compiles() -> None:
    words = [b"word%d" % number for number in range(4000)]
    text = b" word7 other word3999 ".ljust(SHORT_BYTES + 1)
    lexicon = Lexicon(words)
    lexicon.database.postpone()
    assert lexicon.find(text) == {b"word7", b"word3999"}
    assert lexicon.pieces_of(lexicon.seen(text)) is None  # nobody compiled for it
    compiling = threading.Thread(target=lexicon.database.ready)
    compiling.start()
    while compiling.is_alive():
        assert lexicon.find(text) == {b"word7", b"word3999"}
    assert lexicon.find(text) == {b"word7", b"word3999"}
