"""Patterns and terms of the operator: found, labelled, safe in time, and refused with a reason when they are not."""

from __future__ import annotations

import re
import time
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox.core.labels import labels_of
from signalbox.detectors.custom import custom
from signalbox.detectors.pattern_safety import REPEATS_MAX, UnsafePattern, literal, safe
from signalbox.detectors.scan import Scanner

REFUSED = [
    "",
    "x*",
    "(a+)+b",
    "(a|a)*b",
    "(a|ab)+c",
    ".*.*x",
    r"\d+\d+\d+x",
    "(?=x)y",
    "(?!x)y",
    "(?<=x)y",
    r"(\d)\1",
    "(?P<n>x)",
    "[",
    "(",
    ")",
    "{",
    "a{",
    "*a",
    "^*",
    "a" * 501,
    "((((((((((a))))))))))",
    r"\p",
    "(?s).x",
    "[z-a]",
    "a{1,200}b{1,200}c{1,200}[a-z]{1,60}d",
    "()",
]
ALLOWED = {
    r"EMP-\d{6}": "id EMP-204417 ok",
    r"(?i)project [A-Z]\w+": "the PROJECT Falcon team",
    r"CUST[-_]?\d{4,8}": "CUST_12345",
    r"\w+@\w+\.corp": "ops@intra.corp",
    r"^LOT \d+$": "LOT 4711",
    r"(?:alpha|beta)-\d": "beta-7",
    r"[A-Z]{2}\.\d+": "AB.12",
    r"a\{b": "a{b",
    r"\bX\d\b": "an X7 here",
    r"プロジェクト\d": "プロジェクト7",
}


@pytest.mark.parametrize("pattern", REFUSED)
def test_unsafe_or_unreadable_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(UnsafePattern):
        safe(pattern)
    with pytest.raises(ValueError, match="pattern"):
        custom("mine", "confidential", patterns=[pattern])


@pytest.mark.parametrize(("pattern", "text"), ALLOWED.items())
def test_patterns_find_what_plain_regular_expressions_find(pattern: str, text: str) -> None:
    found = Scanner([custom("mine", "restricted", patterns=[pattern])]).scan(text)
    expected = re.search(pattern, text)
    assert expected is not None
    assert [(one.start, one.end, one.tag) for one in found] == [(*expected.span(), "restricted")]


# Python warns of what it may read otherwise one day, such as `[[`; the product writes these so that it never will.
@pytest.mark.filterwarnings("ignore:Possible (nested set|set ):FutureWarning")
@given(st.text(st.sampled_from("ab1[]()+*?{},|.\\dw-^$ "), min_size=1, max_size=14))
@settings(max_examples=400, deadline=None)
def test_what_is_allowed_is_fast_and_finds_the_same(pattern: str) -> None:
    try:
        source = safe(pattern)
    except UnsafePattern:
        return
    compiled, plain = re.compile(source), re.compile(pattern)
    for text in ("ab1 a1b b-1 {a}", "aab", "1.1", "a b"):
        assert [match.span() for match in compiled.finditer(text)] == [
            match.span() for match in plain.finditer(text)
        ], text
    must = literal(source)
    assert all(must in match[0].lower() for match in compiled.finditer("ab1 a1b b-1 {a},+*? ab11"))
    began = time.process_time()
    for junk in ("a" * 4000, "ab1 " * 1000, "1" * 4000):
        list(compiled.finditer(junk))
    assert time.process_time() - began < 0.5


def test_open_repeats_are_capped() -> None:
    assert safe("ab+") == f"ab{{1,{REPEATS_MAX}}}"


def test_terms_are_whole_words_in_any_case_and_script() -> None:
    detector = custom("terms", "confidential", terms=["Blue Heron", "X-17", "Übermut", "Жёлтый кит", "青い鳥", "nova"])
    scanner = Scanner([detector])
    text = "The BLUE  heron and x-17 of ÜBERMUT, then жёлтый кит and 青い鳥; supernova, novas."
    assert [text[one.start : one.end] for one in scanner.scan(text)] == [
        "BLUE  heron",
        "x-17",
        "ÜBERMUT",
        "жёлтый кит",
        "青い鳥",
    ]
    assert scanner.classify(text) == labels_of(["confidential"])
    assert scanner.classify("a nova burst") == labels_of(["confidential"])


def test_large_dictionaries_cost_lookups_not_searches() -> None:
    scanner = Scanner([custom("big", "internal", terms=[f"codename{i}" for i in range(20_000)])])
    text = "some ordinary words about the weather " * 2_000 + "codename19999"
    began = time.process_time()
    assert scanner.classify(text) == labels_of(["internal"])
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("terms", [[""], ["  "], ["x" * 201], ["--"]])
def test_terms_that_mean_nothing_are_refused(terms: list[str]) -> None:
    with pytest.raises(ValueError, match="terms of mine"):
        custom("mine", "confidential", terms=terms)


def test_unknown_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="hush"):
        custom("mine", "hush", terms=["a"])


@given(st.text(alphabet="[]^-&~|az09\\dw.é ", min_size=1, max_size=10))
@settings(max_examples=500, deadline=None)
@example("[[")
@example("[--")
@example("a--")
@example("a||b")
@example("a&&[b]")
def test_a_class_of_any_signs_means_what_it_says_and_python_warns_of_none(inside: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            source = safe(f"[{inside}]")
        except UnsafePattern:
            return
        ours = re.compile(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = re.compile(f"[{inside}]")
    text = inside + "[]^-&~|az09_bc5\\. éx\n"
    assert ours.findall(text) == theirs.findall(text)
