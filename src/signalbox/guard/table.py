"""The table of guards: each by the name that a workload lists it under."""

from __future__ import annotations

from signalbox.guard import (
    external,
    external_scan,
    forbidden_text,
    injection,
    no_personal_data,
    no_secrets,
    prompt_leak,
    pseudonymise,
    signals,
    valid_json,
)
from signalbox.guard.contract import Maker

GUARDS: dict[str, Maker] = {
    forbidden_text.NAME: forbidden_text.make,
    injection.NAME: injection.make,
    external.NAME: external.make,
    external_scan.NAME: external_scan.make,
    prompt_leak.NAME: prompt_leak.make,
    no_secrets.NAME: no_secrets.make,
    no_personal_data.NAME: no_personal_data.make,
    pseudonymise.NAME: pseudonymise.make,
    signals.NAME: signals.make,
    valid_json.NAME: valid_json.make,
}
