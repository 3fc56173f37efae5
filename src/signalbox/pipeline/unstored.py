"""Telling a provider not to keep an answer where nobody has said anything: some accounts keep chat completions then."""

from __future__ import annotations

from typing import Any

from signalbox.core.snapshot import Deployment
from signalbox.wire.body import Edit

FIELD = "store"
# Silence in a Responses body asks to be kept, which the interlock sees; nothing else keeps what says nothing.
APIS = frozenset(("chat",))


def unstored(deployment: Deployment, api: str, doc: dict[str, Any]) -> list[Edit]:
    """The edit that a body for this deployment needs; none where it says so itself, or nothing keeps it."""
    if not deployment.no_store or api not in APIS or doc.get(FIELD) is False:
        return []
    return [Edit(FIELD, False)]
