"""The Messages envelope: limits, onward transfers, unknown tools, unreadable parts and bound state of a body."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.core.errors import BadRequest
from signalbox.wire.anthropic_messages import COUNT_TOKENS, MESSAGES


def _body(**extra: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **extra}


def _with_blocks(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return _body(messages=[{"role": role, "content": list(blocks)}])


def test_plain_body() -> None:
    envelope = MESSAGES.envelope(_body(stream=True, unknown_future_field={"deep": [1]}))
    assert envelope.stream
    assert envelope.max_tokens == 10
    assert (envelope.onward, envelope.unknown_tools, envelope.opaque, envelope.stateful) == ((), (), False, ())


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "10"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**12}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages.0.content.0"),
        ({"tools": {}}, "tools"),
        ({"tools": [1]}, "tools.0"),
        ({"tools": [{"type": 3}]}, "tools.0.type"),
        ({"system": 7}, "system"),
    ],
)
def test_wrong_types_are_the_callers_mistake(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        MESSAGES.envelope(_body(**change))
    assert raised.value.param == param


def test_cache_warming_with_no_output_is_allowed() -> None:
    assert MESSAGES.envelope(_body(max_tokens=0)).max_tokens == 0


@pytest.mark.parametrize(
    ("extra", "onward"),
    [
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, ("web_search",)),
        ({"tools": [{"type": "web_fetch_20270101", "name": "web_fetch"}]}, ("web_fetch",)),
        ({"tools": [{"type": "code_execution_20260521", "name": "x"}]}, ("code_interpreter",)),
        ({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "m"}]}, ("advisor",)),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, ("mcp",)),
        ({"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}, ("mcp",)),
        ({"inference_geo": "global"}, ("inference_geo",)),
        ({"fallbacks": "default"}, ("fallbacks",)),
        ({"mcp_servers": [], "fallbacks": None, "container": None}, ()),
    ],
)
def test_onward_transfers(extra: dict[str, Any], onward: tuple[str, ...]) -> None:
    envelope = MESSAGES.envelope(_body(**extra))
    assert envelope.onward == onward
    assert envelope.unknown_tools == ()


def test_client_side_tools_carry_nothing_further() -> None:
    kinds = ["custom", None, "bash_20250124", "text_editor_20250728", "computer_20251124", "memory_20250818"]
    kinds += ["tool_search_tool_bm25", "tool_search_tool_regex_20251119", "browser_toolset_20260801"]
    envelope = MESSAGES.envelope(_body(tools=[{"type": kind, "name": "x"} for kind in kinds]))
    assert envelope.onward == ()
    assert envelope.unknown_tools == ()


def test_unknown_tool_types_are_named() -> None:
    tools = [{"type": "mind_reading_20290101", "name": "x"}, {"type": "web_searcher", "name": "y"}]
    assert MESSAGES.envelope(_body(tools=tools)).unknown_tools == ("mind_reading_20290101", "web_searcher")


def test_a_tool_defined_inside_the_conversation_is_seen() -> None:
    definition = {"type": "web_search_20260318", "name": "web_search"}
    block = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}}
    assert MESSAGES.envelope(_with_blocks(block, role="system")).onward == ("web_search",)


def test_container_and_thread_are_bound_state() -> None:
    assert MESSAGES.envelope(_body(container="c1")).stateful == ("c1",)
    envelope = MESSAGES.envelope(
        _body(container={"id": "c2", "skills": []}, thread={"type": "continue", "previous_message_id": "msg_1"})
    )
    assert envelope.stateful == ("c2", "msg_1")
    assert envelope.onward == ("container", "thread")


_URL = {"type": "url", "url": "https://example.com/a"}


@pytest.mark.parametrize(
    ("block", "opaque", "onward"),
    [
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}, True, ()),
        ({"type": "image", "source": _URL}, True, ("image_url",)),
        ({"type": "image", "source": {"type": "url", "url": "data:image/png;base64,x"}}, True, ()),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, True, ("file_id",)),
        ({"type": "image"}, True, ()),
        ({"type": "document", "source": _URL}, True, ("file_url",)),
        ({"type": "document", "source": {"type": "text", "data": "plain"}}, False, ()),
        ({"type": "document", "source": {"type": "content", "content": "plain"}}, False, ()),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": _URL}]}},
            True,
            ("image_url",),
        ),
        ({"type": "container_upload", "file_id": "f"}, True, ("file_id",)),
        ({"type": "redacted_thinking", "data": "x"}, True, ()),
        ({"type": "thinking", "thinking": "readable", "signature": "s"}, False, ()),
        ({"type": "thinking", "thinking": "", "signature": "s"}, True, ()),
        ({"type": "web_search_tool_result", "content": [{"encrypted_content": "x"}]}, True, ()),
        ({"type": "compaction", "content": "summary"}, False, ()),
        ({"type": "compaction", "content": "summary", "encrypted_content": "x"}, True, ()),
        ({"type": "of_a_later_version"}, True, ()),
        ({"type": "tool_use", "id": "t", "name": "n", "input": {"type": "image"}}, False, ()),
        ({"type": "tool_result", "tool_use_id": "t", "content": "text"}, False, ()),
        ({"type": "tool_result", "tool_use_id": "t"}, False, ()),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": _URL}]},
            True,
            ("image_url",),
        ),
    ],
)
def test_unreadable_parts_at_any_depth(block: dict[str, Any], opaque: bool, onward: tuple[str, ...]) -> None:
    envelope = MESSAGES.envelope(_with_blocks({"type": "text", "text": "look"}, block))
    assert envelope.opaque is opaque
    assert envelope.onward == onward
    assert ("f" in envelope.stateful) is ("file_id" in onward)


def test_token_counting_needs_no_limit_and_never_streams() -> None:
    body = _body(stream=True)
    del body["max_tokens"]
    envelope = COUNT_TOKENS.envelope(body)
    assert not envelope.stream
    assert envelope.max_tokens is None
