"""Ways to an answer beside the plain one: a hedge, a rescued stream, an answer given again for an idempotency key. On
every endpoint, streamed and not, in every channel, nobody gets what a guard takes out."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.guard.test_guard_cached import put_together
from tests.guard.test_guard_held import CUT, GUARDS, KINDS, MAIL, SECRET, asked
from tests.harness import Answer, running

from conversations import PATHS

CELLS = list(product(PATHS, KINDS, (False, True)))


def is_clean(answer: Answer, kind: str, where: object) -> bool:
    """Whether there was anything to see."""
    said = put_together(answer)
    assert answer.status == 200, (where, answer.body)
    assert SECRET not in said, where
    assert b"EMAIL_" not in answer.body, where
    if kind == "reasoning" and "[string removed]" not in said:
        return False  # this dialect does not show another one's reasoning
    assert "[string removed]" in said, where
    assert MAIL in said, where
    return True


async def test_a_hedge_shows_no_more_than_another_attempt(tmp_path: Path) -> None:
    """Two upstreams of different protocols are asked at once; whichever wins, its answer passes the guards."""
    workloads: dict[str, Any] = {
        name: {"placements": places, "hedge": {"after_ms": 1}, "guards": GUARDS}
        for name, places in (("first", ["messages", "local"]), ("second", ["local", "messages"]))
    }
    async with running(tmp_path, {"workloads": workloads}) as box:
        seen = 0
        for (api, kind, stream), workload in product(CELLS, workloads):
            body = asked(api, workload, kind, stream=stream)
            seen += is_clean(await box.request(PATHS[api], body), kind, (api, kind, stream, workload))
        assert seen >= 2 * 14
        sent = [entry.body for entry in box.sim.log.entries]
        assert len(sent) > len(CELLS) * 2, "nothing was hedged"
        assert not [one for one in sent if MAIL.encode() in one]


@pytest.mark.parametrize("verify", [2, 6])
async def test_a_rescued_stream_shows_no_more_in_any_channel(tmp_path: Path, verify: int) -> None:
    """The first upstream dies with content out, and another one tells the same answer to its end."""
    rescue = {"hold_tokens": 0, "hold_ms": 0}
    made = {"guards": GUARDS, "stream_rescue": rescue}
    workloads = {f"g-{api}": {"placements": [api, "local"], **made} for api in PATHS}
    async with running(tmp_path, {"workloads": workloads}) as box:
        for api, kind in product(PATHS, KINDS):
            box.sim.faults.clear()
            box.sim.fault(f"reset_mid@{verify}", provider={"chat": "openai", "messages": "anthropic"}.get(api, "azure"))
            answer = await box.request(PATHS[api], asked(api, f"g-{api}", kind, stream=True))
            assert SECRET not in put_together(answer), (api, kind)
            assert b"EMAIL_" not in answer.body, (api, kind)
            assert answer.status == 200, (api, kind)


@pytest.mark.parametrize("guards", [GUARDS, CUT], ids=["redact", "cut"])
async def test_an_answer_that_is_given_again_is_the_one_that_was_shown(tmp_path: Path, guards: list[Any]) -> None:
    workloads = {"g": {"placements": ["local"], "guards": guards}}
    async with running(tmp_path, {"workloads": workloads}) as box:
        for at, (api, kind, stream) in enumerate(CELLS):
            body = asked(api, "g", kind, stream=stream)
            again = {"idempotency-key": f"key-{at}"}
            first = await box.request(PATHS[api], body, headers=again)
            second = await box.request(PATHS[api], body, headers=again)
            for answer in (first, second):
                assert answer.status == 200, (api, kind, stream)
                assert SECRET not in put_together(answer), (api, kind, stream)
                assert b"EMAIL_" not in answer.body, (api, kind, stream)
            assert put_together(second) == put_together(first), (api, kind, stream)
