"""The token estimate is never below the truth on ordinary text in many scripts, code, tools and images.

golden/token_counts.json holds texts with their counts by the one tokenizer that this API's provider ever published.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from signalbox.wire.tokens import estimate, text_tokens

COUNTED = json.loads((Path(__file__).parent / "golden" / "token_counts.json").read_text())
# Later generations of the tokenizer split finer than the published one; random letters are no text to them either.
MARGIN = 1.1


def _doc(*blocks: Any, **extra: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(blocks)}], **extra}


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: row["name"])
def test_never_below_the_truth(row: dict[str, Any]) -> None:
    assert text_tokens(row["text"]) >= row["tokens"] * MARGIN


def test_the_set_is_large_and_the_estimate_is_of_use() -> None:
    ratios = [text_tokens(row["text"]) / row["tokens"] for row in COUNTED]
    assert len(ratios) >= 100
    assert median(ratios) < 2.2
    assert max(ratios) < 6


def test_every_place_of_text_counts() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 20
    one = text_tokens(text)
    places: list[dict[str, Any]] = [
        _doc({"type": "text", "text": text}),
        {"messages": [{"role": "user", "content": text}]},
        _doc(system=text),
        _doc(system=[{"type": "text", "text": text}]),
        _doc({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": text}]}),
        _doc({"type": "tool_use", "id": "t", "name": "n", "input": {"a": {"b": text}}}),
        _doc({"type": "thinking", "thinking": text, "signature": "s"}),
        _doc({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}),
        _doc({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": text}]}}),
        _doc({"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": text}]}),
        _doc({"type": "of_a_later_version", "somewhere": {"inside": [text]}}),
        _doc(tools=[{"name": "f", "description": text, "input_schema": {"type": "object"}}]),
        _doc(output_config={"format": {"type": "json_schema", "schema": {"description": text}}}),
    ]
    for doc in places:
        assert one <= estimate(doc) < one + 1500, doc


def test_tools_carry_the_preamble_that_the_provider_adds() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    assert estimate(_doc(tools=[tool])) - estimate(_doc()) >= 900
    assert estimate(_doc(tools=[tool] * 9)) > estimate(_doc(tools=[tool]))


def test_images_cost_what_the_largest_costs_whatever_their_bytes() -> None:
    small = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100}}
    large = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 2_000_000}}
    remote = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    assert estimate(_doc(small)) == estimate(_doc(large)) == estimate(_doc(remote)) >= 4800
    assert estimate(_doc(small, large)) >= 9600


def test_documents_cost_by_page() -> None:
    def pdf(data: bytes) -> dict[str, Any]:
        source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(data).decode()}
        return _doc({"type": "document", "source": source})

    page = 7800
    assert estimate(pdf(b"%PDF /Type /Pages /Type /Page x /Type/Page\n")) // page == 2
    assert estimate(pdf(b"\0" * 50_000)) // page == 5
    for source in ({"type": "url", "url": "https://example.com/a.pdf"}, {"type": "base64", "data": "é"}, {}):
        assert estimate(_doc({"type": "document", "source": source})) >= 100 * page


@pytest.mark.parametrize(
    "doc", [{}, {"messages": None}, {"messages": [None, 3, "x"]}, {"system": 4}, {"tools": "x"}, _doc(None, 5, [[]])]
)
def test_odd_bodies_still_have_an_estimate(doc: dict[str, Any]) -> None:
    assert estimate(doc) > 0
