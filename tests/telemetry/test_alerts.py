"""Alerts: what makes each of them fire, who is told, how often, with what signature, and what they never carry."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest
from collector import Collector, collecting

from process.installation import PATHS, Served, body_of, installation, until
from signalbox.config.schema_telemetry import AlertName, Webhook
from signalbox.control.alerts import HOLD_S, SEVERITIES, Alert, Facts, Judge
from signalbox.control.webhooks import Webhooks
from signalbox.core.budgets import Balance, Budget
from signalbox.core.secret import Secret
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Metrics

KEY = "a webhook's secret"
BUDGETS = (Budget("workload", "w", "usd", "month", 1000), Budget("user", "", "tokens", "day", 100, hard=False))


def facts(*counts: tuple[tuple[str, ...], float], **more: Any) -> Facts:
    metrics = Metrics()
    for key, value in counts:
        metrics.set(key, value)
    usual: dict[str, Any] = {
        "due": {}, "last_error": "", "budgets": BUDGETS, "balances": [], "thresholds": [0.8, 1.0], "ledger_lag_s": 300,
    }  # fmt: skip
    return Facts(metrics=metrics, **{**usual, **more})


def balance(account: str, spent: int, used: int = 0) -> Balance:
    return Balance(account, 0, spent, used, used)


CAUSES: dict[AlertName, Facts] = {
    "journal-unhealthy": facts((("signalbox_journals_unhealthy",), 1)),
    "chain-broken": facts((("signalbox_journal_findings_total",), 1)),
    "ledger-lag": facts((("signalbox_ledger_lag_seconds",), 301)),
    "unpriced-usage": facts((("signalbox_unpriced_attempts_total", "d"), 1)),
    "unknown-usage-field": facts((("signalbox_unknown_usage_fields_total", "d"), 1)),
    "breaker-open": facts((("signalbox_replicas_out_of_use", "d"), 1)),
    "attestation-expired": facts(due={"expired": 1}),
    "attestation-expiring": facts(due={"expiring": 1}),
    "obligation-missed": facts(due={"obligation": 1}),
    "budget-threshold": facts(balances=[balance("workload/w/usd/month", 700, 100)]),
    "reload-refused": facts(last_error="signalbox.yaml:3: no"),
    "worker-restarts": facts((("signalbox_worker_restarts_total",), 1)),
    "shedding": facts((("signalbox_shed_total", "batch"), 1)),
    "telemetry-lost": facts((("signalbox_spans_total", "lost"), 1)),
    "guard-skipped": facts((("signalbox_guard_verdicts_total", "w", "external", "skipped"), 1)),
    "prompt-leak": facts((("signalbox_guard_verdicts_total", "w", "no-system-prompt-leak", "cut"), 1)),
    "guard-anomaly": facts(
        (("signalbox_guard_verdicts_total", "w", "signals", "flag"), 60),
        (("signalbox_workload_attempts_total", "w"), 90),
    ),
    "anchor-failing": facts((("signalbox_anchor_failing",), 1)),
    "key-set-stale": facts((("signalbox_key_set_failing", "corp"), 1)),
}


def test_every_alert_there_is_can_fire() -> None:
    assert CAUSES.keys() == SEVERITIES.keys() == set(get_args(AlertName))


@pytest.mark.parametrize("name", CAUSES)
def test_an_alert_fires_for_its_cause_alone(name: AlertName) -> None:
    assert [alert.name for alert in Judge().firing(CAUSES[name], 0)] == [name]
    assert Judge().firing(facts(), 0) == []


def test_a_guard_that_finds_far_more_than_usual_is_told() -> None:
    judge, calls, flags = Judge(), 0, 0

    def look(minute: int, guard: str = "signals", action: str = "flag") -> list[str]:
        counts = facts(
            (("signalbox_guard_verdicts_total", "w", guard, action), flags),
            (("signalbox_workload_attempts_total", "w"), calls),
        )
        return [alert.subject for alert in judge.firing(counts, minute * 60)]

    for minute in range(60):  # two of a hundred, hour after hour
        calls, flags = calls + 100, flags + 2
        assert look(minute) == [], minute
    calls, flags = calls + 100, flags + 40
    assert look(61) == ["w signals"]
    judge = Judge()  # and tokens for values in every call are no finding
    assert look(0, "pseudonymise", "replace") == []


def test_what_is_counted_holds_for_a_while_and_then_ends() -> None:
    judge, cause = Judge(), CAUSES["unpriced-usage"]
    assert judge.firing(cause, 0)
    assert judge.firing(cause, HOLD_S - 1)
    assert not judge.firing(cause, HOLD_S + 1), "it stands still"
    assert judge.firing(facts((("signalbox_unpriced_attempts_total", "d"), 2)), HOLD_S + 2)


def test_budgets_fire_at_each_threshold_for_each_one_of_a_scope() -> None:
    def subjects(*balances: Balance) -> dict[str, str]:
        return {alert.subject: alert.severity for alert in Judge().firing(facts(balances=list(balances)), 0)}

    assert subjects(balance("workload/w/usd/month", 799)) == {}
    assert subjects(balance("workload/w/usd/month", 800)) == {"workload/w/usd/month@80%": "warning"}
    assert subjects(balance("workload/w/usd/month", 900, 100)) == {"workload/w/usd/month@100%": "critical"}
    assert subjects(balance("user/eva/tokens/day", 80), balance("user/ben/tokens/day", 1)) == {
        "user/eva/tokens/day@80%": "warning"
    }
    # A name may be a caller's own: nothing in it acts on whoever reads.
    (subject,) = subjects(balance("user/\x1b[2J\u202e<b>/x\n/tokens/day", 100))
    assert subject.isprintable()


# --- telling ---


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as made:
        yield made


def signed(headers: dict[str, str], body: bytes) -> bool:
    """As a receiver checks it."""
    parts = dict(part.split("=", 1) for part in headers["x-signalbox-signature"].split(","))
    wanted = hmac.new(KEY.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, parts["v1"])


async def test_a_receiver_is_told_once_then_again_later_and_at_the_end(collector: Collector) -> None:
    collector.answers = [b"503 No\r\n", b"500 No\r\n"]
    webhooks = Webhooks(Log("test"))
    await webhooks.follow(
        [
            Webhook(f"{collector.url}/hook/a", secret=Secret(KEY)),
            Webhook(f"{collector.url}/hook/b", alerts=["ledger-lag"]),
        ]
    )
    alert = Alert("breaker-open", "d", "1 replicas get no calls")
    for now_s in (0, 1, 2):
        webhooks.tell([alert], 100, now_s)
    await until(lambda: len(collector.requests) == 2, "told, and told again after the 503", 20)
    assert webhooks.deliveries == {"failed": 1}, "a 500 is no invitation to try again"
    webhooks.tell([alert], 100, 101)
    webhooks.tell([], 100, 102)
    await until(lambda: webhooks.deliveries.get("delivered") == 2, "again after repeat_s, and at the end", 20)
    assert {path for path, *_ in collector.requests} == {"/hook/a"}
    events = [json.loads(body) for _, _, body in collector.requests]
    assert [event["event"] for event in events] == ["firing", "firing", "firing", "resolved"]
    assert all(signed(headers, body) for _, headers, body in collector.requests)
    assert not signed(collector.requests[0][1], collector.requests[0][2] + b" ")
    assert events[0]["id"] == events[1]["id"] != events[2]["id"]
    assert (events[0]["alert"], events[0]["subject"], events[0]["severity"]) == ("breaker-open", "d", "warning")
    await webhooks.close()


async def test_who_could_not_be_told_is_told_again_soon_and_nobody_else(collector: Collector) -> None:
    collector.answers = [b"500 No\r\n"]
    webhooks = Webhooks(Log("test"))
    await webhooks.follow([Webhook(f"{collector.url}/hook/a")])
    alert = Alert("journal-unhealthy", "", "calls are refused")
    webhooks.tell([alert], 14_400, 0)
    await until(lambda: webhooks.deliveries == {"failed": 1}, "not told", 20)
    for now_s in (5, 64):
        webhooks.tell([alert], 14_400, now_s)
    await asyncio.sleep(0.1)
    assert len(collector.requests) == 1, "not at once: it has had its tries"
    for now_s in (65, 66, 200):
        webhooks.tell([alert], 14_400, now_s)
    await until(lambda: webhooks.deliveries.get("delivered") == 1, "told a minute later", 20)
    await asyncio.sleep(0.1)
    assert len(collector.requests) == 2, "and then no more than others are"
    await webhooks.close()


async def test_nothing_is_sent_where_nothing_may_be_sent(collector: Collector) -> None:
    webhooks = Webhooks(Log("test"))
    metadata = "http://metadata.localtest.invalid/"
    await webhooks.follow(
        [
            Webhook("http://169.254.169.254/latest"),  # refused as written
            Webhook(f"http://user:word@127.0.0.1:{collector.port}/"),
            Webhook(f"{collector.url}/private", allow_private=False),
            Webhook(metadata),
        ]
    )
    webhooks.tell([Alert("ledger-lag", "", "late")], 100, 0)
    await until(lambda: webhooks.deliveries.get("failed", 0) >= 1, "refused", 20)
    assert collector.requests == []
    await webhooks.close()


async def test_what_waits_for_a_receiver_is_bounded() -> None:
    webhooks = Webhooks(Log("test"))
    await webhooks.follow([Webhook("http://127.0.0.1:9/")])
    webhooks.tell([Alert("breaker-open", f"d{index}", "x") for index in range(1000)], 100, 0)
    assert webhooks.deliveries["dropped"] == 1000 - 256
    await webhooks.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with installation(tmp_path) as made:
        yield made


async def test_an_installation_tells_of_unpriced_usage_and_of_a_budget(served: Served, collector: Collector) -> None:
    served.config["deployments"]["local"].pop("price")
    served.config["workloads"]["w-chat"]["budget"] = {"usd_per_day": 0.0001, "hard": False}
    served.config["alerts"] = {
        "webhooks": [{"url": f"{collector.url}/hook", "secret": KEY}],
        "budget_thresholds": [0.5],
    }
    served.write()
    await served.start()
    for workload in ("w-local", "w-chat"):
        answers = [served.request(PATHS["chat"], body_of("chat", workload, "Say [[tokens:300]]")) for _ in range(2)]
        await asyncio.gather(*answers)
    (own,) = served.cli("keys", "create", "--name", "own", "--budget-usd", "0.001")
    for _ in range(4):  # each gets what is left, until nothing is
        await served.request(PATHS["chat"], body_of("chat", "w-messages", "Say [[tokens:900]]"), key=own["key"])

    def told() -> set[tuple[str, str]]:
        events = [json.loads(body) for *_, body in collector.requests]
        return {(event["alert"], event["subject"].partition("@")[0]) for event in events}

    wanted = {
        ("unpriced-usage", "local"),
        ("budget-threshold", "workload/w-chat/usd/day"),
        ("budget-threshold", f"key/{own['id']}/usd/total"),
    }
    await until(lambda: wanted <= told(), "all are told", 45)
    shown = (await served.admin("/api/alerts")).json["alerts"]
    assert {"unpriced-usage", "budget-threshold"} <= {alert["alert"] for alert in shown}
    page = (await served.admin("/metrics")).body.decode()
    assert 'signalbox_alerts_firing{alert="unpriced-usage",severity="warning"} 1' in page
    assert 'signalbox_budget_used_ratio{account="workload/w-chat/' in page
    assert KEY not in page + served.stderr()
