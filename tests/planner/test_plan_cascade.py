"""A planned cascade as the gateway reads it."""

from __future__ import annotations

from msgspec.structs import replace
from test_plan_whole import CONFIG, WORKLOADS, made

from signalbox.bootstrap.compiling import compile_declared
from signalbox.config.load import load_text
from signalbox.control.apply_plan import change_of
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
