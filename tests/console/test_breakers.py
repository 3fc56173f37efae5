"""When deployments went out of use and came back: on the page, in the API, and within bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console_desk import SECRET, Desk
from signalbox.control.breakers import CHANGES_MAX, Breakers
from signalbox.telemetry.metrics import Metrics


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = await Desk(tmp_path / "state").loaded()
    yield made
    made.close()


def _told(**out: int) -> Metrics:
    metrics = Metrics()
    for name, count in out.items():
        metrics.set(("signalbox_replicas_out_of_use", name), count)
    return metrics


async def test_a_breaker_is_seen_opening_and_closing(desk: Desk) -> None:
    browser = await desk.browser()
    assert "No breaker has opened." in (await browser.get("/deployments")).text
    for out in (0, 1, 1, 0):
        desk.supervisor.breakers.see(_told(d=out))
    page = (await browser.get("/deployments")).text
    assert page.index(">closed<") < page.index(">open<")
    assert page.count(">open<") == 1
    _, told = await desk.ask("GET", "/api/deployments", f"Bearer {SECRET}")
    changes = told["deployments"][0]["breakers"]
    assert [one["out"] for one in changes] == [0, 1]
    assert changes[0]["time_ms"] >= changes[1]["time_ms"] > 0


def test_what_is_remembered_is_bounded_and_counts_changes_only() -> None:
    times = iter(range(10_000))
    breakers = Breakers(lambda: next(times))
    for number in range(3 * CHANGES_MAX):
        breakers.see(_told(d=number % 2, well=0))
    assert len(breakers.of("d")) == CHANGES_MAX
    assert breakers.of("d")[0].time_ms == 3 * CHANGES_MAX - 1
    assert breakers.of("well") == breakers.of("unknown") == ()
