"""How property tests choose their examples: at random where people work, the same ones every time in CI."""

from __future__ import annotations

import os

from hypothesis import settings

# A landing must not hang on the draw; what a random draw finds on somebody's machine becomes an example or a fix.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# They need a browser: `make journeys`.
collect_ignore = ["journeys"]
