"""A planned cascade as the gateway reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace
from test_plan_whole import CONFIG, WORKLOADS, made

from harness import running
from signalbox.bootstrap.compiling import compile_declared
from signalbox.bootstrap.storage import open_store
from signalbox.config.load import load_text
from signalbox.control.apply_plan import change_of
from signalbox.control.plan_ledger import back_test, workloads_from_ledger
from signalbox.ledger.ship import Shipping
from signalbox.planner.plan import Plan, RoutingRow, fingerprint

# Free and unpriced models alike may be planned: what they cost is more than tokens.
UNPRICED = CONFIG.replace("model: l, price: free", "model: l")


def routed(config: str, order: tuple[str, ...], escalates_to: str) -> Plan:
    plan = made(WORKLOADS.encode(), config)
    routing = {**plan.routing, "chat": RoutingRow(order, "cascade", escalates_to)}
    places = {**plan.places, "local": replace(plan.places["mini"], environment="eu", model="l", deployment="local")}
    return replace(plan, places=places, routing=routing, fingerprint=fingerprint(plan.sources, routing))


def test_a_planned_cascade_is_written_and_can_be_put_in_force() -> None:
    for config in (CONFIG, UNPRICED):
        declared = load_text(config, "signalbox.yaml", {})
        change = change_of(routed(config, ("local",), "mini"), declared, config)
        after = load_text(change.after, "signalbox.yaml", {})
        written = after.config.workloads["chat"]
        assert (written.strategy, written.placements) == ("cascade", ["local", "mini"])
        assert written.cascade is not None
        assert (written.cascade.weak, written.cascade.strong) == ("local", "mini")
        pair = compile_declared(after, 1).snapshot.workloads["chat"].cascade
        assert pair is not None
        assert pair.weak != pair.strong


def test_a_cascade_onto_itself_or_nothing_is_an_order() -> None:
    declared = load_text(CONFIG, "signalbox.yaml", {})
    for order, target in ((("mini",), "mini"), (("mini",), "gone")):
        change = change_of(routed(CONFIG, order, target), declared, CONFIG)
        assert load_text(change.after, "signalbox.yaml", {}).config.workloads["chat"].strategy == "fixed"


SERVED = """\
environments: {{us: {{kind: cloud, region: us}}}}
deployments:
  weak: {{environment: us, protocol: openai, base_url: "{url}", model: sim-small, api_key: k,
         allow_private: true, health: {{enabled: false}}, price: {{input_mtok: 0.1, output_mtok: 0.4}}}}
  strong: {{environment: us, protocol: openai, base_url: "{url}", model: sim-large, api_key: k,
           allow_private: true, health: {{enabled: false}}, price: {{input_mtok: 5, output_mtok: 20}}}}
workloads: {{chat: {{placements: [strong]}}}}
"""
# The weak model alone is not good enough, the strong one alone is dear, and both together are neither.
WANTED = """\
options:
  weak:
    {environment: us, kind: cloud-api, model: sim-small, deployment: weak, quality: {general: 0.7},
     price: {input_mtok: 0.1, output_mtok: 0.4}}
  strong:
    {environment: us, kind: cloud-api, model: sim-large, deployment: strong, quality: {general: 0.95},
     price: {input_mtok: 5, output_mtok: 20}}
workloads:
  chat:
    volume: {requests_per_day: 4, input_tokens: 30, output_tokens: 10, history: false}
    quality: {minimum: 0.8, escalation: true, escalation_share: 0.5}
"""
GOOD, DOUBTFUL = "[[text:The train leaves at noon.]]", "[[text:I'm sorry, but I cannot help with that.]]"


async def test_a_cascade_is_planned_applied_served_and_compared(tmp_path: Path) -> None:
    """From the workload file to the second question, and back from the ledger to the plan."""
    async with running(tmp_path) as box:
        config = SERVED.format(url=box.sim.base_url("openai", "openai"))
        declared = load_text(config, "signalbox.yaml", {})
        plan = made(WANTED.encode(), config)
        assert (plan.routing["chat"].strategy, plan.routing["chat"].order[0]) == ("cascade", "weak")
        assert plan.facts["chat"].escalated == 0.5
        text = change_of(plan, declared, config).after
        assert not await box.configure(text)
        for said in (GOOD, DOUBTFUL, GOOD, DOUBTFUL):
            asked = {"model": "chat", "messages": [{"role": "user", "content": said}]}
            assert (await box.request("/v1/chat/completions", asked)).status == 200
        rows = await box.settled(6)
        assert sorted(row["deployment"] for row in rows) == ["strong", "strong", "weak", "weak", "weak", "weak"]
    applied = load_text(text, "signalbox.yaml", {})
    today = datetime.now(UTC).date().isoformat()
    store = open_store(box.state)
    try:
        Shipping(store, box.state.journal).ship_once()
        tested = back_test(plan, plan.deployments, store, "2d", today)
        content = workloads_from_ledger(store, applied, compile_declared(applied, 1).snapshot, "2d", today)
    finally:
        store.close()
    assert tested.calls == 4, "a call that is asked again is one call"
    assert "share that is asked again" not in [drift.what for drift in tested.drifts]
    quality = yaml.safe_load(content)["workloads"]["chat"]["quality"]
    assert (quality["escalation"], quality["escalation_share"]["value"]) == (True, 0.5)
    assert tested.measured_usd == pytest.approx(sum(float(row["cost_usd"]) for row in rows))


def test_a_cascade_in_a_ledger_without_scores_is_planned_all_the_same() -> None:
    wanted = WANTED.replace(" quality: {general: 0.7},", "").replace(" quality: {general: 0.95},", "")
    plan = made(wanted.replace("minimum: 0.8, ", "").encode(), SERVED.format(url="http://127.0.0.1:9/v1"))
    assert [row.options for row in plan.placed] == [("weak",)]
