"""Ids of what a provider keeps: nobody may name what was made for another tenant, over all ids of an answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running

PATH = "/v1/responses"


def body(**more: Any) -> dict[str, Any]:
    return {"model": "w-responses", "input": "hello there", **more}


async def made(box: Box, key: str, *, stream: bool) -> list[str]:
    """The ids that an answer of this key told."""
    answer = await box.request(PATH, body(stream=stream), key=key)
    assert answer.status == 200
    found = re.findall(rb'"id": ?"((?:resp|msg)_[A-Za-z0-9_-]+)"', answer.body)
    return sorted({name.decode() for name in found})


def naming(name: str) -> list[dict[str, Any]]:
    return [
        body(previous_response_id=name),
        body(conversation=name),
        body(conversation={"id": name}),
        body(input=[{"type": "item_reference", "id": name}]),
        body(input=[{"id": name}]),
    ]


@pytest.mark.parametrize("stream", [True, False])
async def test_what_was_made_for_another_tenant_does_not_exist(tmp_path: Path, stream: bool) -> None:
    async with running(tmp_path) as box:
        ours, theirs = await box.new_key(tenant="ours"), await box.new_key(tenant="theirs")
        colleague = await box.new_key(tenant="ours", team="other")
        names = await made(box, ours, stream=stream)
        assert {name.partition("_")[0] for name in names} == {"resp", "msg"}
        before = len(box.bill())
        for name in (*names, "resp_nobodys", "resp_" + "x" * 300, "'; DROP TABLE x; --", "\x00", "é"):
            for doc in naming(name):
                answer = await box.request(PATH, doc, key=theirs)
                assert answer.status == 404, (doc, answer.body)
                assert answer.json["error"]["code"] == "provider_state_not_found"
        assert len(box.bill()) == before
        for name in names:
            for key in (ours, colleague):
                assert (await box.request(PATH, naming(name)[0], key=key)).status == 200


async def test_a_single_tenant_pays_nothing_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert (await box.request(PATH, body(previous_response_id="resp_from_elsewhere"))).status == 200
        assert not box.state.owners.exists()


async def test_it_can_be_allowed(tmp_path: Path) -> None:
    async with running(tmp_path, {"conversations": {"share_provider_state": True}}) as box:
        key = await box.new_key(tenant="theirs")
        assert (await box.request(PATH, body(previous_response_id="resp_from_elsewhere"), key=key)).status == 200
