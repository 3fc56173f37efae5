"""Packs and conditions on callers through the whole gateway: who may, who may not, and the citation in the refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import running

MESSAGES = [{"role": "user", "content": "hello"}]


def body(model: str) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES}


async def test_a_refusal_by_a_pack_names_its_rule_and_its_citation(tmp_path: Path) -> None:
    config = {"packs": ["hipaa"], "workloads": {"w-chat": {"placements": ["chat"], "data": ["phi"]}}}
    async with running(tmp_path, config) as box:
        answer = await box.request("/v1/chat/completions", body("w-chat"))
        assert answer.status == 400
        assert answer.json["error"]["code"] == "no_permitted_placement"
        assert "hipaa.business-associate (45 CFR 160.103, 164.308(b)" in answer.json["error"]["message"]
        allowed = await box.request("/v1/chat/completions", body("w-local"), headers={"x-signalbox-data": "phi"})
        assert allowed.status == 200
        assert [row.provider for row in box.bill()] == ["vllm"]


async def test_a_contract_in_the_register_opens_the_way_and_one_that_lapsed_does_not(tmp_path: Path) -> None:
    held: dict[str, Any] = {"name": "baa", "evidence": "c/1.pdf"}
    for until, status in (("2999-12-31", 200), ("2020-01-01", 400)):
        vendors = {"SIM": {"attests": [{**held, "until": until}]}}
        config = {
            "packs": ["hipaa"],
            "vendors": vendors,
            "workloads": {"w-chat": {"placements": ["chat"], "data": ["phi"]}},
        }
        async with running(tmp_path / until, config) as box:
            assert (await box.request("/v1/chat/completions", body("w-chat"))).status == status
            assert len(box.bill()) == (status == 200)


async def test_a_rule_about_a_team_or_a_tenant_binds_its_keys_and_no_others(tmp_path: Path) -> None:
    rules = [
        {"id": "contractors-inside", "when": {"teams": ["contractors"]}, "allow": {"kind": ["on-prem"]}},
        {"id": "acme-inside", "when": {"tenants": ["acme"]}, "allow": {"kind": ["on-prem"]}},
    ]
    async with running(tmp_path, {"rules": rules, "teams": {"contractors": {}, "staff": {}}}) as box:
        inside = {"team": "contractors"}, {"tenant": "acme"}, {"team": "contractors", "tenant": "acme"}
        free: tuple[dict[str, str], ...] = ({}, {"team": "staff"}, {"tenant": "other"})
        for who, expected in [*((who, 400) for who in inside), *((who, 200) for who in free)] * 2:
            key = await box.new_key(**who)
            assert (await box.request("/v1/chat/completions", body("w-chat"), key=key)).status == expected, who
            assert (await box.request("/v1/chat/completions", body("w-local"), key=key)).status == 200
            pinned = await box.new_key(**who, deployments=("chat",))
            assert (await box.request("/v1/chat/completions", body("chat"), key=pinned)).status == expected, who
