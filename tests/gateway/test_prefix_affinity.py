"""Calls with one beginning on one replica, through the whole gateway; and bodies whose beginnings nobody changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from harness import Box, running


def replicas(box: Box) -> list[Any]:
    return dict(box.plane._fleets.groups())["pool"].replicas


async def test_turns_of_a_conversation_find_their_beginning(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = box.config
        local = {**config["deployments"]["local"]}
        base = str(local.pop("base_url"))
        # The same provider by two names of one host.
        other = base.replace("127.0.0.1", "localhost")
        config["deployments"]["pool"] = {**local, "replicas": [base, other]}
        config["workloads"]["w"] = {"placements": ["pool"]}
        error = await box.configure(config)
        assert not error, error
        homes: dict[int, Counter[str]] = {}
        for turn in range(3):
            for talk in range(12):
                messages = [{"role": "system", "content": f"You are helper {talk}. " * 100}]
                for number in range(turn + 1):
                    messages += [
                        {"role": "user", "content": f"[[text:ok]] talk {talk} question {number} " * 40},
                        {"role": "assistant", "content": f"talk {talk} answer {number} " * 40},
                    ]
                body = {"model": "w", "messages": messages[:-1], "temperature": turn / 10}
                before = [len(one.held.blocks) for one in replicas(box)]
                good = [one.good_calls for one in replicas(box)]
                assert (await box.request("/v1/chat/completions", body)).status == 200
                home = max(range(2), key=lambda at: replicas(box)[at].good_calls - good[at])
                homes.setdefault(talk, Counter())[str(home)] += 1
                assert sum(len(one.held.blocks) for one in replicas(box)) > sum(before)
        assert all(len(seen) == 1 for seen in homes.values())
        assert len({next(iter(seen)) for seen in homes.values()}) == 2
