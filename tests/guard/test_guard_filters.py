"""What the filters of answers take out, what they leave, and that nothing of it slips through a split."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guard.streams import called
from tests.guard.test_guard_seams import snapshot_of

from conversations import PATHS, wanting
from signalbox.core.guards import Channel, Guarded
from signalbox.guard.room import GuardRoom
from signalbox.guard.screen import Screen

_DRAW = random.Random(7)
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789"


def drawn(count: int) -> str:
    return "".join(_DRAW.choice(_LETTERS) for _ in range(count))


# Built here, so that no scanner takes this file for a leak.
KEYS = {
    "github-token": "ghp_" + drawn(36),
    "openai-key": "sk-proj-" + drawn(40),
    "aws-key-id": "AKIA" + drawn(16).upper().replace("0", "X"),
    "jwt": "eyJ" + drawn(20) + "." + drawn(30) + "." + drawn(30),
}
SAID = {
    **{kind: (f"Use {value} for that, please.", value) for kind, value in KEYS.items()},
    "assigned": (f'password: "{(quoted := drawn(14))}" works.', quoted),
    "sql": (f"CREATE USER app IDENTIFIED BY '{(known := drawn(9))}' works.", known),
    "command": (f"curl -u bob:{(word := drawn(9))} https://db.example.org works.", word),
    "url-password": (f"See https://bob:{(login := drawn(12))}@db.example.org/x there.", login),
}


def screened(
    guard: Any, pieces: list[str], kind: str = "text", doc: dict[str, Any] | None = None
) -> tuple[str, Guarded]:
    snapshot = snapshot_of(guard)
    record = Guarded()
    screen = Screen(GuardRoom(snapshot).of("g"), called(snapshot, "g", "chat", doc), record)
    channel = Channel(kind)
    out = ""
    for piece in pieces:
        out += screen.feed(channel, piece)
    out += screen.end(channel)
    screen.over()
    return out, record


def cut_at(text: str, places: list[int]) -> list[str]:
    marks = [0, *sorted(places), len(text)]
    return [text[a:b] for a, b in pairwise(marks) if b > a]


@pytest.mark.parametrize("kind", list(SAID))
def test_no_piece_of_a_secret_is_shown_however_it_is_split(kind: str) -> None:
    text, value = SAID[kind]
    whole, record = screened("no-secrets", [text])
    assert value not in whole
    assert whole.startswith(text[: text.index(value)])
    assert whole.endswith(text[text.index(value) + len(value) :][-6:])
    assert sum(record.counts.values()) == 1
    for places in ([at] for at in range(1, len(text), 3)):
        assert screened("no-secrets", cut_at(text, places))[0] == whole, places
    assert screened("no-secrets", list(text))[0] == whole


@pytest.mark.parametrize(
    "text",
    [
        "The key idea is that a token is a word, and the password policy asks for twelve characters.",
        "Set `max_tokens` to 500 and call https://api.example.org/v1/chat/completions with it.",
        "Users are identified by case-sensitive names, and live under /users.",
        'string sKey = "j$8l0*kw";',
        "def add(a: int, b: int) -> int:\n    return a + b  # keys are ids, such as item_42\n",
    ],
)
def test_what_holds_no_secret_is_left_alone(text: str) -> None:
    for pieces in ([text], list(text), [text[at : at + 5] for at in range(0, len(text), 5)]):
        assert screened("no-secrets", pieces)[0] == text


PERSONAL = {
    "email": ("Write to jane.roe@example.org today.", "jane.roe@example.org"),
    "visa": ("The card 4111 1111 1111 1111 was charged.", "4111 1111 1111 1111"),
    "iban": ("Pay to DE89 3704 0044 0532 0130 00 by Monday.", "DE89 3704 0044 0532 0130 00"),
}


@pytest.mark.parametrize("kind", list(PERSONAL))
def test_personal_data_is_taken_out_unless_the_caller_said_it(kind: str) -> None:
    text, value = PERSONAL[kind]
    whole, record = screened("no-personal-data", [text])
    assert value not in whole
    assert record.counts
    for pieces in (list(text), *(cut_at(text, [at]) for at in range(1, len(text)))):
        assert screened("no-personal-data", pieces)[0] == whole, pieces
    known = {"model": "g", "messages": [{"role": "user", "content": f"about {value.replace(' ', '')} I ask"}]}
    if kind == "email":
        known = {"model": "g", "messages": [{"role": "user", "content": f"about {value.upper()} I ask"}]}
    if kind != "iban":
        assert screened("no-personal-data", list(text), doc=known)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-09 07:29:04 status half-configured libgsm1 gsm:amd64 1.0.22-1",
        "Ask the front desk. 'start_time': '2022-02-22 16:00', 'end_time': '2022-02-22 17:00'",
        "    fullName = ModelicaAllocateString(strlen(cwd) + 1);",
    ],
)
def test_what_holds_no_personal_data_is_left_alone(text: str) -> None:
    for pieces in ([text], list(text), [text[at : at + 24] for at in range(0, len(text), 24)]):
        assert screened("no-personal-data", pieces)[0] == text


def test_a_name_in_quotes_is_taken_out_without_them() -> None:
    text = "{'from': 'a.roe@example.org', 'patient': 'John Doe', 'day': 'Monday'}"
    for pieces in ([text], list(text), [text[at : at + 24] for at in range(0, len(text), 24)]):
        assert "'patient': '[name removed]', 'day'" in screened("no-personal-data", pieces)[0], pieces


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I'm sorry, but I can't help with that.", {"signals.refused:flag@text": 1}),
        ("Es tut mir leid, aber dabei kann ich dir nicht helfen.", {"signals.refused:flag@text": 1}),
        ("Sorry for the wait! Here is the list you wanted.", {}),
        ("  \n", {"signals.empty:flag@text": 1}),
        ("A can is not a bottle.", {}),
    ],
)
def test_refusals_and_empty_answers_are_signals(text: str, said: dict[str, int]) -> None:
    for pieces in ([text], list(text)):
        out, record = screened("signals", pieces)
        assert out == text
        assert record.counts == said


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_patterns_find_the_same_wherever_a_text_is_split(data: st.DataObject) -> None:
    guard = {
        "name": "forbidden-text",
        "patterns": {"case": r"\bC-\d{2,4}(?:-[a-f]{1,3})?\b", "pair": "ab{1,3}c"},
        "strings": ["abba"],
    }
    text = data.draw(st.lists(st.sampled_from(["C-12", "C-1234-ab", "-", " ", "abbc", "abba", "ab", "c", "9", "f"]),
                              max_size=12).map("".join))  # fmt: skip
    places = data.draw(st.lists(st.integers(0, max(0, len(text))), max_size=8))
    assert screened(guard, cut_at(text, places))[0] == screened(guard, [text] if text else [])[0]


def test_a_pattern_without_a_length_limit_is_refused_at_load() -> None:
    with pytest.raises(Exception, match="no upper bound"):
        snapshot_of({"name": "forbidden-text", "patterns": {"any": "secret-.*"}})
    with pytest.raises(Exception, match="needs `strings` or `patterns`"):
        snapshot_of("forbidden-text")


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize(
    ("text", "said"), [('{"n": 1}', ""), ('{"n": "1"}', "does-not-fit"), ("{}", "does-not-fit"), ('{"n": ', "not-json")]
)
def test_answers_that_are_not_the_json_that_was_asked_for_are_told(api: str, text: str, said: str) -> None:
    wanted = {f"valid-json.{said}:flag@text": 1} if said else {}
    for pieces in ([text], list(text)):
        out, record = screened("valid-json", pieces, doc={"model": "g", **wanting(api, SCHEMA)})
        assert out == text
        assert record.counts == wanted
    assert screened("valid-json", ["no JSON at all"])[1].counts == {}


@pytest.mark.parametrize(
    ("pieces", "at_once"),
    [
        (["Sure", ", here"], "Sure"),  # words that say nothing about anybody
        (["The", " minutes"], "The"),
        (["Please ", "summarise"], "Please "),  # a word with a capital is no name
        (["Jane ", "Roe said"], ""),  # this one is
        (["Patient: Xeno ", "Roe said"], "Patient: "),  # and this one was announced as one
        (["jane.roe", "@example.org"], ""),
    ],
)
def test_the_first_word_waits_only_where_it_may_tell_of_somebody(pieces: list[str], at_once: str) -> None:
    snapshot = snapshot_of("no-personal-data")
    screen = Screen(GuardRoom(snapshot).of("g"), called(snapshot, "g", "chat"), Guarded())
    assert screen.feed(Channel("text"), pieces[0]) == at_once
