"""What clients of each API call the parameters that the core, after chat completions, calls otherwise."""

from __future__ import annotations

from collections.abc import Iterable

_NAMES: dict[str, dict[str, str]] = {
    "messages": {"stop": "stop_sequences", "reasoning_effort": "output_config.effort"},
    "responses": {
        "reasoning_effort": "reasoning.effort",
        "verbosity": "text.verbosity",
        "response_format.description": "text.format.description",
    },
}
_OF_CHAT: dict[str, str] = {}


def as_sent(api: str, names: Iterable[str]) -> list[str]:
    """`names` of core parameters as a client of `api` wrote them; others as they are."""
    known = _NAMES.get(api, _OF_CHAT)
    return [known.get(name, name) for name in names]
