"""What holds for every detector of the table and for every text: no crash, true offsets, known labels, bounded time."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox.core.labels import LEVELS, TAG_BIT, labels_of
from signalbox.detectors.found import RAISES
from signalbox.detectors.scan import ENOUGH, classify, scan, survey
from signalbox.detectors.table import DETECTORS

SNIPPETS = [
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "a@b.org",
    "219-09-9999",
    "password='hX72kq9z!pQ'",
    "+49 30 901820",
    "8.8.8.8",
    "patient",
    "diabetes",
    "John K.",
    "born on 3 May 1970",
    "CONFIDENTIAL\n",
    "12 Main Street",
    "```python\n",
    "def f(x):\n",
    "ITAR-controlled",
    "eyJhbGciOiJIUzI1NiJ9.",
    "QUJDREVGR0hJSktMTU5PUA==",
    "%41%42%43",
    "\\u0041",
    "&#65;",
    "\u200b",
    "é",
    "ж",
    "中",
    "😀",
    "\ud800",
    "\x00",
    "://u:p@h",
    "Bearer ",
    "secret",
    "key=",
    "-----BEGIN ",
    "::",
    "{",
    "}",
    ";\n",
    "\r\n",
    " ",
    "\t",
    "0",
    "1",
    "A",
    "a",
    ".",
    "-",
]
texts = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(SNIPPETS), max_size=30).map("".join))


def test_the_table_is_consistent() -> None:
    names = [detector.name for detector in DETECTORS]
    assert len(names) == len(set(names))
    for detector in DETECTORS:
        assert detector.tags
        assert all(tag in TAG_BIT or tag in LEVELS for tag in detector.tags)
        assert detector.words or detector.kinds or detector.triggers or detector.sign
        assert all(word == word.lower() for word in detector.words | detector.context)


@given(texts)
@settings(max_examples=400, deadline=None)
def test_any_text_gives_true_findings(text: str) -> None:
    tags = {detector.name: {*detector.tags, "opaque"} for detector in DETECTORS}
    found = scan(text)
    for one in found:
        assert 0 <= one.start < one.end <= len(text)
        assert 0.0 < one.confidence <= 1.0
        assert one.tag in tags.get(one.detector, {"opaque"})
    assert [one.start for one in found] == sorted(one.start for one in found)
    told = labels_of({one.tag for one in found if one.confidence >= RAISES})
    labels = classify(text)
    assert labels | told == labels


@given(st.text(max_size=200).filter(lambda text: text.isprintable()))
@settings(max_examples=150, deadline=None)
def test_bytes_are_read_as_their_text(text: str) -> None:
    assert scan(text.encode("utf-8", "surrogatepass")) == scan(
        text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    )


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_bytes_that_are_no_text_are_read_as_well(raw: bytes) -> None:
    scan(raw)
    classify(raw)


@given(texts, texts)
@example("001-01-0001", "JON A.001-01-0001")  # a name that only the number beside it makes somebody's
@settings(max_examples=150, deadline=None)
def test_known_labels_are_not_told_again(first: str, second: str) -> None:
    known = classify(first)
    assert known | classify(second, known) == known | classify(second)


SEEDS = [
    "@",
    "a@",
    "a@b.",
    "1",
    "1 ",
    "1-",
    "12 ",
    "4111 1111 ",
    "AA00 ",
    "A",
    "key=",
    "password=x ",
    "password:",
    "token token ",
    "://a:b",
    "://",
    "eyJ",
    "eyJ.",
    "::",
    ":a:",
    "%41",
    "\\u0041",
    "&#65;",
    "QUJD",
    "QUJDREVGR0hJSktMTU5PUA== ",
    "(",
    "{;\n",
    "if (\n",
    "```\n",
    '"""',
    "Mr. A ",
    "born ",
    "patient Anna B. ",
    "CONFIDENTIAL ",
    "confidential ",
    "secret//",
    "a 1 ",
    "Bearer aaaaaa ",
    "-----BEGIN PRIVATE KEY-----",
    "ghp_",
    "ghp_a_",
    "\u200b",
    "а",
    "аa",
    "機密",
    "\U000e0041",
    "account 1 ",
    "cvv ",
    "1.1.",
    "0x",
    "John A",
    "in A, B",
    "A, AA ",
    "3 May ",
    "\xad",
    "é",
    "do not share ",
    "name is A ",
    "c 1",
    "street ",
    "1O",
    "O0O0O0O0O0 ",
    "Aa1-",
    "a" * 30 + "1_",
    "SELECT ",
    "x=1\n",
    "ＡＡ１",
    "curl -u a:b ",
]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hundred_kilobytes_of_anything_end_soon(seed: str) -> None:
    text = (seed * (100_000 // len(seed) + 1))[:100_000]
    scan("warm up")
    began = time.process_time()
    classify(text)
    scan(text)
    assert time.process_time() - began < 1.0


def test_long_text_in_the_middle_is_read() -> None:
    text = "nothing to see here, move along please. " * 5_000
    for tag, value in {"pci": "4111 1111 1111 1111", "credentials": "ghp_a8Kd93kfLs02mXz81QpWv7Rt5Yb3Nc6Ue4Hj"}.items():
        assert tag in classify(text + value + " " + text).names()


PIECES = st.sampled_from(
    [
        *("card 4111 1111 1111 1111", "mail anna@example.org", "call +49 30 1234567", "password = hX72kq9z!pQ"),
        *("CONFIDENTIAL\n", "patient with diabetes mellitus, insulin", "born 3 May 1980", "12 Main Street"),
        *("DE89 3704 0044 0532 0130 00", "def f(x):\n    return x;\n", "cvv 123", "nothing of note"),
        *("my name is Anna Schmidt", "аccount", "\u200b", "2026-07-01T08:00:00Z"),
    ]
)


@given(st.lists(PIECES, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_survey_raises_what_a_scan_raises(pieces: list[str]) -> None:
    text = " and ".join(pieces)
    raising = [one for one in scan(text) if one.confidence >= RAISES]
    surveyed = survey(text)
    assert {one.tag for one in surveyed} == {one.tag for one in raising}
    assert {(one.start, one.end, one.tag, one.kind) for one in surveyed} <= {
        (one.start, one.end, one.tag, one.kind) for one in raising
    }


def test_a_survey_counts_only_so_far() -> None:
    found = survey("mail anna@example.org now\n" * 200 + "card 4111 1111 1111 1111")
    assert sum(one.detector == "email" for one in found) == ENOUGH
    assert any(one.detector == "cards" for one in found)


def test_what_is_known_is_not_surveyed_again() -> None:
    text = "mail anna@example.org, card 4111 1111 1111 1111"
    assert {one.tag for one in survey(text, labels_of(["personal"]))} == {"pci"}
    clinical = "patient with diabetes mellitus on insulin, mail anna@example.org"
    assert "phi" in {one.tag for one in survey(clinical, labels_of(["personal"]))}  # what it rests on is looked for
