"""What lapses while the gateway runs is closed on that day, whatever stands in the file then."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from console_desk import Desk
from harness import running, simulated_config
from signalbox.bootstrap import compiling
from signalbox.bootstrap.console import ReadersConfigurations
from signalbox.control.links import Link, LocalLink
from signalbox.core.labels import labels_of
from signalbox.core.link import ApplyKeys, ApplyKeySets, Done, Listen, Order, Report
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


PHI = {"x-signalbox-data": "phi"}
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi", "store": False},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "/v1/embeddings": {"input": "hi"},
}


@pytest.mark.parametrize("renewed", [False, True], ids=["for good", "signed again"])
async def test_a_contract_ends_though_the_last_good_configuration_cannot_be_compiled_that_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renewed: bool
) -> None:
    """A secret's file is gone: nothing can be put in force, and calls go on, but not those that the contract let go."""
    day = ["2030-03-31"]
    monkeypatch.setattr(compiling, "today", lambda: day[0])
    async with running(tmp_path / "box") as box:
        config = simulated_config(box.sim)
        secret = tmp_path / "key.txt"
        secret.write_text("k")
        for one in config["deployments"].values():
            one["api_key"] = f"file:{secret}"
        held = [{"name": "baa", "until": "2030-03-31"}]
        for place in ("openai-env", "azure-env"):
            config["environments"][place]["attests"] = held
        config["rules"] = [{"id": "contract", "when": {"data": ["phi"]}, "allow": {"attests": ["baa"]}}]
        placed = ("chat", "responses", "chat", "embed")
        config["workloads"] = {f"w{at}": {"placements": [name]} for at, name in enumerate(placed)}

        async def obey(order: Order) -> Report:
            """The box has its own keys, and listens already."""
            return Done() if isinstance(order, ApplyKeys | ApplyKeySets | Listen) else await box.worker.obey(order)

        async def spawn() -> Link:
            return LocalLink(obey, lambda accounts: None, nothing)

        async def asked(headers: dict[str, str]) -> set[int]:
            """The statuses of a call at each endpoint, streamed and not."""
            calls = [
                box.request(path, {**body, "model": f"w{at}", **more}, headers=headers)
                for at, (path, body) in enumerate(ASKED.items())
                for more in ({}, {"stream": True})[: 1 if "embed" in path else 2]
            ]
            return {answer.status for answer in await asyncio.gather(*calls)}

        (tmp_path / "desk").mkdir()
        desk = Desk(
            tmp_path / "desk", yaml.safe_dump(json.loads(json.dumps(config))), today=lambda: day[0], spawn=spawn
        )
        configurations = ReadersConfigurations(desk.supervisor)
        await desk.supervisor.start()
        watching = asyncio.create_task(desk.supervisor.run())
        try:
            assert await asked(PHI) == {200}
            assert configurations.now().snapshot.day == day[0]
            secret.unlink()
            day[0] = "2030-04-01"
            async with asyncio.timeout(10):
                while await asked(PHI) != {400}:
                    await asyncio.sleep(0.05)
            sent = len(box.sim.log.entries)
            assert await asked(PHI) == {400}
            assert len(box.sim.log.entries) == sent
            assert await asked({}) == {200}
            snapshot = configurations.now().snapshot
            assert snapshot.day == day[0]
            assert not permitted(snapshot, snapshot.workloads["w0"], labels_of(["phi"]), False, "chat")
            generation = desk.supervisor.generation
            await asyncio.sleep(0.8)
            assert desk.supervisor.generation == generation, "once a day is enough"
            assert desk.supervisor.last_error, "that nothing can be put in force stays told"
            if renewed:
                secret.write_text("k")
                desk.file.write_text(desk.file.read_text().replace("2030-03-31", "2031-03-31"))
                async with asyncio.timeout(10):
                    while await asked(PHI) != {200}:
                        await asyncio.sleep(0.05)
                assert not desk.supervisor.last_error
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            desk.close()


async def nothing() -> None:
    """What is stopped here is stopped by the box."""
