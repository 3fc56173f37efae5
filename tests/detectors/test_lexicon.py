"""The words of a text are the same whether the engine looks them up or a set does."""

from __future__ import annotations

import threading

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox.detectors import engine, lexicon
from signalbox.detectors.lexicon import Lexicon, WideLexicon
from signalbox.detectors.scan import Scanner
from signalbox.detectors.table import DETECTORS
from signalbox.detectors.view import View

WORDS = sorted({w.encode("latin-1") for d in DETECTORS for w in d.words | d.noted | d.context if max(w) < "\u0100"})
PIECES = frozenset().union(*(d.pieces for d in DETECTORS))
OURS = Lexicon(WORDS, PIECES)
needs_engine = pytest.mark.skipif(engine.engine() == "split", reason="the extra `fast` is not installed")

word = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS).map(lambda w: w[1:]),
    st.sampled_from(sorted(PIECES)),
    st.binary(max_size=6).map(lambda b: b.lower().replace(b" ", b"")),
)
lower = st.lists(word, max_size=60).map(lambda ws: b" " + b" ".join(ws) + b" ")
texts = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.one_of(st.sampled_from(WORDS).map(lambda w: w.decode("latin-1").title()), st.text(max_size=12)), max_size=60
    ).map(" ".join),
)


def split(padded: bytes) -> frozenset[bytes]:
    return frozenset(WORDS).intersection(padded.split(b" "))


@needs_engine
@settings(max_examples=300, deadline=None)
@given(lower)
@example(b" " + b" ".join(WORDS) + b" ")
@example(b"  secret  secret key  ")
def test_the_engine_finds_what_splitting_finds(padded: bytes) -> None:
    seen = OURS.seen(padded.replace(b"\n", b" ").replace(b"\t", b" ").ljust(lexicon.SHORT_BYTES))
    words, pieces = OURS.words(seen), OURS.pieces_of(seen)
    assert words == split(padded.replace(b"\n", b" ").replace(b"\t", b" "))
    assert pieces == {piece for piece in PIECES if padded.find(piece) >= 0}


def without_engine(monkeypatch: pytest.MonkeyPatch) -> Scanner:
    with monkeypatch.context() as patched:
        patched.setattr(engine, "_engine", None)
        scanner = Scanner()
        scanner.ready()
    return scanner


@needs_engine
def test_findings_do_not_depend_on_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, fast = without_engine(monkeypatch), Scanner()

    @settings(max_examples=200, deadline=None)
    @given(st.one_of(texts, st.lists(texts, max_size=4).map(lambda ts: ("\n".join(ts) + " filler") * 9)))
    @example("Password: hunter2xyzzy9 for Anna Smith, patient with diabetes, IBAN DE89370400440532013000. " * 90)
    def same(text: str) -> None:
        assert fast.scan(text) == plain.scan(text)
        assert fast.survey(text) == plain.survey(text)
        assert fast.classify(text) == plain.classify(text)

    same()


def test_a_dictionary_too_large_to_compile_is_looked_up_all_the_same() -> None:
    words = [b"w%d" % n for n in range(lexicon.WORDS_MAX + 1)]
    assert Lexicon(words).find(b" w1 w8192 x w99999 " + b" " * lexicon.SHORT_BYTES) == {b"w1", b"w8192"}


def test_threads_do_not_disturb_each_other() -> None:
    text = b" " + b" ".join(WORDS[:200]) + b" " + b"x " * 20_000
    wrong: list[int] = []

    def look() -> None:
        for _ in range(30):
            words = OURS.find(text)
            if words != frozenset(WORDS[:200]):
                wrong.append(len(words))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


WIDE = sorted({w for d in DETECTORS for w in d.words | d.context if max(w) >= "\u0100"})


@needs_engine
def test_the_engine_rules_out_no_wide_word_in_any_case() -> None:
    ours = WideLexicon(WIDE)
    small: dict[str, list[str]] = {}
    for char in map(chr, range(0x80, 0x1F000)):
        if not 0xD800 <= ord(char) < 0xE000:
            for part in char.lower():
                small.setdefault(part, []).append(char)
    for word in WIDE:
        for form in (word, word.upper(), word.title(), word.capitalize()):
            if form.lower() == word:  # capitals of the dotless i are read as those of the other
                assert ours.seen(f"x {form}, ".encode()) & lexicon.WORDS
        for at, char in enumerate(word):
            for other in small.get(char, ()):
                assert ours.seen(f"{word[:at]}{other}{word[at + 1 :]}".encode()) & lexicon.WORDS
    assert not ours.seen("Zażółć gęślą jaźń; \ud800".encode("utf-8", "surrogatepass")) & lexicon.WORDS


def test_without_the_engine_every_wide_word_may_occur(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_engine", None)
    assert WideLexicon(WIDE).seen("jaźń".encode()) & lexicon.WORDS
    assert not WideLexicon(()).seen("jaźń".encode()) & lexicon.WORDS


def test_what_was_looked_up_later_stays_when_pieces_are_asked_for() -> None:
    view = View("filler " * 1200 + "password for the patient with diabetes")
    ours, also = Lexicon({b"diabetes"}, {b"pass"}), Lexicon({b"patient"})
    view.look_up(ours)
    view.look_up_also(also)
    assert view.pieces in (None, {b"pass"})
    assert view.hits == {b"diabetes", b"patient"}
