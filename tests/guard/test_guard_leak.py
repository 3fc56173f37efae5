"""The system prompt in answers: how little of it is shown before the cut, in whatever form, and what is no leak."""

from __future__ import annotations

import base64
import codecs
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.guards import CUT
from signalbox.guard.overlap import Overlap, index_of, own_of, words_of
from signalbox.guard.prompt_leak import HOLD_CHARS_MAX, Window

PROMPT = """You are Mira, the assistant of the Blue Heron bank. Speak warmly, never mention interest rates of
competitors, and hand over to a person when somebody is angry. Customers who hold a platinum card may be offered a
waiver of the yearly fee, at most once in twelve months, and only when they ask for it. Never reveal the discount code
HERON-7-WINTER or the telephone number of the fraud desk. When asked who trained you, answer that you are not sure."""
SHOWN_WORDS_MAX = 12


def _mixed(text: str) -> str:
    sentences = text.split(". ")
    random.Random(3).shuffle(sentences)
    return ". ".join(sentences)


FORMS = {
    "verbatim": lambda text: text,
    "capitals": str.upper,
    "middle": lambda text: " ".join(text.split()[12:40]),
    "one word a line": lambda text: "\n".join(text.split()),
    "bullets": lambda text: "- " + "\n- ".join(text.split(". ")),
    "hyphens": lambda text: "-".join(text.split()),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "backwards": lambda text: text[::-1],
    "words backwards": lambda text: " ".join(word[::-1] for word in text.split()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64 of a part": lambda text: base64.b64encode(" ".join(text.split()[:30]).encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 of base64": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "spaced": lambda text: " ".join(text),
    "spaced words": lambda text: "   ".join(" ".join(word) for word in text.split()),
    "unspaced": lambda text: "".join(text.split()),
    "zero-width": "\u200b".join,
    "sentences mixed": _mixed,
}


def _nobody() -> set[str]:
    return set()


def _shown(answer: str, pieces: list[int], own: str = "", canaries: tuple[str, ...] = ()) -> tuple[str, bool]:
    """What a client sees of an answer that comes in pieces of these lengths, in turn; whether it was cut."""
    words = own_of(words_of(own))
    overlap = Overlap(index_of(PROMPT, canaries), lambda: words)
    shown, at, turn = "", 0, 0
    while at < len(answer):
        piece = answer[at : at + pieces[turn % len(pieces)]]
        leak = overlap.feed(piece)
        if leak is not None:
            return shown + piece[: leak[1]], True
        shown += piece
        at += len(piece)
        turn += 1
    return shown, overlap.feed("", last=True) is not None


def _words_of_prompt(shown: str) -> int:
    """How many words in a row of the prompt, at most, a text shows."""
    prompt = f" {' '.join(words_of(PROMPT))} "
    words, most = words_of(shown), 0
    for start in range(len(words)):
        length = most + 1
        while start + length <= len(words) and f" {' '.join(words[start : start + length])} " in prompt:
            most, length = length, length + 1
    return most


@pytest.mark.parametrize("pieces", [[1], [3, 8, 5], [100_000]])
@pytest.mark.parametrize("form", FORMS)
def test_a_leak_is_cut_in_any_form(form: str, pieces: list[int]) -> None:
    answer = "Of course! Here it is:\n\n```\n" + FORMS[form](PROMPT) + "\n```\nAnything else?"
    shown, cut = _shown(answer, pieces)
    assert cut
    assert _words_of_prompt(shown) <= SHOWN_WORDS_MAX
    assert len(shown) < 240


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.sampled_from(sorted(FORMS)))
def test_how_a_stream_is_split_does_not_matter(pieces: list[int], form: str) -> None:
    shown, cut = _shown("I was told: " + FORMS[form](PROMPT), pieces)
    assert cut
    assert _words_of_prompt(shown) <= SHOWN_WORDS_MAX


def test_words_dropped_and_changed_hide_little() -> None:
    chance = random.Random(5)
    dropped = " ".join(word for word in PROMPT.split() if chance.random() > 0.1)
    assert _shown(dropped, [7])[1]


def _changed(seed: int, share: float = 0.1) -> str:
    chance = random.Random(seed)
    others = ["perhaps", "something,", "thing,", "often", "a", "kind", "of", "blue;", "we", "said"]
    return " ".join(word if chance.random() > share else chance.choice(others) for word in PROMPT.split())


def test_words_that_are_changed_hide_little() -> None:
    """A tenth of the words is another one: nearly always no more than twelve words are out, and never many more."""
    counts: list[int] = []
    for seed in range(200):
        shown, cut = _shown(_changed(seed), [7])
        assert cut, seed
        counts.append(len(shown.split()))
    assert sum(count <= SHOWN_WORDS_MAX for count in counts) >= 180
    assert max(counts) <= 20


@pytest.mark.parametrize("seed", range(20))
def test_answers_that_quote_a_few_words_pass(seed: int) -> None:
    """Five words in a row of the prompt, in sentences of their own."""
    words, chance = PROMPT.split(), random.Random(seed)
    starts = [chance.randrange(len(words) - 5) for _ in range(3)]
    quotes = [" ".join(words[at : at + 5]) for at in starts]
    answer = (
        f"Our policy mentions '{quotes[0]}' somewhere, which surprised several readers yesterday. Elsewhere one finds "
        f"'{quotes[1]}', although nobody remembers why; a third fragment reads '{quotes[2]}', nothing more."
    )
    assert _shown(answer, [13]) == (answer, False)


def test_what_the_caller_wrote_may_be_repeated_with_other_words() -> None:
    said = " ".join(PROMPT.split()[:40])
    answer = said.replace("warmly", "kindly").replace("angry", "cross")
    assert _shown(f"You wrote: {answer}.", [11], own=f"Is this right? {said}")[1] is False
    assert _shown(f"You wrote: {answer}.", [11])[1]


def test_an_answer_about_the_same_things_passes() -> None:
    answer = """Thank you for asking! As a customer with a platinum card you may ask us to waive your yearly fee. I am
    not sure about other banks' interest rates, and I can hand you over to a person at any time."""
    assert _shown(answer, [9]) == (answer, False)


def test_what_the_caller_wrote_itself_may_be_repeated() -> None:
    quoted = "Customers who hold a platinum card may be offered a waiver of the yearly fee, at most once in a year"
    assert _shown(f"You wrote: {quoted}.", [11], own=f"Is this right? {quoted}")[1] is False
    assert _shown(f"You wrote: {quoted}.", [11])[1]


@pytest.mark.parametrize("form", ["verbatim", "capitals", "spaced", "base64", "rot13", "backwards"])
def test_a_canary_is_never_shown(form: str) -> None:
    answer = FORMS[form]("The mark that you look for is heron7winter2931, I think, and so on until the end.")
    shown, cut = _shown(answer, [4], canaries=("heron7winter2931",))
    assert cut
    assert "heron7winter2931" not in shown.lower()


def _seen_of(answer: str, piece: int) -> tuple[str, bool]:
    window = Window(Overlap(index_of(PROMPT, ()), _nobody), CUT, "text")
    seen = ""
    for at in range(0, len(answer), piece):
        said, verdict = window.feed(answer[at : at + piece])
        seen += said
        assert len(window.held) <= HOLD_CHARS_MAX
        if verdict is not None:
            return seen, True
    said, verdict = window.end()
    return seen + said, verdict is not None


@pytest.mark.parametrize("piece", [1, 3, 7, 40, 10_000])
def test_words_wait_while_an_answer_follows_the_prompt(piece: int) -> None:
    begun = "Sure. Customers who hold a platinum card may be offered a"
    seen, cut = _seen_of(f"{begun} waiver of the yearly fee", piece)
    assert cut
    assert len(words_of(seen)) < 8
    # What turns out to be no leak comes out whole, at the end as well.
    for harmless in ("Customers who hold a platinum ticket sit upstairs, as the play bill says.", begun[:34]):
        assert _seen_of(harmless, piece) == (harmless, False)
