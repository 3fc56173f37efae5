"""What an input is reserved and booked at, against five tokenizers: never below what any of them counts.

The fixtures are those of tests/wire/test_token_bounds.py: 97 kinds and scripts of text with their counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.ledger.estimate import Calibration
from signalbox.wire.tokens import body_bound, bound, kind_of, text_bound

GOLDEN = Path(__file__).parents[1] / "wire" / "golden"
TEXTS = {row["name"]: row["text"] for row in json.loads((GOLDEN / "token_counts.json").read_text())}
COUNTED: list[tuple[str, str, dict[str, int]]] = [
    (row["name"], row.get("text") or TEXTS[row["name"]], row["counts"])
    for row in json.loads((GOLDEN / "tokenizer_counts.json").read_text())
]
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
# What a provider adds: 4 a message and 3 for the answer, and for tools a preamble of 530 and 30 for this one.
MESSAGE, ANSWER, PREAMBLE, TOOL_TOKENS = 4, 3, 530, 30


def body(text: str, times: int = 1, *, escaped: bool = False, **more: Any) -> bytes:
    """A request that holds a text so often, each time in a message of its own, so that its count is a multiple."""
    doc = {"model": "m", "messages": [{"role": "user", "content": text}] * times, **more}
    return json.dumps(doc, ensure_ascii=escaped).encode()


def truth(count: int, times: int) -> int:
    return (count + MESSAGE) * times + ANSWER


@pytest.mark.parametrize(("name", "text", "counts"), COUNTED, ids=[name for name, *_ in COUNTED])
def test_no_tokenizer_counts_more_than_what_a_hard_budget_reserves(
    name: str, text: str, counts: dict[str, int]
) -> None:
    """Short bodies and long ones, written plainly, escaped or spaced out, with tools and without."""
    most = max(counts.values())
    for times in (1, 3, 40):
        for escaped in (False, True):
            assert body_bound(body(text, times, escaped=escaped), tools=False) >= truth(most, times)
            told = body(text, times, escaped=escaped, tools=[TOOL] * 3)
            assert body_bound(told, tools=True) >= truth(most, times) + PREAMBLE + 3 * TOOL_TOKENS
        spaced = json.dumps(json.loads(body(text, times)), indent=4).encode()
        assert body_bound(spaced, tools=False) >= truth(most, times)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(COUNTED), min_size=1, max_size=6), st.integers(1, 20), st.booleans())
def test_any_mixture_is_bounded(parts: list[tuple[str, str, dict[str, int]]], times: int, escaped: bool) -> None:
    """Texts of several kinds in one body, each in a message of its own."""
    messages = [{"role": "user", "content": text} for _, text, _ in parts] * times
    for tokenizer in parts[0][2]:
        count = sum(counts[tokenizer] + MESSAGE for *_, counts in parts) * times + ANSWER
        assert (
            body_bound(json.dumps({"model": "m", "messages": messages}, ensure_ascii=escaped).encode(), tools=False)
            >= count
        )


TEXT = st.text(max_size=400)
DOCS = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(st.fixed_dictionaries({"role": TEXT, "content": TEXT}), max_size=8)},
    optional={"tools": st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=3), "max_tokens": st.integers()},
)


@settings(max_examples=200)
@given(DOCS, st.booleans())
def test_bytes_bound_what_the_parsed_body_is_bounded_by(doc: dict[str, Any], escaped: bool) -> None:
    """Longer bodies are weighed as the parsed ones are, and never lighter."""
    doc["padding"] = "and so on " * 420
    raw = json.dumps(doc, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    assert body_bound(raw, tools=bool(doc.get("tools"))) >= bound(doc, 0)


def gross(name: str) -> str:
    """Kinds that no line may be carried over between, in the words of a person."""
    for mark, group in GROUPS.items():
        if name.removesuffix(" in a prompt") in mark.split():
            return group
    return ""


GROUPS = {
    "legal es de fr it pt nl": "prose",
    "zh zh-tw ja ko": "cjk",
    "digits nums csv": "digits",
    "punct regex": "punctuation",
    "hi bn ta te ml th km lo bo": "brahmic",
    "emoji": "emoji",
    "hex b64 uuid": "keys",
}


@pytest.mark.parametrize("tokenizer", list(COUNTED[0][2]))
def test_what_was_learnt_of_one_kind_says_nothing_of_another(tokenizer: str) -> None:
    """Learnt from one text at many lengths, asked about another: where nothing is known of its kind, nothing is told,
    and the bound by content holds."""
    crossed = 0
    for learnt, text, counts in COUNTED:
        if not gross(learnt) or learnt.endswith("prompt"):
            continue
        meter = Calibration()
        for times in range(1, 13):
            sent = body(text, times)
            meter.observe_in(len(sent), truth(counts[tokenizer], times), kind_of(sent))
        for asked, other, told in COUNTED:
            if not gross(asked) or asked.endswith("prompt") or gross(asked) == gross(learnt):
                continue
            for times in (2, 5, 10):
                sent = body(other, times)
                kind = kind_of(sent)
                known = meter.tokens_known(len(sent), kind) > 0
                found = meter.tokens_in(len(sent), kind) if known else body_bound(sent, tools=False)
                assert found >= truth(told[tokenizer], times), (learnt, asked, times)
                crossed += 1
    assert crossed > 500


@pytest.mark.parametrize(("name", "text", "counts"), COUNTED, ids=[name for name, *_ in COUNTED])
def test_a_line_holds_for_what_it_was_learnt_from(name: str, text: str, counts: dict[str, int]) -> None:
    """And is close: this is what a cut attempt is booked at. On the border of two kinds it may be neither's."""
    meter = Calibration()
    for times in range(3, 60):
        sent = body(text, times)
        meter.observe_in(len(sent), truth(max(counts.values()), times), kind_of(sent))
    sent = body(text, 40)
    count = truth(max(counts.values()), 40)
    if meter.tokens_known(len(sent), kind_of(sent)):
        assert count <= meter.tokens_in(len(sent), kind_of(sent)) <= 1.05 * count + 4
    else:
        assert gross(name) != "prose"
        assert body_bound(sent, tools=False) >= count


def test_kinds_are_bounded() -> None:
    meter = Calibration()
    for kind in range(10_000):
        for _ in range(8):
            meter.observe_in(100, 20, kind)
    assert meter.tokens_known(100, 9_999)
    assert sum(meter.tokens_known(100, kind) > 0 for kind in range(10_000)) <= 128
    assert not meter.tokens_known(100, 5)


@pytest.mark.parametrize(("name", "text", "counts"), COUNTED, ids=[name for name, *_ in COUNTED])
def test_a_short_body_that_was_cut_is_booked_by_its_characters(name: str, text: str, counts: dict[str, int]) -> None:
    """Where its provider counted nothing of the kind yet: above every tokenizer, and below a token a byte where it can
    be, which a hard budget reserves."""
    most = max(counts.values())
    for times in (1, 2, 5):
        for escaped in (False, True):
            sent = body(text, times, escaped=escaped)
            assert text_bound(sent, tools=False) >= truth(most, times)
            told = body(text, times, escaped=escaped, tools=[TOOL])
            assert text_bound(told, tools=True) >= truth(most, times) + PREAMBLE + TOOL_TOKENS
