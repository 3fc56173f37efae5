"""How property tests choose their examples: at random where people work, the same ones every time in CI."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A landing must not hang on the draw; what a random draw finds on somebody's machine becomes an example or a fix.
# A loaded machine draws slowly, which says nothing about a test.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("patient", **PATIENT)
settings.load_profile("patient")
settings.register_profile("ci", derandomize=True, print_blob=True, **PATIENT)
if os.environ.get("CI"):
    settings.load_profile("ci")

# They need a browser: `make journeys`.
collect_ignore = ["journeys"]
