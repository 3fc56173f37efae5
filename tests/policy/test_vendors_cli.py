"""`signalbox vendors list` over a real file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signalbox.cli.main import main

FILE = """
environments:
  us: {kind: cloud, region: us, operator: OpenAI, attests: [soc2]}
  us2: {kind: cloud, region: us, operator: openai, attests: [{name: dpa, until: 2020-01-31}]}
  home: {kind: on-prem}
  fog: {kind: cloud}
vendors:
  OpenAI:
    owner: legal
    attests:
      - {name: dpa, until: UNTIL, evidence: c/1.pdf, covers: [chat]}
      - {name: baa, environments: [us2]}
    subprocessors: [Example Hosting]
    retention_days: 30
    trains_on_data: false
  Former: {}
deployments:
  m: {environment: us, protocol: openai, base_url: "http://127.0.0.1:9/v1", model: m}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "signalbox.yaml"
    path.write_text(FILE.replace("UNTIL", (datetime.now(UTC).date() + timedelta(days=12)).isoformat()))
    return path


def test_every_operator_is_listed_with_the_days_that_are_left(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vendors", "list", "--config", str(file), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["vendor"], row["registered"], row["environments"]) for row in rows] == [
        ("OpenAI", True, ["us", "us2"]),
        ("Former", True, []),
        ("self", False, ["home"]),
        ("(unknown)", False, ["fog"]),
    ]
    assert (rows[0]["retention_days"], rows[0]["trains_on_data"], rows[0]["subprocessors"]) == (
        30,
        False,
        ["Example Hosting"],
    )
    held = {(each["name"], each["stated_by"]): each for each in rows[0]["attests"]}
    dpa = held["dpa", "vendor 'OpenAI'"]
    # Around midnight the day may turn between writing and reading.
    assert dpa["days_left"] in (11, 12)
    assert (dpa["state"], dpa["owner"], dpa["covers"], dpa["environments"]) == ("expiring", "legal", ["chat"], ["us"])
    assert held["dpa", "environment 'us2'"]["state"] == "expired"
    assert held["baa", "vendor 'OpenAI'"]["environments"] == ["us2"]
    assert held["soc2", "environment 'us'"]["state"] == "no-end"


def test_people_read_the_same(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vendors", "list", "--config", str(file)]) == 0
    out = capsys.readouterr().out
    assert "OpenAI (us, us2)\n" in out
    assert "days left, owner legal), stated by vendor 'OpenAI'" in out
    assert "  dpa until 2020-01-31 (expired), stated by environment 'us2'" in out
    assert "self (home), not in the register" in out


def test_a_missing_or_faulty_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vendors", "list", "--config", str(tmp_path / "none.yaml"), "--json"]) == 2
    assert "the file cannot be read" in capsys.readouterr().err


def test_one_day_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    file = tmp_path / "signalbox.yaml"
    file.write_text(
        f"environments: {{a: {{kind: cloud, attests: [{{name: dpa, until: {tomorrow}}}]}}}}\n"
        "deployments: {d: {environment: a, protocol: openai, base_url: 'https://a.example.com/v1', model: m}}\n"
    )
    assert main(["vendors", "list", "--config", str(file)]) == 0
    out = capsys.readouterr().out
    # Around midnight the day may turn between writing and reading.
    assert "(1 day left" in out or "(0 days left" in out
