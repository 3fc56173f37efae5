"""Token bounds against five tokenizers in use, and against what providers say of tools and images.

golden/tokenizer_counts.json holds texts of 97 kinds and scripts (those without a text are in token_counts.json) with
their counts by cl100k, o200k, Tekken, DeepSeek's and the one that Anthropic published.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from signalbox.wire.image_tokens import UNKNOWN_MODEL, image_tokens
from signalbox.wire.tokens import bound, estimate, text_tokens

GOLDEN = Path(__file__).parent / "golden"
TEXTS = {row["name"]: row["text"] for row in json.loads((GOLDEN / "token_counts.json").read_text())}
COUNTED = [
    (row["name"], row.get("text") or TEXTS[row["name"]], row["counts"])
    for row in json.loads((GOLDEN / "tokenizer_counts.json").read_text())
]
TOKENIZERS = ("cl100k", "o200k", "tekken", "deepseek", "claude-2")
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.mark.parametrize(("name", "text", "counts"), COUNTED, ids=[name for name, *_ in COUNTED])
def test_no_tokenizer_counts_more_than_the_bound(name: str, text: str, counts: dict[str, int]) -> None:
    assert tuple(counts) == TOKENIZERS
    assert text_tokens(text) >= max(counts.values())


def test_how_loose_the_bound_is() -> None:
    ratios = [text_tokens(text) / max(counts.values()) for _, text, counts in COUNTED]
    assert len(ratios) >= 150
    assert median(ratios) < 1.7
    assert max(ratios) < 5


def bodies(text: str, **more: Any) -> list[dict[str, Any]]:
    """The same text as the prompt of each API, with system prompt and history."""
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    parts = [{"role": "user", "content": [{"type": "text", "text": text}, {"type": "text", "text": text}]}]
    return [
        {"model": "m", "messages": turns, **more},
        {"model": "m", "messages": parts, **more},
        {"model": "m", "system": text, "messages": turns[:1], "max_tokens": 5, **more},
        {"model": "m", "instructions": text, "input": text, **more},
        {"model": "m", "input": [{"type": "function_call_output", "call_id": "c", "output": text * 2}], **more},
        {"model": "m", "prompt": [text, text], **more},
    ]


@pytest.mark.parametrize(("name", "text", "counts"), COUNTED, ids=[name for name, *_ in COUNTED])
def test_a_body_of_any_api_is_bounded(name: str, text: str, counts: dict[str, int]) -> None:
    # developers.openai.com/cookbook: 3 tokens a message and 3 for the answer; functions cost 12 and 7 + 3 + 3 each.
    truth = 2 * max(counts.values()) + 2 * 3 + 3
    for doc in bodies(text):
        assert bound(doc, 0) >= truth
    for doc in bodies(text, tools=[TOOL] * 3):
        # Anthropic's preamble for tools is at most 530 tokens (platform.claude.com, "Tool use pricing").
        assert bound(doc, 0) >= truth + 530 + 3 * 30


# What pages of providers give as examples, or their formula at the largest image that it knows.
IMAGES = [
    ("gpt-4o", 765),  # 1024 × 1024 at high detail
    ("gpt-4o-2024-08-06", 1105),  # 2048 × 4096
    ("gpt-4o-mini", 2_833 + 4 * 5_667),
    ("gpt-4o-mini-2024-07-18", 2_833 + 8 * 5_667),
    ("openai/gpt-4.1-mini", math.ceil(1_452 * 1.62)),  # 1800 × 2400
    ("gpt-4.1-nano", math.ceil(1_536 * 2.46)),
    ("o4-mini", math.ceil(1_536 * 1.72)),
    ("o1", 75 + 8 * 150),
    ("gpt-5", 70 + 8 * 140),
    ("claude-sonnet-4-5", math.ceil(1_092 * 1_092 / 750)),
    ("anthropic/claude-opus-4-7", 4_784),
    ("gemini-2.5-flash", 258 * 6),
    ("Qwen/Qwen2-VL-7B-Instruct", 16_384),
]


@pytest.mark.parametrize(("model", "most"), IMAGES)
def test_an_image_is_bounded_by_what_its_provider_says(model: str, most: int) -> None:
    assert image_tokens(model) >= most


@pytest.mark.parametrize("data", [PIXEL, PIXEL * 3000])
def test_an_image_counts_once_wherever_it_is_and_whatever_its_bytes(data: str) -> None:
    url, each = f"data:image/png;base64,{data}", image_tokens("gpt-4o")
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_image", "image_url": url},
        {"type": "input_image", "image_url": "https://example.com/a.png"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    ]
    for part in parts:
        one = bound({"messages": [{"role": "user", "content": [part]}]}, each)
        assert each <= one < 2 * each, part
        three = bound({"messages": [{"role": "user", "content": [part] * 3}]}, each)
        assert 3 * each <= three < 4 * each, part


def test_a_model_that_nobody_knows_gets_the_most() -> None:
    assert image_tokens("my-own-model") == UNKNOWN_MODEL == max(16_384, image_tokens("claude-x"))


def test_both_estimates_hold_each_other() -> None:
    for _, text, counts in COUNTED:
        doc = {"model": "m", "messages": [{"role": "user", "content": text}], "system": text, "tools": [TOOL]}
        assert min(estimate(doc), bound(doc, 0)) >= 2 * max(counts.values()) + 530


@pytest.mark.parametrize(
    "doc", [{}, {"messages": None}, {"messages": [None, 3, [[]]]}, {"image_url": 5}, {"source": {}}]
)
def test_odd_bodies_have_a_bound(doc: dict[str, Any]) -> None:
    assert bound(doc, 100) > 0
