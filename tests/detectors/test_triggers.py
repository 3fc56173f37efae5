"""What the gate asks of bytes before anything is looked for: no trigger is narrower than what it stands for."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox.detectors import engine, lexicon, secret_tokens
from signalbox.detectors.normalise import CONFUSED, digits_mended, may_confuse
from signalbox.detectors.numbers import NUMBER
from signalbox.detectors.table import DETECTORS
from signalbox.detectors.triggers import Triggers
from signalbox.detectors.view import TOKEN, View

EXACT = [(pattern, 1 << at) for at, one in enumerate(DETECTORS) for pattern in one.triggers]
FORMS = [(pattern, 1 << 23) for one in DETECTORS for pattern in one.forms]
LOOSE = [(TOKEN, 1 << 20), (NUMBER, 1 << 21), (CONFUSED, 1 << 22), *FORMS]
ALL_LOOSE = 15 << 20
SEEN = Triggers(EXACT, LOOSE)
needs_engine = pytest.mark.skipif(engine.engine() == "split", reason="the extra `fast` is not installed")

pieces = st.lists(
    st.one_of(
        st.text("0123456789OlIoAZÉ .-/()+\t\xa0\n_x", max_size=24),
        st.sampled_from(
            ["4111 1111 1111 1111", "1.2.3.4", "AB 12 34 56 C", "ABCPE1234F", "O", "l", "-----BEGIN", "://", "::1", "@"]
        ),
        st.sampled_from(["ghp_" + "aB3" * 13, "MSG." + "x1" * 12, "eyJ" + "b" * 9, "sk-", "oy2", "_ghp_a1b2c3d4e5f6"]),
        st.sampled_from(["#!/", "# a!1 /", "%41", "/api/webhooks/", "hooks.slack.com/", "a" * 16, "x-" * 9]),
        st.text(max_size=8),
    ),
    max_size=12,
).map("".join)


@needs_engine
@settings(max_examples=400, deadline=None)
@given(pieces)
@example("")
@example("ABCPE1234F")
@example("1234\u00a05678.9O1")
def test_the_engine_sees_what_searching_sees(text: str) -> None:
    raw = text.encode("latin-1", "replace")
    expected = sum({bit for pattern, bit in (*EXACT, *LOOSE) if re.search(pattern, raw)})
    assert SEEN.seen(raw) == expected


@settings(max_examples=400, deadline=None)
@given(pieces)
@example("AAA000000")
@example("1 A 2 B 3 C 4 D 5")
@example("0.0.0.0")
@example("12345678O")
def test_nothing_is_there_without_its_trigger(text: str) -> None:
    view = View(text)
    if not re.search(NUMBER, view.flat):
        assert not view.kinds
        assert not view.numbers
    if not re.search(TOKEN, view.flat):
        assert not view.tokens
    if not re.search(CONFUSED, view.flat):
        assert not may_confuse(view.flat, view.shape) or digits_mended(text, view.flat) == text


def test_without_the_engine_what_only_saves_work_is_taken_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_engine", None)
    searched = Triggers(EXACT, LOOSE)
    for text in (b"prose", b"4111 1111 1111 1111 a@b.org", b"#!/bin/sh", b"-----BEGIN "):
        exact = sum({bit for pattern, bit in EXACT if re.search(pattern, text)})
        assert searched.seen(text) == exact | ALL_LOOSE


def test_every_language_abroad_is_told_by_its_letters() -> None:
    wide = lexicon.WideLexicon(())
    for letters in ("糖尿病", "カルテ", "환자", "пациент", "مريض", "रोगी", "hastalığı", "ışık", "Şeker", "AĞRI"):
        for letter in letters:
            if not letter.isascii() and max(letter.encode()) >= 0xC4:
                assert wide.seen(f"x {letter} y".encode()) & lexicon.ABROAD
    if engine.engine() != "split":
        assert not wide.seen("Zażółć gęślą jaźń – Ångström, őű".encode()) & lexicon.ABROAD


# Every form of a key that is known, written out, in words that it may be glued to.
keys = st.one_of([st.from_regex(re.escape(prefix) + rest, fullmatch=True) for prefix, rest, *_ in secret_tokens.KNOWN])


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(["", " ", "MY", "key_", "a1-", "é", ".", "x.", "K.K_"]), keys, st.sampled_from(["", " ", "-", "!"])
)
def test_no_key_is_found_without_its_trigger(before: str, key: str, after: str) -> None:
    view = View(f"{before}{key}{after}")
    view.keyed = False  # links and key blocks have triggers of their own
    found = [one for one in secret_tokens.find(view) if one.kind in KINDS]
    assert not found or any(re.search(pattern, view.flat) for pattern, _ in FORMS)


KINDS = frozenset(kind for _, _, kind, _ in secret_tokens.KNOWN)
