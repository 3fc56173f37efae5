"""What `signalbox check` finds in a configuration that can be read."""

from __future__ import annotations

from datetime import date

import pytest

from signalbox.config.load import load_text
from signalbox.control.readings.placements import placements_of
from signalbox.core.usage import Rates
from signalbox.policy.check import Finding, check
from signalbox.policy.compiling import compile_snapshot


def nobody_knows(provider: str, model: str, on: date) -> Rates | None:
    return None


def findings(text: str, **environ: str) -> list[Finding]:
    declared = load_text(text, "f", environ)
    return check(declared, compile_snapshot(declared, 1, "2026-06-15", nobody_knows))


def messages(text: str, **environ: str) -> str:
    return "\n".join(f"{each.level} {each.where} {each.message}" for each in findings(text, **environ))


HERE = "environments:\n  cloud: {kind: cloud, region: us}\n  home: {kind: on-prem, region: eu/de}\n"
BOTH = HERE + (
    "deployments:\n"
    "  gpt: {environment: cloud, protocol: openai, base_url: 'https://llm.example.com/v1', model: m, price: free}\n"
    "  llama: {environment: home, protocol: openai, base_url: 'http://10.0.0.1:8000/v1', model: m, price: free}\n"
)


def test_a_sound_configuration_has_no_findings() -> None:
    rule = "rules: [{id: phi-stays, when: {data: [phi]}, allow: {region: [eu]}}]\n"
    assert findings(BOTH + "workloads: {chat: {}}\n" + rule) == []


def test_a_workload_that_nothing_can_serve_is_an_error_that_names_the_rules() -> None:
    text = BOTH + (
        "workloads:\n  chat: {}\n  claims: {data: [phi], placements: [gpt]}\ndefault_workload: chat\n"
        "rules: [{id: phi-stays, when: {data: [phi]}, allow: {region: [eu]}}]\n"
    )
    first = findings(text)[0]
    assert (first.level, first.where) == ("error", "f:9")
    assert "'claims' (restricted, phi) can be served nowhere" in first.message
    assert "rule 'phi-stays'" in first.message


def test_a_placement_that_the_floor_forbids_is_told() -> None:
    text = BOTH + (
        "workloads:\n  claims: {data: [phi], placements: [gpt, llama]}\n"
        "rules: [{id: phi-stays, when: {data: [phi]}, allow: {region: [eu]}}]\n"
    )
    told = messages(text)
    assert "warning f:8 workload 'claims' lists 'gpt', which is forbidden" in told
    assert "warning f:5 deployment 'gpt' can be used by no workload." in told
    assert "error" not in told


def test_rules_that_say_nothing_are_told() -> None:
    text = BOTH + (
        "workloads: {chat: {regulations: [gpdr]}}\n"
        "rules:\n"
        "  - {id: dead, when: {regulations: [gdpr]}, allow: {region: [eu]}}\n"
        "  - {id: idle, allow: {kind: [cloud, on-prem]}, onward: allow}\n"
        "  - {id: shut, when: {data: [phi]}, allow: {region: [asia]}}\n"
    )
    told = messages(text)
    assert "f:9 rule 'dead' applies to no workload: none that it means is under gdpr." in told
    assert "f:10 rule 'idle' forbids nothing" in told
    assert "f:11 rule 'shut' allows no deployment" in told
    assert "workload 'chat' is under 'gpdr', which no rule names" in told


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("valkey://cache:6379/0", False),
        ("valkeys://ann@cache/0", False),
        ("unix:///run/valkey?db=1", True),
        ("valkey://:hush@cache:6379/0", True),
        ("valkey://ann:hush@cache/0", True),
    ],
)
def test_an_address_is_a_secret_where_it_may_hold_one(url: str, secret: bool) -> None:
    told = messages(BOTH + f"workloads: {{a: {{}}}}\ncaches: {{valkey: {{url: '{url}'}}}}\n")
    assert ("caches.valkey.url stands in the file itself" in told) == secret


@pytest.mark.parametrize("allowed", ["false", "true"])
def test_a_private_address_that_its_deployment_does_not_allow_is_told(allowed: str) -> None:
    told = messages(BOTH.replace("price: free", f"price: free, allow_private: {allowed}") + "workloads: {a: {}}\n")
    what = "warning f:6 deployment 'llama' has a private address (http://10.0.0.1:8000/v1), and its allow_private is"
    assert (what in told) == (allowed == "false")
    assert "'gpt'" not in told, "what a name leads to is not known here"


def test_unpriced_and_unused_things_are_told() -> None:
    told = messages(BOTH.replace(", price: free", "") + "workloads: {a: {placements: [gpt]}, b: {placements: [gpt]}}\n")
    assert "f:5 deployment 'gpt' has no price" in told
    assert "calls under a budget in dollars are refused" in told
    assert "f:6 deployment 'llama' can be used by no workload" in told
    assert "no default_workload is set: calls that name none run as 'a'" in told


def test_secrets_in_the_file_and_on_open_wires_are_told_without_being_shown() -> None:
    text = BOTH.replace(
        "base_url: 'http://10.0.0.1:8000/v1'", "base_url: 'http://10.0.0.1:8000/v1', api_key: sk-canary"
    )
    told = messages(text)
    assert "f:6 deployments.llama.api_key stands in the file itself" in told
    assert "f:6 deployment 'llama' sends its credential unencrypted to 10.0.0.1" in told
    assert "canary" not in told


def test_an_environment_without_a_region_is_told_where_rules_exist() -> None:
    text = BOTH.replace(", region: us", "") + "rules: [{id: a, allow: {region: [eu]}}]\n"
    assert "f:2 environment 'cloud' has no region" in messages(text)


GUARDED = "rules: [{id: personal-stays, when: {data: [personal]}, allow: {region: [eu]}, transform: pseudonymise}]\n"


def test_what_a_guard_of_the_workload_opens_is_open() -> None:
    text = BOTH + "workloads: {chat: {data: [personal], placements: [gpt], guards: [%s]}, all: {}}\n" + GUARDED
    told = messages(text % "pseudonymise" + "default_workload: all\n")
    assert told == ""
    told = messages(text % "no-secrets" + "default_workload: all\n")
    assert "error f:7 workload 'chat' (confidential, personal) can be served nowhere" in told
    assert "With guard 'pseudonymise' the workload may use 'gpt'." in told
    assert "deployment 'gpt' can be used by no workload" not in told, "the other workload may use it for other content"


def test_what_a_guard_opens_for_some_callers_only_is_told() -> None:
    text = BOTH + (
        "teams: {blue: {}}\n"
        "workloads: {chat: {data: [personal], placements: [gpt], guards: [pseudonymise]}, all: {}}\n"
        "default_workload: all\n"
    )
    blue = "  - {id: blue-stays, when: {teams: [blue]}, allow: {region: [eu]}}\n"
    told = messages(text + GUARDED.replace("[{", "\n  - {").replace("}]", "}") + blue)
    assert "workload 'chat' can be served nowhere for callers of team 'blue'" in told


def test_an_obligation_holds_for_places_that_a_guard_opens() -> None:
    text = (
        BOTH + "workloads: {chat: {data: [personal], guards: [%s]}}\n" + GUARDED.replace("[{", "\n  - {").rstrip("]\n")
    )
    owed = "\n  - {id: own, require: {environments: {region: [eu]}}}\n"
    told = "environment 'cloud', which it may use, does not satisfy the condition"
    assert told in messages(text % "pseudonymise" + owed)
    assert told not in messages(text % "no-secrets" + owed)


def test_the_page_of_a_workload_shows_what_its_guards_open() -> None:
    text = BOTH + "workloads: {chat: {data: [personal], guards: [%s]}}\n" + GUARDED
    for guard, expected in (("pseudonymise", [True, True]), ("no-secrets", [True, False])):
        snapshot = compile_snapshot(load_text(text % guard, "f", {}), 1, "2026-06-15", nobody_knows)
        assert [one.permitted for one in placements_of(snapshot, snapshot.workloads["chat"])] == expected


@pytest.mark.parametrize(
    "asks",
    [
        "guards: [{name: external, deployment: llama, found_when: ^no, passes_when: ^yes}]",
        "cache: {semantic: {ttl_s: 60, judge: llama}}",
        "strategy: cascade, placements: [gpt, other], cascade: {agrees_with: llama, threshold: 0.5}",
    ],
    ids=["guard", "cache", "cascade"],
)
def test_a_deployment_that_is_asked_beside_a_call_is_of_use(asks: str) -> None:
    other = (
        "  other: {environment: cloud, protocol: openai, base_url: 'https://b.example.com/v1', model: m, price: free}\n"
    )
    listed = "" if "placements" in asks else "placements: [gpt, other], "
    unused = "deployment 'llama' can be used by no workload"
    assert unused in messages(BOTH + other + "workloads: {chat: {placements: [gpt, other]}}\n")
    told = messages(BOTH + other + f"workloads: {{chat: {{{listed}{asks}}}}}\n")
    assert unused not in told
    assert "error" not in told
