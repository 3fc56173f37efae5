"""`signalbox drill` on configurations as operators write them, sound ones and on a product that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proof.mutants import MUTANTS, broken

DRILL = (sys.executable, "-m", "signalbox", "drill")
CONFIG = """
packs: [gdpr]
environments:
  openai-us: {kind: cloud, region: us, operator: OpenAI, attests: [dpa, {name: baa, until: 2024-02-29}]}
  azure-fra: {kind: private-cloud, region: eu/de, operator: Microsoft, attests: [dpa, baa, zero-retention]}
  dc-fra: {kind: on-prem, region: eu/de}
deployments:
  mini: {environment: openai-us, preset: openai, model: gpt-5-mini, api_key: "${NOBODY_SET_THIS}"}
  frontier:
    environment: azure-fra
    protocol: openai
    base_url: https://example.openai.azure.com/openai/v1
    model: gpt-5
    api_key: file:/nowhere/at/all
    ca_file: /nowhere/either.pem
    proxy: "http://10.0.0.9:3128"
    capabilities: {apis: [chat, responses]}
  llama: {environment: dc-fra, preset: vllm, replicas: ["http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"], model: l}
  claude: {environment: openai-us, preset: anthropic, model: claude-sonnet-4-5}
workloads:
  support: {data: [personal], regulations: [gdpr], placements: [llama, mini, frontier]}
  general: {retries: {max_attempts: 4}}
  code: {data: [source-code], classify: {detectors: off}}
aliases: {gpt-4: support}
teams: {blue: {workloads: [support]}}
rules:
  - {id: phi-needs-baa, when: {data: [phi]}, allow: {any: [{attests: [baa]}, {kind: [on-prem]}]}, onward: allow}
  - {id: code-stays, when: {data: [source-code]}, allow: {region: [eu]}, onward: {attests: [zero-retention]}}
  - {id: secrets-stay, when: {data: [credentials, pci]}, allow: {kind: [on-prem]}}
  - {id: never-applies, when: {data: [phi], tenants: [nobody]}, allow: {any: []}}
server: {calls_max: 200, tls: {certificate_file: nowhere.pem, key_file: nowhere.key, client_ca_file: nowhere.ca}}
certificates: {batch: {uris: ["spiffe://example.org/batch"]}}
issuers: {corp: {issuer: "https://idp.example.com", audience: a, jwks: "file:/nowhere/jwks"}}
sign_in:
  oidc:
    issuer: https://idp.example.com
    client_id: c
    client_secret: "${NOBODY_SET_THIS}"
    console_url: https://console.example.com
    grants: [{value: admins, role: admin}]
store: "${NOBODY_SET_THIS}"
"""


def drill(folder: Path, *words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DRILL, *words], cwd=folder, env=environ, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "signalbox.yaml").write_text(CONFIG)
    return tmp_path


def test_a_sound_product_lets_nothing_escape(folder: Path) -> None:
    done = drill(folder, "--calls", "400", "--seed", "5", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert (result["calls"], result["seed"], result["findings"]) == (400, 5, [])
    assert {result[kind] for kind in ("escapes", "refused_but_permitted", "unlabelled", "unrecorded", "defects")} == {0}
    assert result["answered"] + result["refused"] + result["incapable"] + result["unanswered"] == 400
    assert min(result["answered"], result["refused"], result["unanswered"]) > 20
    for kind in ("calls", "answered", "unanswered"):
        assert sum(hits[kind] for hits in result["workloads"].values()) == result[kind]
    assert result["workloads"].keys() == {"support", "general", "code"}
    environments = result["environments"]
    assert sum(hits["attempts"] for hits in environments.values()) == result["attempts"]
    assert all(hits["answered"] for hits in environments.values())
    assert environments["dc-fra"]["restricted"] > 20
    assert result["rules"]["phi-needs-baa"]["forbade"] > 0
    assert result["rules"]["gdpr.processor-contract"]["applied"] > 100
    assert sorted(os.listdir(folder)) == ["signalbox.yaml"], "a drill leaves nothing behind"


def test_the_report_reads_as_text_and_calls_follow_from_the_seed(folder: Path) -> None:
    first, second, other = (drill(folder, "--calls", "60", "--seed", seed).stdout for seed in ("7", "7", "8"))
    assert first.startswith("60 calls, ")
    assert "escapes: 0   refused but permitted: 0" in first
    assert "environment dc-fra: " in first
    rules = [[line for line in text.splitlines() if line.startswith("  rule ")] for text in (first, second, other)]
    assert rules[0] == rules[1] != rules[2]


def test_what_goes_down_is_left_alone_and_used_again(folder: Path) -> None:
    off = (
        "  off: {environment: dc-fra, preset: vllm, base_url: 'http://10.0.0.9/v1', model: o, health: {enabled: false}}"
    )
    text = CONFIG.replace("\nworkloads:", f"\n{off}\nworkloads:\n  plain: {{placements: [off, llama]}}")
    (folder / "signalbox.yaml").write_text(text)
    done = drill(folder, "--outages", "--calls", "10", "--json", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    (name, outage), *others = result["outages"].items()
    assert not others, "no other goes down after so many calls"
    assert outage["opened_ms"] >= 0
    assert outage["back_ms"] > 0
    assert outage["elsewhere"] > 0, "calls went on elsewhere"
    assert [change["out"] > 0 for change in result["breakers"][name]][:2] == [True, False]
    assert "off" in result["skipped"], "its breaker is off"
    looks = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"at_ms"')]
    assert looks[-1]["breakers"] == result["breakers"]


@pytest.mark.parametrize("mutant", ["onward ignored", "gives up after the first failure", "content not read"])
def test_a_broken_product_is_found_out(folder: Path, mutant: str) -> None:
    with broken(next(each for each in MUTANTS if each.name == mutant)) as environ:
        done = drill(folder, "--calls", "500", "--seed", "3", "--json", environ=environ)
    assert done.returncode == 1, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["findings"]
    assert result["escapes"] or result["refused_but_permitted"] or result["unlabelled"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workloads: {a: {}}\n", "nothing to drill"),
        ("deployments: {m: {environment: nowhere, protocol: openai, model: m}}\n", "signalbox.yaml:1"),
        ("deployments: [\n", "signalbox.yaml:"),
        (
            "# one\n\nenvironments:\n  e: {kind: edge, regio: eu}\ndeployments:\n  m:\n    environment: e\n",
            "signalbox.yaml:4",
        ),
        ("environments: {e: {kind: edge}}\ndeployments: {m: 7}\n", "signalbox.yaml:2"),
        ("environments: {e: {kind: edge}}\ndeployments: {m: {environment: e, model: m}}\n", "protocol is not known"),
    ],
)
def test_what_cannot_be_drilled_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "signalbox.yaml").write_text(text)
    done = drill(tmp_path, "--calls", "1")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_usage(tmp_path: Path) -> None:
    assert drill(tmp_path).returncode == 2
    assert "no signalbox.yaml" in drill(tmp_path).stderr
    assert drill(tmp_path, "--config", "none.yaml").returncode == 2
    (tmp_path / "signalbox.yaml").write_text(CONFIG)
    assert drill(tmp_path, "--calls", "0").returncode == 2
