"""The configuration in force as readers need it: declared, compiled, and ready to explain."""

from __future__ import annotations

from typing import Protocol

import msgspec

from signalbox.config.declared import Declared
from signalbox.control.explain import Explainer
from signalbox.core.snapshot import Snapshot


class InForce(msgspec.Struct, frozen=True):
    """One generation of the configuration."""

    generation: int
    declared: Declared
    snapshot: Snapshot
    explainer: Explainer


class Configurations(Protocol):
    """Both may take a while: they are not for the event loop."""

    def now(self) -> InForce:
        """The configuration in force."""
        ...

    def compiled(self, content: bytes, name: str) -> InForce:
        """What a text would be, were it in force. Raises ConfigError with all findings."""
        ...
