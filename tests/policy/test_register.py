"""The vendor register and everything else that runs out: what counts where, until when, and what is told before."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from signalbox.config.load import load_text
from signalbox.core.labels import NONE
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import Rates
from signalbox.policy.check import Finding, check, counts
from signalbox.policy.compiling import compile_snapshot
from signalbox.policy.register import Register, stale_on
from signalbox.policy.rules import permitted

TODAY = "2026-06-15"


def unpriced(provider: str, model: str, on: date) -> Rates | None:
    return None


def config(vendors: dict[str, Any], environments: dict[str, Any], **more: Any) -> str:
    """One deployment in each environment, and one rule: a BAA is needed."""
    return json.dumps(
        {
            "environments": environments,
            "vendors": vendors,
            "deployments": {
                f"in-{name}": {
                    "environment": name,
                    "protocol": "openai",
                    "base_url": "http://127.0.0.1:9/v1",
                    "model": "m",
                    "price": "free",
                    "capabilities": {"apis": ["chat", "embeddings"]},
                }
                for name in environments
            },
            "rules": [{"id": "baa", "allow": {"attests": ["baa"]}}],
            **more,
        }
    )


def compiled(text: str, today: str = TODAY) -> Snapshot:
    return compile_snapshot(load_text(text, "f", {}), 1, today, unpriced)


def findings(text: str, today: str = TODAY) -> list[Finding]:
    declared = load_text(text, "f", {})
    return check(declared, compile_snapshot(declared, 1, today, unpriced))


def told(text: str, today: str = TODAY) -> str:
    return "\n".join(f"{each.level} {each.message}" for each in findings(text, today))


def allowed(snapshot: Snapshot, api: str = "chat") -> list[str]:
    bits = permitted(snapshot, snapshot.workloads["default"], NONE, False, api)
    return [each.environment.name for each in snapshot.deployments if bits >> each.index & 1]


CLOUD = {"kind": "cloud", "region": "us", "operator": "OpenAI"}


def test_what_is_on_file_about_an_operator_counts_in_its_environments() -> None:
    places = {
        "a": CLOUD,
        "b": {**CLOUD, "operator": "openai"},
        "c": {**CLOUD, "operator": "Other"},
        "d": {"kind": "edge"},
    }
    assert allowed(compiled(config({"OPENAI": {"attests": ["baa"]}}, places))) == ["a", "b"]
    assert allowed(compiled(config({"self": {"attests": ["baa"]}}, places))) == ["d"]


@pytest.mark.parametrize(
    ("own", "vendor", "expected"),
    [
        ([], "baa", True),
        ([{"name": "baa", "until": "2026-06-14"}], "baa", False),  # a lapsed statement of its own still wins
        ([{"name": "baa", "covers": ["embeddings"]}], "baa", False),
        (["dpa"], "baa", True),
        (["baa"], {"name": "baa", "until": "2026-06-14"}, True),
        ([], {"name": "baa", "until": "2026-06-14"}, False),
        ([], {"name": "baa", "until": "2026-06-15"}, True),
        ([], {"name": "baa", "covers": ["embeddings"]}, False),
        ([], {"name": "baa", "environments": ["b"]}, False),
        ([], {"name": "baa", "environments": ["a", "b"]}, True),
    ],
)
def test_an_environment_s_own_statement_wins_and_limits_hold(own: list[Any], vendor: Any, expected: bool) -> None:
    places = {"a": {**CLOUD, "attests": own}, "b": CLOUD}
    assert ("a" in allowed(compiled(config({"OpenAI": {"attests": [vendor]}}, places)))) is expected


@pytest.mark.parametrize(
    ("today", "words"),
    [
        ("2026-12-30", None),
        ("2026-12-31", "ends in 90 days, on 2027-03-31 (within 90 days)"),
        ("2027-03-01", "ends in 30 days, on 2027-03-31 (within 30 days)"),
        ("2027-03-24", "ends in 7 days, on 2027-03-31 (within 7 days)"),
        ("2027-03-30", "ends in 1 day, on 2027-03-31 (within 7 days)"),
        ("2027-03-31", "ends today, on 2027-03-31 (within 7 days)"),
        ("2027-04-01", "lapsed on 2027-03-31: it counts as absent"),
    ],
)
def test_what_runs_out_is_told_in_time_and_counts_to_its_last_day(today: str, words: str | None) -> None:
    attestation = {"name": "baa", "until": "2027-03-31", "evidence": "c/1.pdf", "owner": "legal@example.com"}
    text = config({"OpenAI": {"attests": [attestation]}}, {"a": CLOUD})
    assert bool(allowed(compiled(text, today))) == (today <= "2027-03-31")
    said = told(text, today)
    if words is None:
        assert "2027-03-31" not in said
    else:
        assert f"warning attestation 'baa' of vendor 'OpenAI' {words}" in said
        assert "Ask legal@example.com." in said


def test_the_configuration_is_compiled_anew_whenever_a_warning_is_due_or_something_lapses() -> None:
    attestation = {"name": "baa", "until": "2027-03-31", "evidence": "c/1.pdf"}
    documents = {"dpia": {"evidence": "d.pdf", "until": "2027-03-20"}}
    text = config(
        {"OpenAI": {"attests": [attestation]}}, {"a": CLOUD}, workloads={"w": {"facts": {"documents": documents}}}
    )
    days: list[str] = []
    day: str | None = TODAY
    while day is not None:
        day = compiled(text, day).stale_on
        days.append(day or "never")
    assert days == [
        *("2026-12-20", "2026-12-31", "2027-02-18", "2027-03-01", "2027-03-13"),
        *("2027-03-21", "2027-03-24", "2027-04-01", "never"),
    ]


def test_dates_at_the_ends_of_the_calendar_are_no_trouble() -> None:
    for until in ("0001-01-01", "9999-12-31"):
        text = config({"OpenAI": {"attests": [{"name": "baa", "until": until}]}}, {"a": CLOUD})
        assert bool(allowed(compiled(text))) == (until > TODAY)
        for today in ("0001-01-01", "9999-12-31"):
            assert stale_on(load_text(text, "f", {}).config, date.fromisoformat(today)) != today


def test_contradictions_between_register_and_environments_are_errors() -> None:
    vendor = {
        "attests": [{"name": "baa", "evidence": "c"}],
        "trains_on_data": True,
        "retention_days": 30,
        "regions": ["us", "eu"],
    }
    place = {**CLOUD, "region": "asia/jp", "storage_region": "eu/de", "attests": ["no-training", "zero-retention"]}
    said = told(config({"OpenAI": vendor}, {"a": place}))
    assert "error environment 'a' counts as no-training, but the register says that 'OpenAI' trains on data" in said
    assert "error environment 'a' counts as zero-retention, but the register says that 'OpenAI' keeps content" in said
    assert "error environment 'a' is in asia/jp, where the contract with 'OpenAI' does not reach (us, eu)" in said
    assert "is in eu/de" not in said
    agreed = {**vendor, "trains_on_data": False, "retention_days": 0, "regions": ["asia", "eu"]}
    assert "error" not in told(config({"OpenAI": agreed}, {"a": place}))


def test_entries_without_evidence_or_effect_are_told() -> None:
    said = told(config({"OpenAI": {"attests": ["baa", {"name": "dpa"}]}, "Nobody": {}}, {"a": CLOUD}))
    assert "warning vendor 'OpenAI' has no evidence on file for baa, dpa." in said
    assert "warning vendor 'Nobody' operates no environment: it has no effect." in said


def test_every_entry_knows_its_holder_owner_and_where_it_counts() -> None:
    text = config(
        {"OpenAI": {"owner": "legal", "attests": [{"name": "baa", "until": "2026-06-20"}, "dpa"]}},
        {"a": CLOUD, "b": {**CLOUD, "attests": ["baa"]}},
        workloads={"w": {"facts": {"documents": {"dpia": "d.pdf"}}}},
    )
    found = Register(load_text(text, "f", {}).config).entries()
    assert [(each.kind, each.name, each.holder, each.owner, each.environments) for each in found] == [
        ("attestation", "baa", "vendor 'OpenAI'", "legal", ("a",)),
        ("attestation", "dpa", "vendor 'OpenAI'", "legal", ("a", "b")),
        ("attestation", "baa", "environment 'b'", None, ("b",)),
        ("document", "dpia", "workload 'w'", None, ()),
    ]
    today = date.fromisoformat(TODAY)
    assert [(each.days_left(today), each.state(today)) for each in found[:2]] == [(5, "expiring"), (None, "no-end")]


def test_findings_are_counted_by_what_they_are_about() -> None:
    text = config(
        {"OpenAI": {"attests": [{"name": "baa", "until": "2026-06-20"}, {"name": "dpa", "until": "2026-06-01"}]}},
        {"a": CLOUD},
        rules=[{"id": "own", "require": {"documents": ["plan"], "environments": {"attests": ["dpa"]}}}],
    )
    found = findings(text)
    assert counts(found) == {"error": 2, "warning": 3, "expired": 1, "expiring": 1, "obligation": 2}
    messages = [each.message for each in found if each.about == "obligation"]
    assert messages == [
        "workload 'default' does not meet 'own': facts.documents has no 'plan'.",
        "workload 'default' does not meet 'own': environment 'a', which it may use, does not satisfy the condition.",
    ]
