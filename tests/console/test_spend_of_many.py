"""Spend by what there may be thousands of: the page shows the costliest, and its lines come to the total."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console_desk import SECRET, Desk
from signalbox.control.readings import spend
from signalbox.core.records import Opened, Settled
from signalbox.core.usage import Usage

PEOPLE = 9


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = await Desk(tmp_path / "state").loaded()
    at = time.time_ns() // 1_000_000 // 86_400_000 * 86_400_000 - 43_200_000
    for number in range(PEOPLE + 1):
        # The first names nobody.
        user = f"user-{number}" if number else ""
        made.ship(
            Opened(f"a{number}", f"c{number}", at, "acme", "blue", "k1", "w", "d", "e", "m", "chat", ("public",), "r",
                   "v", user=user, session=f"{user}-s" if number else "", tags=("red",) if number else ()),
            Settled(f"a{number}", at + 5, "settled", Usage(tokens_in=1), "provider", number * 10**12, 200),
        )  # fmt: skip
    yield made
    made.close()


@pytest.mark.parametrize("by", spend.MANY)
async def test_lines_come_to_the_total_and_exports_have_all(
    desk: Desk, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spend, "SHOWN_MAX", 3)
    _, found = await desk.ask("GET", f"/api/spend?by={by}", f"Bearer {SECRET}")
    names = [group["name"] for group in found["groups"]]
    costs = [group["cost_pico"] for group in found["groups"]]
    assert found["total_pico"] == sum(costs) == 45 * 10**12
    assert sum(group["attempts"] for group in found["groups"]) == PEOPLE + 1
    if by == "tag":
        assert names == ["red", ""]
    else:
        suffix = "-s" if by == "session" else ""
        assert names == [*(f"user-{number}{suffix}" for number in (9, 8, 7)), spend.OTHERS]
        assert costs == [9 * 10**12, 8 * 10**12, 7 * 10**12, 21 * 10**12]
    browser = await desk.browser()
    page = await browser.get(f"/spend?by={by}")
    assert page.status == 200
    assert (spend.OTHERS in page.text) == (by != "tag")
    lines = (await browser.get(f"/spend.csv?by={by}")).text.split()
    assert len(lines) == (2 if by == "tag" else PEOPLE + 1)
