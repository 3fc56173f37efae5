"""What time it is: the one place from which mechanisms are given the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def today() -> str:
    """The UTC date, ISO."""
    return datetime.now(UTC).date().isoformat()
