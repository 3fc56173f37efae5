"""`bench deployment` against a gateway on a real socket, and the ledger of what it did planned and tested back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from harness import running
from signalbox.bootstrap.compiling import compile_declared
from signalbox.bootstrap.storage import open_store
from signalbox.config.load import load_text
from signalbox.control.deployment_bench import Mix, Target, measure
from signalbox.control.plan_ledger import back_test, workloads_from_ledger
from signalbox.control.planning import Wanted, plan_from
from signalbox.core.errors import ConfigError
from signalbox.ledger.ship import Shipping
from signalbox.planner.calibration import fitted
from signalbox.planner.catalogue.read import shipped

CONFIG = """\
environments: {{us: {{kind: cloud, region: us}}}}
deployments:
  mini: {{environment: us, protocol: openai, base_url: "{url}", model: sim-small, api_key: k,
         allow_private: true,
         price: {{input_mtok: 1, output_mtok: 4}}}}
  unpriced: {{environment: us, protocol: openai, base_url: "{url}", model: sim-large, api_key: k, allow_private: true}}
workloads: {{chat: {{placements: [mini]}}}}
"""


async def test_a_deployment_is_measured_and_its_ledger_plans_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await box.configure(CONFIG.format(url=box.sim.base_url("openai", "openai")))
        target = Target.of(box.url, "mini", box.key, 30)
        found = await measure(target, Mix(200, 20), 4, 12)
        assert (found.calls, found.failed, found.error) == (12, 0, "")
        assert found.output_tokens > 0
        assert 0 < found.ttft_p50_ms <= found.ttft_p95_ms <= found.e2e_p95_ms
        rows = await box.settled(12)
        text = CONFIG.format(url=box.sim.base_url("openai", "openai"))
    declared = load_text(text, "signalbox.yaml", {})
    store = open_store(box.state)
    today = datetime.now(UTC).date().isoformat()
    try:
        Shipping(store, box.state.journal).ship_once()
        content = workloads_from_ledger(store, declared, compile_declared(declared, 1).snapshot, "1d", today)
        wanted = Wanted(content, "ledger", declared, shipped(), fitted(), today, 1, 50)
        plan = plan_from(wanted, lambda line: None).plan
        assert [row.options for row in plan.placed] == [("mini",)]
        anywhere = yaml.safe_load(content)
        del anywhere["workloads"]["chat"]["options"]
        free = plan_from(replace(wanted, content=yaml.safe_dump(anywhere).encode()), lambda line: None).plan
        assert [each.option for each in free.missing] == ["unpriced"], "a deployment without a price stays in sight"
        tested = back_test(plan, plan.deployments, store, "1d", today)
    finally:
        store.close()
    assert tested.calls == len(rows)
    assert tested.measured_usd == pytest.approx(sum(float(row["cost_usd"]) for row in rows))
    assert tested.error < 0.10
    assert tested.drifts == ()


async def test_what_nobody_granted_fails_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await box.configure(CONFIG.format(url=box.sim.base_url("openai", "openai")))
        found = await measure(Target.of(box.url, "absent", box.key, 30), Mix(10, 5), 2, 2)
    assert found.failed == 2
    assert "404" in found.error


def test_what_is_no_gateway_is_refused() -> None:
    with pytest.raises(ConfigError):
        Target.of("ftp://x", "mini", "k", 1)
