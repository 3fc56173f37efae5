"""The permit: the only thing that lets bytes leave."""

from __future__ import annotations

import msgspec

from signalbox.core.labels import Labels
from signalbox.core.snapshot import Deployment


class Permit(msgspec.Struct, frozen=True, gc=False):
    """Allows one body of one call to go to one deployment, once. Made by policy/interlock.py and nowhere else.

    body: the exact bytes that were judged; the transport sends these and no others.
    labels: the labels that were judged. decision: short reason, as the ledger stores it.
    """

    attempt_id: str
    deployment: Deployment
    api: str
    body: bytes
    labels: Labels
    reason: str
