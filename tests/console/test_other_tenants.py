"""What somebody of one tenant may see of others, and stop: nothing, once there are others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console_desk import SECRET, Desk
from signalbox.control.alerts import Alert

TEXT = """
environments: {dc: {kind: on-prem, region: eu/de}}
deployments:
  mini: {environment: dc, protocol: openai, base_url: "http://127.0.0.1:9/v1", model: m, price: free}
workloads: {support: {placements: [mini]}}
budgets: [{for: tenant, usd_per_day: 12.50, hard: false}]
"""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "state", TEXT)
    yield await made.loaded()
    made.close()


def fire(desk: Desk, *subjects: str) -> None:
    desk.supervisor.firing = [(Alert("budget-threshold", f"{subject}@80%", "80% is used"), 1.0) for subject in subjects]
    desk.supervisor.firing.append((Alert("ledger-lag", "", "the store is behind"), 1.0))


async def subjects(desk: Desk, token: str = SECRET) -> list[str]:
    status, answer = await desk.ask("GET", "/api/alerts", f"Bearer {token}")
    assert status == 200
    return [alert["subject"] for alert in answer["alerts"]]


@pytest.mark.parametrize("role", ["admin", "operator", "auditor", "developer"])
async def test_alerts_name_no_budget_of_another_tenant(desk: Desk, role: str) -> None:
    ours, watcher = desk.key(tenant="acme", team="red", role=role)
    theirs, _ = desk.key(tenant="other", team="blue")
    own = ["tenant/acme/usd/day", "team/red/usd/day", f"key/{ours}/usd/total", "workload/support/usd/month"]
    others = ["tenant/other/usd/day", "team/blue/usd/day", f"key/{theirs}/usd/total", "user/a/b/usd/day", "session/s/usd/day"]  # fmt: skip  # noqa: E501
    fire(desk, *own, *others)
    assert await subjects(desk, watcher) == [*(f"{one}@80%" for one in own), ""]
    assert await subjects(desk) == [*(f"{one}@80%" for one in (*own, *others)), ""]
    page = (await (await desk.browser(watcher)).get("/alerts")).text if role != "developer" else ""
    assert not [one for one in others if one in page]


STOPS = [("all", ""), ("workload", "support"), ("user", "ann"), ("session", "s"), ("tenant", "other"), ("team", "both")]


@pytest.mark.parametrize(("scope", "name"), [*STOPS, ("team", "blue"), ("key", "theirs")])
async def test_an_operator_of_one_tenant_stops_nobody_elses_calls(desk: Desk, scope: str, name: str) -> None:
    _, operator = desk.key(tenant="acme", team="both", role="operator")
    ask = {"scope": scope, "name": name, "for_s": 1}
    if (scope, name) in (("all", ""), ("workload", "support"), ("team", "both")):
        # While there is nobody else, there is nobody to protect.
        assert (await desk.ask("POST", "/api/stop", f"Bearer {operator}", ask))[0] == 200
    theirs, _ = desk.key(tenant="other", team="blue")
    desk.key(tenant="other", team="both")
    ask["name"] = theirs if name == "theirs" else name
    status, answer = await desk.ask("POST", "/api/stop", f"Bearer {operator}", ask)
    assert (status, answer["error"]["code"]) == (403, "forbidden")
    assert (await desk.office.actions())[-1].refused
    assert (await desk.ask("POST", "/api/stop", f"Bearer {SECRET}", ask))[0] == 200
    assert not (await desk.office.actions())[-1].refused
    browser = await desk.browser(operator)
    await browser.get("/settings")
    asked = {"scope": scope, "name": ask["name"], "for_s": "1"}
    assert (await browser.post("/settings/stop", asked)).status == 403


async def test_an_operator_of_one_tenant_stops_its_own(desk: Desk) -> None:
    ours, operator = desk.key(tenant="acme", team="red", role="operator")
    desk.key(tenant="other", team="blue")
    for scope, name in (("tenant", "acme"), ("team", "red"), ("key", ours)):
        assert (await desk.ask("POST", "/api/stop", f"Bearer {operator}", {"scope": scope, "name": name}))[0] == 200
