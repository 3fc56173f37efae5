"""Anthropic usage in disjoint classes: what each field means, merged over a stream, never lower, never ignored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.stream import Seen, SseEvent
from signalbox.core.usage import Usage
from signalbox.wire.anthropic_messages import COUNT_TOKENS, MESSAGES


def _answer(usage: Any, **extra: Any) -> bytes:
    content = [{"type": "text", "text": "four"}]
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content}
    return json.dumps(answer | {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage} | extra).encode()


def _usage(usage: Any) -> Usage:
    seen = MESSAGES.seen(_answer(usage))
    assert seen.ok
    assert seen.usage is not None
    return seen.usage


def test_whole_answer() -> None:
    seen = MESSAGES.seen(_answer({"input_tokens": 3, "output_tokens": 5}))
    usage = Usage(tokens_in=3, tokens_out=5)
    assert seen == Seen(content=True, content_chars=4, finished=True, end=True, usage=usage, model="claude-x")


TODAY = {
    "input_tokens": 100,
    "cache_read_input_tokens": 40,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 35},
    "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 2},
    "service_tier": "standard",
    "inference_geo": "not_available",
    "speed": "standard",
    "iterations": [{"type": "message", "input_tokens": 100, "output_tokens": 50}],
    "fallback_credit": None,
}


def test_todays_fields_are_disjoint_and_raise_no_alarm() -> None:
    usage = _usage(TODAY)
    assert usage == Usage(
        tokens_in=100, cache_read=40, cache_write_5m=10, cache_write_1h=20, tokens_out=15, reasoning=35
    )
    assert usage.input_total == 170
    assert usage.output_total == 50


def test_writes_without_a_split_are_five_minute_writes() -> None:
    usage = _usage({"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 9})
    assert (usage.cache_write_5m, usage.cache_write_1h) == (9, 0)


def test_new_fields_raise_an_alarm_unless_they_say_nothing() -> None:
    usage = _usage(
        TODAY
        | {"quantum_tokens": 4, "nothing": 0, "null": None}
        | {"output_tokens_details": {"thinking_tokens": 1, "dream_tokens": 2}}
        | {"server_tool_use": {"web_search_requests": 0, "telepathy_requests": 1}}
    )
    assert usage.unknown == (
        "quantum_tokens",
        "output_tokens_details.dream_tokens",
        "server_tool_use.telepathy_requests",
    )


def test_new_fields_inside_a_step_break_nothing() -> None:
    step = {"type": "message", "new": 1, "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1d": 2}}
    assert _usage(TODAY | {"iterations": [step]}) == _usage(TODAY)


def test_charges_that_no_class_can_hold_raise_an_alarm() -> None:
    steps = [{"type": "advisor_message", "model": "other", "input_tokens": 5, "output_tokens": 5}]
    usage = _usage(TODAY | {"server_tool_use": {"web_search_requests": 2}, "speed": "fast", "iterations": steps})
    assert usage.unknown == ("iterations.advisor_message",)
    assert usage.rare == (("web_search", 2),)
    assert usage.tier == "fast"


def test_compaction_is_billed_on_top_of_the_totals() -> None:
    step = {"type": "compaction", "input_tokens": 1000, "output_tokens": 70, "cache_read_input_tokens": 5}
    usage = _usage(TODAY | {"iterations": [step, {"type": "message"}]})
    assert (usage.tokens_in, usage.cache_read, usage.output_total) == (1100, 45, 120)
    assert usage.unknown == ()


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": "3", "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": 1.5, "output_tokens": 1},
        {"output_tokens": 1, "cache_creation": 5},
        {"output_tokens": 1, "iterations": {}},
        {"output_tokens": 1, "iterations": [3]},
        [],
    ],
)
def test_malformed_usage_is_no_answer(usage: Any) -> None:
    assert not MESSAGES.seen(_answer(usage)).ok


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"<html>", b'{"type":"message"}', b'{"object":"chat.completion"}', b"[" * 100_000, b"\xff"],
)
def test_what_is_no_answer(body: bytes) -> None:
    seen = MESSAGES.seen(body)
    assert not seen.ok
    assert seen.usage is None
    with pytest.raises(ValueError, match="answer of the Messages API"):
        MESSAGES.read_response(body)


def test_an_error_inside_a_200_is_an_error() -> None:
    seen = MESSAGES.seen(b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    assert not seen.ok
    assert seen.error == ("overloaded_error", "busy")


def test_an_answer_without_stop_reason_is_not_complete() -> None:
    seen = MESSAGES.seen(_answer({"input_tokens": 1, "output_tokens": 1}, stop_reason=None))
    assert seen.ok
    assert not seen.end


_count = st.integers(0, 10**9)


@given(st.lists(st.tuples(_count, _count, _count, _count), min_size=1, max_size=4))
def test_merged_usage_never_falls(told: list[tuple[int, int, int, int]]) -> None:
    observer = MESSAGES.observer()
    before = Usage()
    for tokens_in, read, write, out in told:
        usage = {
            "input_tokens": tokens_in,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": write,
            "output_tokens": out,
        }
        data = json.dumps({"type": "message_delta", "delta": {}, "usage": usage}).encode()
        now = observer.observe(SseEvent(b"", "message_delta", data)).usage
        assert now is not None
        assert now.tokens_in == max(before.tokens_in, tokens_in)
        assert now.cache_read == max(before.cache_read, read)
        assert now.cache_write_5m == max(before.cache_write_5m, write)
        assert now.output_total == max(before.output_total, out)
        before = now


def test_token_counts() -> None:
    seen = COUNT_TOKENS.seen(b'{"input_tokens": 12, "context_management": {}}')
    assert seen.ok
    assert seen.end
    assert seen.usage is None
    for wrong in (b"{}", b'{"input_tokens": "x"}', b'{"input_tokens": -1}', b"nope"):
        assert not COUNT_TOKENS.seen(wrong).ok
    response = COUNT_TOKENS.read_response(b'{"input_tokens": 12}')
    assert COUNT_TOKENS.write_response(response, Usage(tokens_in=5, cache_read=7)) == b'{"input_tokens":12}'
