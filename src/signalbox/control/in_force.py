"""The configuration in force as readers need it: declared, compiled, and ready to explain."""

from __future__ import annotations

from collections.abc import Callable

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


# Gives the configuration in force. It may take a while the first time after a change: not for the event loop.
Now = Callable[[], InForce]
