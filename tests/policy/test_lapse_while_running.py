"""What lapses while the gateway runs is closed on that day, whatever stands in the file then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from console_desk import Desk
from signalbox.bootstrap import compiling
from signalbox.bootstrap.console import ReadersConfigurations
from signalbox.core.labels import labels_of
from signalbox.policy.rules import permitted

CONFIG = """
environments: {us: {kind: cloud, region: us, attests: [{name: baa, until: 2030-03-31}]}}
deployments: {d: {environment: us, protocol: openai, base_url: "https://llm.example.com/v1", model: m, price: free}}
workloads: {w: {}}
rules: [{id: contract, when: {data: [phi]}, allow: {attests: [baa]}}]
"""


@pytest.mark.parametrize("left", [CONFIG, "rules: [broken", None], ids=["as it was", "broken", "gone"])
async def test_a_contract_ends_though_the_file_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str | None
) -> None:
    day = ["2030-03-31"]
    monkeypatch.setattr(compiling, "today", lambda: day[0])
    desk = Desk(tmp_path, CONFIG, workers=0, today=lambda: day[0])
    configurations = ReadersConfigurations(desk.supervisor)

    def open_() -> bool:
        snapshot = configurations.now().snapshot
        return bool(permitted(snapshot, snapshot.workloads["w"], labels_of(["phi"]), False, "chat"))

    await desk.loaded()
    running = asyncio.create_task(desk.supervisor.run())
    try:
        assert open_()
        if left is None:
            desk.file.unlink()
        else:
            desk.file.write_text(left)
        day[0] = "2030-04-01"
        async with asyncio.timeout(10):
            while open_():
                await asyncio.sleep(0.05)
        generation = desk.supervisor.generation
        await asyncio.sleep(1.2)
        assert desk.supervisor.generation == generation, "once a day is enough"
        assert bool(desk.supervisor.last_error) == (left != CONFIG), "that the file is refused stays told"
    finally:
        running.cancel()
        desk.close()
