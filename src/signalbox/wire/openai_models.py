"""What OpenAI's own models take, told by their names: both of its protocols refuse what a model does not take."""

from __future__ import annotations

import re

from signalbox.core.hub import Request
from signalbox.wire.responses_items import note

# The newer ones refuse `max_tokens`, while many servers of other models know nothing else; and reasoning models refuse
# sampling parameters. Open weights under OpenAI's name are served by the latter.
_OPENAI = re.compile(r"(?:openai/)?(?:ft:)?(?:gpt-(?!oss)|o\d|chatgpt-|codex-)")
_REASONING = re.compile(r"(?:openai/)?(?:ft:)?(?:o\d|gpt-[5-9](?!.*-chat)|codex-)")
# Models that are told how much to say; the others of OpenAI's refuse it.
_TAKES_VERBOSITY = re.compile(r"(?:openai/)?(?:ft:)?gpt-[5-9](?!.*-chat)")
# A thinking budget in tokens has no place on these wires; these are the efforts it stands for, by upper bound.
_EFFORT_BY_BUDGET = ((2048, "low"), (8192, "medium"))
SERVICE_TIERS = frozenset({"auto", "default", "flex", "priority", "scale"})
_SAMPLING = (("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0))


def is_openai(model: str) -> bool:
    return _OPENAI.match(model) is not None


def is_reasoning(model: str) -> bool:
    """Whether it is one of OpenAI's own that think: they take an effort and no sampling."""
    return _REASONING.match(model) is not None


def takes_verbosity(model: str) -> bool:
    return _TAKES_VERBOSITY.match(model) is not None


def effort(request: Request) -> str | None:
    """The effort asked for, in words; None where nothing was said or thinking was switched off by its budget."""
    if request.reasoning_effort is not None:
        return request.reasoning_effort
    budget = request.thinking_budget
    if not budget:
        return None
    return next((word for limit, word in _EFFORT_BY_BUDGET if budget <= limit), "high")


def sampling(request: Request, model: str) -> dict[str, float]:
    """The sampling parameters that may be sent. What a reasoning model refuses goes to `request.dropped`, unless it
    asked for the default."""
    fixed = is_reasoning(model)
    kept: dict[str, float] = {}
    for name, neutral in _SAMPLING:
        value = getattr(request, name)
        if value is None:
            continue
        if not fixed:
            kept[name] = value
        elif value != neutral:
            note(request.dropped, name)
    return kept
