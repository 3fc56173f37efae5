"""The table of guards: each by the name that a workload lists it under."""

from __future__ import annotations

from signalbox.guard import forbidden_text, prompt_leak
from signalbox.guard.contract import Maker

GUARDS: dict[str, Maker] = {
    forbidden_text.NAME: forbidden_text.make,
    prompt_leak.NAME: prompt_leak.make,
}
