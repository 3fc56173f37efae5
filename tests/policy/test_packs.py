"""Rule packs: that each is dated, cited and honest about itself, and what it decides, case by case.

golden/packs/<pack>.yaml holds the cases. `decisions`: one environment and one question each, with `permitted: true` or
the rules that forbid (`by`). `obligations`: a workload's facts and the rules whose miss is an error or a warning, once
for each thing missed. The day is 2026-11-20 unless a case says `on`.
"""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from signalbox.config.load import load_text
from signalbox.config.schema import PACKS
from signalbox.core.errors import ConfigError
from signalbox.core.labels import labels_of
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import Rates
from signalbox.policy.check import Finding, check
from signalbox.policy.compiling import compile_snapshot
from signalbox.policy.packs import FOLDER, pack, read_pack
from signalbox.policy.rules import permitted, refusals

GOLDEN = Path(__file__).parent / "golden" / "packs"
TODAY = "2026-11-20"


def unpriced(provider: str, model: str, on: date) -> Rates | None:
    return None


def loaded(config: dict[str, Any], today: str = TODAY) -> tuple[Snapshot, list[Finding]]:
    declared = load_text(json.dumps(config), "f", {})
    snapshot = compile_snapshot(declared, 1, today, unpriced)
    return snapshot, check(declared, snapshot)


def one(packs: list[str], case: dict[str, Any], today: str = TODAY) -> tuple[Snapshot, list[Finding]]:
    """One workload, one deployment in the environment of the case."""
    workload = {key: case[key] for key in ("data", "regulations", "facts") if key in case}
    return loaded(
        {
            "packs": packs,
            "environments": {"here": case.get("environment", {"kind": "on-prem", "region": "eu"})},
            "deployments": {
                "m": {
                    "environment": "here",
                    "protocol": "openai",
                    "base_url": "http://127.0.0.1:9/v1",
                    "model": "m",
                    "capabilities": {"apis": ["chat", "embeddings"]},
                }
            },
            "workloads": {"w": workload},
        },
        today,
    )


def cases(section: str) -> list[Any]:
    return [
        pytest.param(path.stem, case, id=f"{path.stem}-{number}")
        for path in sorted(GOLDEN.glob("*.yaml"))
        for number, case in enumerate(yaml.load(path.read_text(), Loader=yaml.BaseLoader).get(section, []))
    ]


@pytest.mark.parametrize(("name", "case"), cases("decisions"))
def test_a_pack_decides_as_its_golden_file_says(name: str, case: dict[str, Any]) -> None:
    snapshot, _ = one([name], case)
    workload, labels = snapshot.workloads["w"], labels_of(case["data"])
    onward, guard = case.get("onward") == "true", case.get("guard", "")
    bits = permitted(snapshot, workload, labels, onward, "chat", guard=guard)
    reasons = refusals(snapshot, workload, labels, onward, "chat", guard=guard)
    assert [rule for rule, _ in reasons.get("m", [])] == case.get("by", [])
    assert bool(bits) == (case.get("permitted") == "true")
    assert all(source for _, source in reasons.get("m", []))


@pytest.mark.parametrize(("name", "case"), cases("obligations"))
def test_a_pack_asks_for_what_its_golden_file_says(name: str, case: dict[str, Any]) -> None:
    case = {**case, "facts": numbers(case["facts"])}
    _, findings = one([name], case, case.get("on", TODAY))
    for level in ("error", "warning"):
        found = [each.message for each in findings if each.level == level and each.about == "obligation"]
        expected = case.get(level, [])
        assert len(found) == len(expected), found
        for message, rule in zip(found, expected, strict=True):
            assert message.startswith(f"workload 'w' does not meet {rule!r} (")


def numbers(facts: dict[str, Any]) -> dict[str, Any]:
    """The cases are read as text throughout, so that dates stay dates."""
    plain = {key: value for key, value in facts.items() if key in ("documents",)}
    return plain | {key: json.loads(value) for key, value in facts.items() if key not in plain}


def test_every_pack_has_golden_cases_in_which_each_of_its_rules_speaks() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(PACKS)
    for name in PACKS:
        text = (GOLDEN / f"{name}.yaml").read_text()
        for rule in pack(name).pack.rules:
            assert re.search(rf"{re.escape(name)}\.{re.escape(rule.id)}\b", text), rule.id


def test_the_packs_that_may_be_named_are_those_that_ship() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(PACKS)


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_is_dated_cited_and_says_what_it_does_not_claim(name: str) -> None:
    about = pack(name).pack
    assert about.id == name
    assert date.fromisoformat(about.effective_from) < date.fromisoformat(about.version)
    assert about.regulations[0] in (name, *(rule.when.regulations[0] for rule in about.rules if rule.when.regulations))
    assert about.claims_not
    assert about.rules
    assert len({rule.id for rule in about.rules}) == len(about.rules)
    for rule in about.rules:
        assert rule.source
        assert re.search(r"\d", rule.source) or "Sarbanes" in rule.source
        assert len(rule.note) > 20
        # A pack may not name what only an operator's file can hold.
        assert [*rule.when.workloads, *rule.when.teams, *rule.when.tenants] == []
        assert set(rule.when.regulations) <= set(about.regulations)
    labels_of(about.expects)
    assert about.successor is None or about.successor in PACKS
    assert (about.until is None) == (about.status != "rescinded")


def test_what_rests_on_general_knowledge_is_marked_and_warned_of() -> None:
    unverified = {name: [r.id for r in pack(name).pack.rules if r.verified == "unverified"] for name in PACKS}
    assert unverified["sox"] == ["unreleased-figures", "records"]
    assert unverified["pdpl-uae"] == ["transfer", "health"]
    assert unverified["pci-dss"] == ["authentication-data", "card-numbers"]
    assert unverified["itar"] == []
    _, findings = one(["hipaa", "itar"], {"data": ["phi"], "regulations": ["hipaa"]})
    told = [each.message for each in findings]
    assert any(
        "'hipaa' has rules that nobody verified against their source (substance-use-records, psych" in m for m in told
    )
    assert not any("'itar' has rules" in message for message in told)


def test_sr_11_7_lapsed_and_names_its_successor() -> None:
    case = {"regulations": ["sr-11-7"]}
    _, before = one(["sr-11-7"], case, "2026-04-16")
    assert not any("Use 'sr-26-2'" in each.message for each in before)
    _, after = one(["sr-11-7"], case, "2026-04-17")
    told = next(each for each in after if "Use 'sr-26-2' instead" in each.message)
    assert (told.level, told.where) == ("warning", "f:1")
    assert "in force until 2026-04-16, rescinded since" in told.message
    assert pack("sr-26-2").pack.effective_from == "2026-04-17"


def test_a_date_never_opens_a_way() -> None:
    """What lapses is a regulation, not an operator's wish to keep to it."""
    content = (FOLDER / "gdpr.yaml").read_text()
    lapsed = read_pack(content.replace("status: in-force", "until: 2020-01-01\nstatus: rescinded").encode(), "x.yaml")
    assert lapsed.pack.until == "2020-01-01"
    case = {"data": ["personal"], "regulations": ["pdpl-uae"], "environment": {"kind": "cloud", "region": "us"}}
    for today in ("1999-01-01", "2099-01-01"):
        snapshot, findings = one(["pdpl-uae"], case, today)
        assert permitted(snapshot, snapshot.workloads["w"], labels_of([]), False, "chat") == 0
        assert any("its placement rules apply already" in each.message for each in findings) == (today < "2022")


def test_a_pack_is_part_of_the_version_that_the_ledger_records() -> None:
    case = {"data": ["personal"]}
    plain, hipaa, both = (one(packs, case)[0].version for packs in ([], ["hipaa"], ["hipaa", "gdpr"]))
    assert len({plain, hipaa, both}) == 3
    assert len(hipaa) == len(plain)
    assert one(["hipaa"], case)[0].version == hipaa


def test_a_workload_that_does_not_declare_what_its_regulation_is_about_is_told() -> None:
    _, findings = one(["hipaa"], {"regulations": ["hipaa"]})
    assert any("'w' is under 'hipaa' but declares none of phi" in each.message for each in findings)
    _, findings = one(["hipaa"], {"regulations": ["hipaa"], "data": ["phi"]})
    assert not any("declares none" in each.message for each in findings)


def test_packs_and_regulations_that_miss_each_other_are_told() -> None:
    _, findings = one(["dora"], {"regulations": ["gdpr"]})
    told = [each.message for each in findings]
    assert "pack 'dora' applies to no workload: none is under dora, dora-critical." in told
    assert "workload 'w' is under 'gdpr', which no rule names: it has no effect. Add 'gdpr' to `packs`." in told
    _, findings = one(["hipaa"], {"data": ["phi"], "regulations": ["hipaa"]})
    assert not any("no effect" in each.message for each in findings)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (("source: GDPR Art. 9\n", ""), "cites no source"),
        (("verified: unverified", "verified: maybe"), "is not one of its values"),
        (("{operator: [self]}", "{}"), "states no condition"),
        (("[personal, ", "[personel, "), "there is no data class 'personel'"),
        (("version: 2026-11-20", "version: today"), "Write a date"),
        (("claims_not:", "claims:"), "unknown key"),
    ],
)
def test_a_faulty_pack_is_refused_with_its_line(change: tuple[str, str], finding: str) -> None:
    content = (
        (FOLDER / "gdpr.yaml").read_text().replace("    " + change[0] if change[1] == "" else change[0], change[1])
    )
    with pytest.raises(ConfigError, match=re.escape(finding)) as caught:
        read_pack(content.encode(), "gdpr.yaml")
    assert re.match(r"gdpr\.yaml:\d+: ", caught.value.problems[0])


def test_a_rule_of_one_s_own_that_counts_on_a_guard_nobody_uses_is_told() -> None:
    config = {
        "environments": {"here": {"kind": "cloud", "region": "us"}},
        "deployments": {
            "m": {"environment": "here", "protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
        },
        "rules": [{"id": "own", "allow": {"kind": ["on-prem"]}, "transform": "pseudonymise"}],
    }
    snapshot, findings = loaded(config)
    workload = snapshot.workloads["default"]
    assert permitted(snapshot, workload, labels_of([]), False, "chat") == 0
    assert permitted(snapshot, workload, labels_of([]), False, "chat", guard="pseudonymise") == 1
    assert any("counts on guard 'pseudonymise', which no workload" in f.message for f in findings)


PAGE = Path(__file__).parents[2] / "docs" / "explain" / "rules.md"


def row(name: str) -> str:
    about = pack(name).pack
    until = f"{about.effective_from} to {about.until}, then `{about.successor}`" if about.until else ""
    under = sorted({each for rule in about.rules for each in rule.when.regulations})
    named = ", ".join(f"`{each}`" for each in under)
    everyone = any(not rule.when.regulations for rule in about.rules)
    whom = f"workloads under {named}" if not everyone else f"all workloads, and those under {named}"
    return (
        f"| `{name}` | {about.title} | {until or f'from {about.effective_from}'} |"
        f" {whom if under else 'all workloads'} |"
    )


def test_the_page_lists_every_pack_and_every_attestation_that_they_ask_for() -> None:
    page = PAGE.read_text()
    assert [row(name) for name in PACKS if row(name) not in page] == []
    asked = {
        name
        for path in FOLDER.glob("*.yaml")
        for found in re.findall(r"attests: \[([a-z0-9, -]+)\]", path.read_text())
        for name in found.split(", ")
    }
    table = page.split("### Attestations")[1].split("## Obligations")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    told = {name for cell in first_cells for name in re.findall(r"`([a-z0-9-]+)`", cell)}
    assert asked == told
