"""Records as the pipeline writes them, and a journal filled with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from signalbox.core.records import Opened, Settled
from signalbox.core.usage import Rates, Usage
from signalbox.ledger.journal import Journal

RATES = Rates(tokens_in=150_000, cache_read=75_000, tokens_out=600_000, source="test")


def _opened(attempt_id: str, *, time_ms: int = 1_790_000_000_000, **changes: object) -> Opened:
    fields: dict[str, object] = {
        "attempt_id": attempt_id,
        "call_id": f"call-{attempt_id}",
        "time_ms": time_ms,
        "tenant": "default",
        "team": "support",
        "key_id": "k1",
        "workload": "support-chat",
        "deployment": "mini",
        "environment": "dc-fra",
        "model": "tiny-1",
        "api": "chat",
        "labels": ("confidential", "personal"),
        "reason": "first of 3 permitted",
        "config": "c0ffee",
        "in_max": 100,
        "out_max": 512,
        "rates": RATES,
    }
    return Opened(**{**fields, **changes})  # type: ignore[arg-type]


def _settled(attempt_id: str, *, time_ms: int = 1_790_000_001_000, **changes: object) -> Settled:
    fields: dict[str, object] = {
        "attempt_id": attempt_id,
        "time_ms": time_ms,
        "state": "settled",
        "usage": Usage(tokens_in=80, cache_read=20, tokens_out=40),
        "source": "provider",
        "cost_pico": 80 * 150_000 + 20 * 75_000 + 40 * 600_000,
        "status": 200,
        "ttft_ms": 120,
        "duration_ms": 1000,
    }
    return Settled(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def opened() -> Callable[..., Opened]:
    return _opened


@pytest.fixture
def settled() -> Callable[..., Settled]:
    return _settled


def _fill(directory: Path, chain: str, attempts: int, *, segment_bytes_max: int = 64 << 20, close: bool = True) -> None:
    async def main() -> None:
        journal = Journal(directory, chain, fsync="off", segment_bytes_max=segment_bytes_max)
        for number in range(attempts):
            journal.append(_opened(f"{chain}-{number}", time_ms=1_790_000_000_000 + number))
            journal.append(_settled(f"{chain}-{number}", time_ms=1_790_000_001_000 + number))
        if close:
            await journal.close()
        else:
            journal._writer.release()  # pyright: ignore[reportPrivateUsage]  # as a crash would

    asyncio.run(main())


@pytest.fixture(scope="session")
def fill() -> Callable[..., None]:
    """fill(directory, chain, attempts, segment_bytes_max=, close=): a chain of settled attempts."""
    return _fill
