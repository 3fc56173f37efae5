"""The end of an answer that a guard ended, in each API's own words for an answer that was withheld.

It is told as content that was filtered, which clients show or report; an error would make agents ask again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from signalbox.wire import sse


def closing_events(
    api: str, last: dict[str, Any], choices: int, blocks: Sequence[int], response: dict[str, Any]
) -> bytes:
    """The events that end a stream, but for what `supply_end` adds. last: an event with content, whose identifiers go
    on. choices: how many the client asked for. blocks: numbers of open blocks (messages). response: the response as it
    was shown so far (responses)."""
    if api == "messages":
        return b"".join(
            (
                *(sse.event({"type": "content_block_stop", "index": block}, "content_block_stop") for block in blocks),
                sse.event(
                    {
                        "type": "message_delta",
                        "delta": {"stop_reason": "refusal", "stop_sequence": None},
                        "usage": {"output_tokens": 0},
                    },
                    "message_delta",
                ),
                sse.event({"type": "message_stop"}, "message_stop"),
            )
        )
    if api == "responses":
        sequence = last.get("sequence_number")
        number = sequence + 1 if isinstance(sequence, int) else 0
        done = {**response, "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
        event = {"type": "response.incomplete", "sequence_number": number, "response": done}
        return sse.event(event, "response.incomplete")
    kept = {name: last[name] for name in ("id", "object", "created", "model", "system_fingerprint") if name in last}
    empty: dict[str, Any] = {"text": ""} if api == "completions" else {"delta": {}}
    return b"".join(
        sse.event({**kept, "choices": [{"index": at, **empty, "logprobs": None, "finish_reason": "content_filter"}]})
        for at in range(choices)
    )


def withhold(api: str, doc: dict[str, Any], choices: set[int], part: int) -> None:
    """Makes a whole answer one that was withheld. choices: of which (chat, completions). part: the first item of which
    the rest is not shown (messages, responses); the texts themselves are cut already."""
    if api == "messages":
        doc["content"] = [block for block in doc["content"][: part + 1] if block.get("type") != "tool_use"]
        doc["stop_reason"], doc["stop_sequence"] = "refusal", None
    elif api == "responses":
        shown = doc["output"][: part + 1]
        if len(shown) > part and "status" in shown[part]:
            shown[part]["status"] = "incomplete"
        doc["output"] = [item for item in shown if not str(item.get("type", "")).endswith("_call")]
        doc["status"], doc["incomplete_details"] = "incomplete", {"reason": "content_filter"}
    else:
        for at, choice in enumerate(cast("list[dict[str, Any]]", doc["choices"])):
            if at in choices:
                choice["finish_reason"] = "content_filter"
                message = choice.get("message")
                if isinstance(message, dict):
                    fields = cast("dict[str, Any]", message)
                    for key in ("tool_calls", "function_call"):
                        fields.pop(key, None)
