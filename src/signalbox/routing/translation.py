"""In which API a deployment answers a call: its own where it speaks it, else the translation that loses least. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import Request
from signalbox.core.snapshot import Deployment
from signalbox.wire.dialect import Target
from signalbox.wire.table import DIALECTS

# Which APIs can stand in for one a deployment does not speak. Where two lose as much, the earlier one is taken.
TRANSLATIONS: dict[str, tuple[str, ...]] = {
    "chat": ("chat", "responses", "messages"),
    "responses": ("responses", "chat", "messages"),
    "messages": ("messages", "responses", "chat"),
    "completions": ("completions", "chat", "messages", "responses"),
    "embeddings": ("embeddings",),
    "count_tokens": ("count_tokens",),
    "scan": ("scan",),
}
# Without these a call costs more or is told apart less; without anything else its answer may be another one.
_BESIDE_THE_ANSWER = frozenset(("cache_control", "metadata", "prompt_cache_key", "service_tier"))


class Translation(NamedTuple):
    """A request in another API. request: its own copy, whose `dropped` tells all that was left out."""

    api: str
    request: Request
    body: bytes


def target_api(api: str, deployment: Deployment) -> str | None:
    """The API in which `deployment` serves a call that came as `api`: its own, else the usual translation, else None.
    Of several that are possible `translated` chooses by what the call says."""
    for candidate in TRANSLATIONS[api]:
        if candidate in deployment.apis:
            return candidate
    return None


def translated(api: str, request: Request, deployment: Deployment, max_tokens_default: int) -> Translation:
    """A call that came as `api`, which `deployment` does not speak, for that of its APIs which carries most of it.

    What shapes the answer weighs more than what does not; an API that would have to refuse is taken by nobody. Raises
    BadRequest or Unsupported as the first of the APIs does, where none can carry the call.
    """
    target = Target(
        model=deployment.model,
        max_tokens_default=max_tokens_default,
        tools=deployment.tools,
        images=deployment.images,
        json_schema=deployment.json_schema,
        stream_usage=deployment.stream_usage,
    )
    best: Translation | None = None
    refusal: BadRequest | None = None
    for candidate in TRANSLATIONS[api]:
        if candidate not in deployment.apis:
            continue
        own = msgspec.structs.replace(request, dropped=list(request.dropped))
        try:
            body = DIALECTS[candidate].write_request(own, target)
        except BadRequest as error:
            refusal = refusal or error
            continue
        if best is None or _loss(own) < _loss(best.request):
            best = Translation(candidate, own, body)
        if len(best.request.dropped) == len(request.dropped):
            break  # no other one could carry more
    if best is None:
        raise refusal or Unsupported(f"{deployment.name!r} cannot serve {api}.")
    return best


def _loss(request: Request) -> tuple[int, int]:
    lost = set(request.dropped)
    return len(lost - _BESIDE_THE_ANSWER), len(lost)
