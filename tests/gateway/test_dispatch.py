"""Model calls of our own beside a client's: same rules, permit, journal and money, and linked to the client's call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running
from signalbox.core.call import Call, Envelope, Principal
from signalbox.core.errors import CallError, NoPermittedPlacement, Stopped, UpstreamTimeout
from signalbox.core.labels import NONE, Labels, labels_of
from signalbox.core.link import Stop
from signalbox.core.ports import Errand
from signalbox.pipeline.dispatch import Dispatcher

NOT_TO_OPENAI = {"id": "phi-stays", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}, "source": "test"}
ASK = Errand("cache-embedding", "embeddings", {"input": "hello there"}, "embed")
JUDGE = Errand("judge", "chat", {"messages": [{"role": "user", "content": "is it good?"}]}, "local")


def a_call(box: Box, workload: str = "w-chat", labels: Labels = NONE) -> Call:
    assert box.worker.gateway is not None
    snapshot = box.worker.gateway.stages.snapshot
    doc: dict[str, Any] = {"model": workload, "messages": [{"role": "user", "content": "hi"}]}
    call = Call(
        id="req_test",
        api="chat",
        snapshot=snapshot,
        principal=Principal("key", "default", "", None, frozenset()),
        body=b"{}",
        doc=doc,
        envelope=Envelope(stream=False),
        model=workload,
        workload=snapshot.workloads[workload],
        pinned=None,
        data_header=NONE,
        headers=[(b"x-canary", b"not-to-leave")],
        query=b"",
        received_ns=0,
        auth_ns=0,
    )
    call.labels = labels
    return call


def dispatcher(box: Box) -> Dispatcher:
    assert box.worker.gateway is not None
    return Dispatcher(box.worker.gateway.stages)


async def test_an_errand_is_answered_booked_and_linked(box: Box) -> None:
    call = a_call(box)
    fetched = await dispatcher(box).ask(call, ASK)
    assert b"embedding" in fetched.body
    assert fetched.deployment == "embed"
    await dispatcher(box).ask(call, JUDGE)
    rows = await box.settled(2)
    assert [row["call_id"] for row in rows] == ["req_test"] * 2
    assert sorted(row["attempt_id"] for row in rows) == ["req_test.1-1", "req_test.2-1"]
    assert {row["reason"].split(" ")[0] for row in rows} == {"cache-embedding", "judge"}
    assert {row["workload"] for row in rows} == {"w-chat"}
    billed = sum(row.cost_pico for row in box.bill())
    assert call.spent_pico == billed
    assert box.chain_is_whole()


async def test_an_errand_carries_the_labels_of_its_call(tmp_path: Path) -> None:
    async with running(tmp_path / "state", {"rules": [NOT_TO_OPENAI]}) as box:
        call = a_call(box, labels=labels_of(["phi"]))
        with pytest.raises(NoPermittedPlacement):
            await dispatcher(box).ask(call, ASK)
        assert not box.bill()
        await dispatcher(box).ask(call, JUDGE)
        rows = await box.settled(1)
        assert [(row["deployment"], "phi" in row["labels"]) for row in rows] == [("local", True)]


async def test_what_an_errand_contains_counts_too(tmp_path: Path) -> None:
    rule = {"id": "no-secrets", "when": {"data": ["credentials"]}, "allow": {"kind": ["edge"]}, "source": "test"}
    async with running(tmp_path / "state", {"rules": [rule]}) as box:
        secret = Errand("judge", "embeddings", {"input": "key AKIAZ7Q3MVN5K2XWPLRT secret"}, "embed")
        await dispatcher(box).ask(a_call(box), ASK)
        with pytest.raises(NoPermittedPlacement):
            await dispatcher(box).ask(a_call(box), secret)
        assert len(box.bill()) == 1


async def test_an_errand_that_comes_too_late_is_ended_and_booked(box: Box) -> None:
    box.sim.fault("hang", provider="vllm")
    with pytest.raises(UpstreamTimeout):
        await dispatcher(box).ask(a_call(box), Errand("judge", "chat", JUDGE.doc, "local", within_s=0.2))
    rows = await box.settled(1)
    assert rows[0]["state"] in ("cancelled", "unknown")
    assert rows[0]["error"] == "late"


async def test_an_errand_ends_with_whoever_asked(box: Box) -> None:
    box.sim.fault("hang", provider="vllm")
    asking = asyncio.ensure_future(dispatcher(box).ask(a_call(box), JUDGE))
    await asyncio.sleep(0.2)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await box.settled(1))[0]["state"] == "cancelled"


async def test_an_errand_never_streams_and_its_deployment_exists(box: Box) -> None:
    with pytest.raises(CallError):
        await dispatcher(box).ask(a_call(box), Errand("judge", "chat", {**JUDGE.doc, "stream": True}, "local"))
    with pytest.raises(ValueError, match="nobody"):
        await dispatcher(box).ask(a_call(box), Errand("judge", "chat", JUDGE.doc, "nobody"))
    assert not box.bill()


async def test_an_errand_does_not_go_out_after_its_call_was_stopped(box: Box) -> None:
    """It was drawn before, and may begin when its client has its answer already."""
    assert box.worker.gateway is not None
    order = Stop("workload", "w-chat", 4_000_000_000_000)
    await box.worker.obey(order)
    with pytest.raises(Stopped):
        await dispatcher(box).ask(a_call(box), ASK)
    assert not box.sim.log.entries
    await dispatcher(box).ask(a_call(box, "w-messages"), JUDGE)
    await box.worker.obey(Stop("workload", "w-chat", 0))
    await dispatcher(box).ask(a_call(box), ASK)
    assert len(box.sim.log.entries) == 2
