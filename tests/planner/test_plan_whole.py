"""`signalbox plan`, `audit`, `apply` and `check` from the command line, and every route in every state of failure."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from signalbox.bootstrap.storage import open_store
from signalbox.cli.main import main
from signalbox.config.load import load_text
from signalbox.control.plan_ledger import days_of, workloads_from_ledger
from signalbox.control.plan_rules import compile_options, refused_options, violations
from signalbox.control.planning import Wanted, plan_from
from signalbox.control.state import StateDir
from signalbox.control.yaml_edit import CannotEdit, set_value
from signalbox.core.errors import ConfigError
from signalbox.planner.calibration import fitted
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.claims import audit, read_claims
from signalbox.planner.plan import Plan, decode, encode
from signalbox.planner.reading import read_plan_file
from signalbox.planner.report import page
from signalbox.pricing.catalogue import rates

EXAMPLES = Path(__file__).parents[2] / "examples" / "plan"
DAY = "2026-11-20"

CONFIG = """\
# Kept as it is: comments too.
environments:
  us: {kind: cloud, region: us}   # the provider
  eu: {kind: on-prem, region: eu/de}
deployments:
  mini:
    {environment: us, protocol: openai, base_url: http://127.0.0.1:9/v1, model: m,
     price: {input_mtok: 1, output_mtok: 4}}
  local: {environment: eu, protocol: openai, base_url: http://127.0.0.1:9/v1, model: l, price: free}
workloads:
  chat:
    data: [internal]
    placements:
      - local   # first
      - mini
    # what follows stays
    strategy: fixed
  other: {data: [public]}
rules:
  - id: inside
    when: {level: restricted}
    allow: {kind: [on-prem]}
"""

WORKLOADS = """\
options:
  mini: {environment: us, kind: cloud-api, model: m, price: {input_mtok: 1, output_mtok: 4}}
workloads:
  chat: {volume: {requests_per_day: 100, input_tokens: 1000, output_tokens: 100}}
"""


def made(content: bytes, config: str | None = None) -> Plan:
    known = load_text(config, "signalbox.yaml", {}) if config else None
    wanted = Wanted(content, "w.yaml", known, shipped(), fitted(), DAY, 1, 100)
    return plan_from(wanted, lambda line: None).plan


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_gives_a_plan_and_a_page(path: Path) -> None:
    if path.stem == "claims":
        return
    planned = plan_from(Wanted(path.read_bytes(), path.name, None, shipped(), fitted(), DAY, 1, 100), lambda line: None)
    plan = planned.plan
    assert plan.placed
    assert plan.checked == ()
    assert planned.violations == ()
    assert planned.tried > 0
    text = page(plan)
    assert "<svg" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert decode(encode(plan)).fingerprint == plan.fingerprint


def test_the_pool_pays_only_together() -> None:
    content = (EXAMPLES / "twelve-small.yaml").read_bytes()
    together = made(content)
    assert {row.options[0] for row in together.placed} == {"shared-32b"}
    file = read_plan_file(content, "w").file
    alone = [
        verdict
        for verdict in together.verdicts
        if verdict.option == "managed-large" and verdict.usd_per_month is not None
    ]
    own = [
        verdict for verdict in together.verdicts if verdict.option == "shared-32b" and verdict.usd_per_month is not None
    ]
    assert len(alone) == len(own) == len(file.workloads)
    for managed, pool in zip(alone, own, strict=True):
        assert managed.usd_per_month is not None
        assert pool.usd_per_month is not None
        assert managed.usd_per_month[1] < pool.usd_per_month[1]


def test_what_cannot_be_is_answered_with_the_smallest_change() -> None:
    plan = made((EXAMPLES / "ministry.yaml").read_bytes())
    (change,) = plan.unplaced
    assert change.workload == "frontier-analysis"
    assert change.change == ("lower the quality minimum to 0.82",)


def test_the_audit_flags_the_three_errors_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    file = read_claims((EXAMPLES / "claims.yaml").read_bytes(), "claims.yaml")
    found = {
        each.claim: each
        for each in audit(file, lambda provider, model: rates(provider, model, date.fromisoformat(DAY)))
    }
    wrong = {name: round(each.recomputed, 1) for name, each in found.items() if not each.holds}
    assert wrong == {"gpt4-per-million-a-day": 450.0, "mini-api": 787.5, "hybrid": 8900.0}
    assert main(["plan", "audit", str(EXAMPLES / "claims.yaml")]) == 1
    assert "3.6%" in capsys.readouterr().out


@pytest.mark.parametrize("example", ["support-chatbot", "regulated-credit", "ministry", "nightly-batch"])
def test_rules_hold_on_every_route_in_every_state(example: str) -> None:
    """And a route that a rule forbids is found: a plan is tampered with to lead everywhere."""
    content = (EXAMPLES / f"{example}.yaml").read_bytes()
    file = read_plan_file(content, "w").file
    snapshot = compile_options(file, None, DAY)
    plan = made(content)
    found, tried = violations(snapshot, plan, file)
    assert found == []
    assert tried >= len(plan.routing)
    forbidden = {(name, option) for name, of in refused_options(snapshot, file).items() for option in of}
    everywhere = {name: replace(row, order=tuple(file.options)) for name, row in plan.routing.items()}
    broken, _ = violations(snapshot, replace(plan, routing=everywhere), file)
    assert {(each.workload, each.option) for each in broken} == {each for each in forbidden if each[0] in plan.routing}


def test_rules_of_the_file_and_of_signalbox_yaml_both_count() -> None:
    text = WORKLOADS.replace("chat: {", "chat: {data: [restricted], ").encode()
    plan = made(text, CONFIG)
    assert plan.status == "infeasible"
    assert "inside" in plan.unplaced[0].sentence()


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("workloads", "chat", "placements"), ["mini"], "    placements: [mini]   # first"),
        (("workloads", "chat", "strategy"), "overflow", "    strategy: overflow"),
        (("workloads", "other", "placements"), ["mini"], "  other: {data: [public], placements: [mini]}"),
        (("workloads", "new", "placements"), ["mini"], "  new: {placements: [mini]}"),
        (("teams", "a", "workloads"), ["chat"], "teams: {a: {workloads: [chat]}}"),
    ],
)
def test_edits_change_one_value_and_nothing_else(path: tuple[str, ...], value: Any, line: str) -> None:
    after = set_value(CONFIG, path, value)
    kept = [each for each in CONFIG.splitlines() if each.strip().startswith("#") or "# the provider" in each]
    assert all(each in after.splitlines() for each in kept)
    assert line in after.splitlines() or path[1] == "chat"
    got = load_text(after, "f", {}).config if path[0] != "teams" else None
    if got is not None:
        assert getattr(got.workloads[path[1]], path[2]) == value


def test_what_is_no_mapping_is_not_edited() -> None:
    with pytest.raises(CannotEdit):
        set_value("workloads: [a]\n", ("workloads", "a", "strategy"), "fixed")


def test_apply_shows_writes_keeps_and_goes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, plan = tmp_path / "signalbox.yaml", tmp_path / "plan.json"
    workloads, state = tmp_path / "w.yaml", tmp_path / "state"
    config.write_text(CONFIG)
    workloads.write_text(WORKLOADS)
    common = ["--config", str(config), "--state-dir", str(state)]
    planned = ["plan", str(workloads), "--out", str(plan), "--no-html", "--quiet", "--draws", "50", *common]
    assert main(planned) == 0
    assert main(["apply", str(plan), *common]) == 0
    assert config.read_text() == CONFIG
    assert "+    placements: [mini]" in capsys.readouterr().out
    assert main(["apply", str(plan), "--yes", *common]) == 0
    applied = load_text(config.read_text(), "f", {}).config.workloads["chat"]
    assert applied.placements == ["mini"]
    made_usd = json.loads(plan.read_text())["routing"]["chat"]["budget_usd"]
    assert applied.budget is not None
    assert (applied.budget.usd_per_month, applied.budget.hard) == (made_usd, False)
    assert made_usd > 0
    assert "# Kept as it is" in config.read_text()
    assert main(["apply", str(plan), "--yes", *common]) == 1, "a plan for what was before is stale"
    assert "Plan again" in capsys.readouterr().err
    assert main(["apply", "--list", "--json", "--state-dir", str(state)]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert main(["apply", "--rollback", kept["id"], "--yes", *common]) == 0
    assert config.read_text() == CONFIG
    assert main(["apply", "--rollback", "nope", "--yes", *common]) == 2


def test_a_plan_that_was_changed_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, plan = tmp_path / "signalbox.yaml", tmp_path / "plan.json"
    config.write_text(CONFIG)
    whole = json.loads(encode(made(WORKLOADS.encode(), CONFIG)))
    whole["routing"]["chat"]["order"] = ["local"]
    plan.write_text(json.dumps(whole))
    assert main(["apply", str(plan), "--config", str(config), "--state-dir", str(tmp_path / "s")]) == 1
    assert "changed after it was made" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"name": 1}', ""])
def test_what_is_no_plan_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(content)
    (tmp_path / "signalbox.yaml").write_text(CONFIG)
    options = ["--config", str(tmp_path / "signalbox.yaml"), "--state-dir", str(tmp_path / "s")]
    assert main(["apply", str(tmp_path / "plan.json"), *options]) == 2
    assert main(["plan", "check", str(tmp_path / "plan.json"), *options]) == 2


def test_an_empty_ledger_is_told(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    store = open_store(state)
    declared = load_text(CONFIG, "f", {})
    try:
        with pytest.raises(ConfigError, match="no settled call"):
            workloads_from_ledger(
                store,
                declared,
                compile_options(
                    read_plan_file(WORKLOADS.encode(), "w", known_environments=frozenset(("us",))).file, declared, DAY
                ),
                "30d",
                DAY,
            )
    finally:
        store.close()
    for text in ("0d", "x", "9999d", "-3"):
        with pytest.raises(ConfigError):
            days_of(text)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("workloads: {a: {volume: {requests_per_day: 5}}}\n", "nowhere to run"),
        ("workloads: {}\n", "no workloads"),
        ("\x00", "not allow|not valid|does not allow"),
        ("workloads: {a: {volume: {requests_per_day: -5}}}\n", "out of range"),
        ("workloads: {a: {volume: {requests_per_day: .nan}}}\n", "out of range"),
    ],
)
def test_bad_files_are_findings(
    content: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.yaml").write_text(content)
    assert main(["plan", "w.yaml", "--quiet"]) == 2
    assert re.search(what, capsys.readouterr().err)


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example = str(EXAMPLES / "document-pipeline.yaml")
    assert main(["plan", example, "--quiet", "--draws", "10", "--out", "absent/plan.json"]) == 2
    assert "cannot be written" in capsys.readouterr().err
