"""How much a Claude model is asked to think, and which sampling parameters that leaves: by model generation.

Manual budgets (`thinking.type: enabled`) work up to 4.5, are deprecated on 4.6 and refused from 4.7 on; adaptive
thinking with `output_config.effort` works from 4.6 on. From 4.7 on sampling parameters are refused as well. Names that
are not Claude's belong to servers that imitate this API, which implement budgets. Source: the provider's pages on
adaptive thinking, extended thinking and effort, 2026.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from signalbox.core.hub import Request

BUDGET_MIN = 1024

# Effort and budget are each other's tuning: neither is exact in the other's terms, so the steps are coarse.
_BUDGET_OF_EFFORT = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32768}
_EFFORT_UP_TO = ((0, "none"), (4096, "low"), (12288, "medium"), (24576, "high"))

_GENERATION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?![\d])")
_ADAPTIVE_FROM = (4, 6)
_NO_SAMPLING_FROM = (4, 7)
_ONE_OF_TEMPERATURE_TOP_P_FROM = (4, 1)
_THINKING_FROM = (3, 7)
_NEWEST = (99, 0)


class Sampling(msgspec.Struct):
    """Sampling parameters as they may be sent, None when left out."""

    temperature: float | None
    top_p: float | None
    top_k: int | None


def generation(model: str) -> tuple[int, int] | None:
    """(4, 6) of `claude-opus-4-6`. None for a model that is not Claude; an undated Claude alias is the newest."""
    name = model.lower()
    if "claude" not in name:
        return None
    match = _GENERATION.search(name)
    if match is None:
        return _NEWEST
    return int(match[1]), int(match[2] or 0)


def budget_to_effort(budget: int) -> str:
    """The effort nearest to a thinking budget in tokens."""
    return next((effort for limit, effort in _EFFORT_UP_TO if budget <= limit), "xhigh")


def write_thinking(body: dict[str, Any], request: Request, model: str, *, prefill: bool, tool_loop: bool) -> bool:
    """Writes `thinking` and `output_config.effort` into the body; tells whether thinking is on.

    prefill: the conversation ends with the assistant's own words. tool_loop: it ends with the results of tool calls
    that no signed thought precedes. Thinking rules both out, and forced tool choice too: it then yields, and is
    reported in `request.dropped`. Budgets take at most half of the client's limit, and come on top of our default.
    """
    effort, budget = request.reasoning_effort, request.thinking_budget
    if effort is None and budget is None:
        return False
    if effort == "none" or (effort is None and budget == 0):
        return False
    version = generation(model)
    adaptive = version is not None and version >= _ADAPTIVE_FROM
    forced = request.tool_choice is not None and request.tool_choice.mode in ("required", "named")
    blocked = prefill or forced or (tool_loop and not adaptive) or (version is not None and version < _THINKING_FROM)
    if adaptive:
        wanted = effort or budget_to_effort(budget or 0)
        body.setdefault("output_config", {})["effort"] = _claude_effort(wanted, model, version or _NEWEST)
        if not blocked:
            shown = version is not None and version >= _NO_SAMPLING_FROM
            body["thinking"] = {"type": "adaptive", "display": "summarized"} if shown else {"type": "adaptive"}
            return True
    elif not blocked and _write_budget(body, request, budget or _BUDGET_OF_EFFORT.get(effort or "", 0)):
        return True
    request.dropped.append("reasoning_effort" if effort is not None else "thinking")
    return False


def _write_budget(body: dict[str, Any], request: Request, budget: int) -> bool:
    if budget <= 0:
        return False
    budget = max(BUDGET_MIN, budget)
    if request.max_tokens is None:
        body["max_tokens"] += budget
    else:
        # Thoughts count towards the client's limit: at least half of it is kept for the answer.
        budget = min(budget, request.max_tokens // 2)
    if budget < BUDGET_MIN:
        return False
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return True


def _claude_effort(effort: str, model: str, version: tuple[int, int]) -> str:
    if effort == "minimal":
        return "low"
    if effort not in _BUDGET_OF_EFFORT:
        return "high"
    if version < _NO_SAMPLING_FROM and (effort == "xhigh" or (effort == "max" and "opus" not in model)):
        return "high"
    return effort


def sampling(request: Request, model: str, *, thinking: bool) -> Sampling:
    """What may be sent of temperature, top_p and top_k. What may not, or not as it is, goes to `request.dropped`."""
    version = generation(model)
    kept = Sampling(request.temperature, request.top_p, request.top_k)
    if version is not None and version >= _NO_SAMPLING_FROM:
        kept = Sampling(None, None, None)
    elif thinking:
        # Temperature must be 1, its default, and top_p near it.
        near_one = request.top_p is not None and request.top_p >= 0.95
        kept = Sampling(None, request.top_p if near_one else None, None)
    elif kept.temperature is not None:
        kept.temperature = min(kept.temperature, 1.0)
        if version is not None and version >= _ONE_OF_TEMPERATURE_TOP_P_FROM:
            kept.top_p = None
    for name, default in (("temperature", 1.0), ("top_p", 1.0), ("top_k", None)):
        asked, sent = getattr(request, name), getattr(kept, name)
        if asked is not None and asked != sent and asked != default:
            request.dropped.append(name)
    return kept
