"""Usage as today's providers tell it, in disjoint classes: nothing lost, nothing counted twice, no false alarm."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.usage import Usage
from signalbox.wire.openai_usage import decode_usage, read_usage, write_usage

OPENAI = {
    "prompt_tokens": 1117, "completion_tokens": 46, "total_tokens": 1163,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 0, "accepted_prediction_tokens": 5,
                                  "rejected_prediction_tokens": 2},
}  # fmt: skip
OPENAI_AUDIO = {
    "prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160,
    "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 20, "audio_tokens": 80, "image_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "text_tokens": 20, "audio_tokens": 40},
}  # fmt: skip
DEEPSEEK = {
    "prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130, "prompt_cache_hit_tokens": 64,
    "prompt_cache_miss_tokens": 36, "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 20},
}  # fmt: skip
GROQ = {
    "queue_time": 0.03, "prompt_tokens": 50, "prompt_time": 0.01, "completion_tokens": 7, "completion_time": 0.02,
    "total_tokens": 57, "total_time": 0.03, "prompt_tokens_details": {"cached_tokens": 10},
}  # fmt: skip
OPENROUTER = {
    "prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.95, "is_byok": False,
    "cost_details": {"upstream_inference_cost": 19, "upstream_inference_prompt_cost": 0.1},
    "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 100, "audio_tokens": 0, "video_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0},
}  # fmt: skip


def told(prompt: int, completion: int, total: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
        **more,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(OPENAI, Usage(tokens_in=93, cache_read=1024, tokens_out=16, reasoning=30), id="openai"),
        pytest.param(OPENAI_AUDIO, Usage(tokens_in=20, audio_in=80, tokens_out=20, audio_out=40), id="openai-audio"),
        pytest.param(DEEPSEEK, Usage(tokens_in=36, cache_read=64, tokens_out=10, reasoning=20), id="deepseek"),
        pytest.param(
            {k: v for k, v in DEEPSEEK.items() if not k.endswith("details")},
            Usage(tokens_in=36, cache_read=64, tokens_out=30),
            id="deepseek-old",
        ),
        pytest.param(GROQ, Usage(tokens_in=40, cache_read=10, tokens_out=7), id="groq"),
        pytest.param(
            told(9, 5, prompt_audio_seconds=None, num_cached_tokens=4), Usage(tokens_in=5, cache_read=4, tokens_out=5),
            id="mistral",
        ),
        pytest.param(told(9, 5, cached_tokens=3), Usage(tokens_in=6, cache_read=3, tokens_out=5), id="together"),
        pytest.param(
            told(9, 5, prompt_tokens_details=None), Usage(tokens_in=9, tokens_out=5), id="vllm"
        ),
        pytest.param(told(26, 298), Usage(tokens_in=26, tokens_out=298), id="ollama"),
        pytest.param(
            told(9, 5, prompt_tokens_details=None, reasoning_tokens=2), Usage(tokens_in=9, tokens_out=3, reasoning=2),
            id="sglang",
        ),
        pytest.param(
            OPENROUTER, Usage(tokens_in=44, cache_read=50, cache_write_5m=100, tokens_out=2), id="openrouter"
        ),
        pytest.param(
            told(32, 9, 135, completion_tokens_details={"reasoning_tokens": 94}, num_sources_used=0,
                 prompt_tokens_details={"text_tokens": 32, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 6}),
            Usage(tokens_in=26, cache_read=6, tokens_out=9, reasoning=94), id="xai-reasoning-outside",
        ),
        pytest.param(told(10, 20, 130), Usage(tokens_in=10, tokens_out=20, reasoning=100), id="gemini-thoughts-hidden"),
        pytest.param(
            told(100, 5, prompt_tokens_details={"cached_tokens": 40, "cache_creation_input_tokens": 50,
                 "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20}}),
            Usage(tokens_in=10, cache_read=40, cache_write_5m=30, cache_write_1h=20, tokens_out=5), id="qwen-writes",
        ),
        pytest.param(
            told(10, 5, 115, cache_read_input_tokens=100), Usage(tokens_in=10, cache_read=100, tokens_out=5),
            id="cached-outside",
        ),
        pytest.param({"prompt_tokens": 8, "total_tokens": 8}, Usage(tokens_in=8), id="embeddings"),
        pytest.param(told(0, 0), Usage(), id="an-explicit-zero-stays-zero"),
        pytest.param(told(8.0, 2.0), Usage(tokens_in=8, tokens_out=2), id="floats"),
    ],
)  # fmt: skip
def test_providers_are_understood_without_alarm(fields: dict[str, Any], expected: Usage) -> None:
    assert read_usage(fields) == expected
    assert decode_usage(msgspec.Raw(msgspec.json.encode(fields))) == expected


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"prompt_audio_seconds": 12}, ("prompt_audio_seconds",)),
        ({"prompt_tokens_details": {"film_tokens": 5}}, ("prompt_tokens_details.film_tokens",)),
        ({"server_tool_use": {"dives": 5}}, ("server_tool_use.dives",)),
        ({"cached_tokens": "7"}, ("cached_tokens",)),
        ({"cached_tokens": -7}, ("cached_tokens",)),
        ({"new_class": {"tokens": 1}}, ("new_class",)),
        ({"new_class": 0, "other": None, "third": {}}, ()),
    ],
)
def test_what_may_cost_money_raises_an_alarm(more: dict[str, Any], names: tuple[str, ...]) -> None:
    usage = read_usage(told(10, 5, **more))
    assert usage is not None
    assert usage.unknown == names


@pytest.mark.parametrize(
    "value", [None, [], "x", {}, {"prompt_tokens": None}, {"prompt_tokens": "10"}, {"prompt_tokens": -1}]
)
def test_no_usage_rather_than_a_wrong_one(value: object) -> None:
    assert read_usage(value) is None


counts = st.integers(0, 1 << 40)


@given(st.builds(Usage, counts, counts, counts, st.just(0), counts, counts, counts, counts))
def test_what_is_written_reads_the_same(usage: Usage) -> None:
    told = write_usage(usage)
    assert read_usage(told) == usage
    assert decode_usage(msgspec.Raw(msgspec.json.encode(told))) == usage


junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.dictionaries(st.text(max_size=3), st.integers())
)
names = st.sampled_from(
    [*OPENAI, *DEEPSEEK, *GROQ, "reasoning_tokens", "cached_tokens", "cache_creation", "input_tokens"]
)


@given(
    st.dictionaries(
        names,
        junk
        | st.dictionaries(
            st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens", "cache_write_tokens"]), junk
        ),
    )
)
def test_junk_never_gives_a_negative_class(fields: dict[str, Any]) -> None:
    usage = read_usage(fields)
    if usage is not None:
        assert min(usage.tokens_in, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.tokens_out,
                   usage.reasoning, usage.audio_in, usage.audio_out) >= 0  # fmt: skip
