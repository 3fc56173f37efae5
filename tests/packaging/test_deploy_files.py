"""Container, compose and systemd files: what they run exists, as a user without rights, with time to end streams."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from signalbox import __version__
from signalbox.cli.main import VERBS
from signalbox.config.schema_server import Server

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (DEPLOY / "container/Containerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def test_the_container_runs_without_rights_and_without_tools() -> None:
    steps = instructions()
    last_stage = steps[max(index for index, (word, _) in enumerate(steps) if word == "FROM") :]
    (user,) = [rest for word, rest in last_stage if word == "USER"]
    assert user == "10001:10001"
    assert [word for word, _ in last_stage].index("USER") < [word for word, _ in last_stage].index("ENTRYPOINT")
    assert not [rest for word, rest in steps if word == "ADD" or "curl" in rest or "apt" in rest]
    installs = [part for word, rest in steps if word == "RUN" for part in rest.split("&&") if "pip install" in part]
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)
    copied = [source for word, rest in steps if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text()
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored or ("!requirements*.lock" in ignored and source.endswith(".lock")), source
    (command,) = [rest for word, rest in last_stage if word == "CMD" and rest.startswith('["serve"')]
    assert "--config" in command


def test_compose_starts_after_the_migration_and_lets_streams_end() -> None:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    services = document["services"]
    served = services["signalbox"]
    assert served["image"] == f"signalbox:{__version__}"
    assert served["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["command"][0] in VERBS
    assert served["read_only"]
    assert served["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in served["ports"])
    assert document["networks"]["inside"]["internal"]
    assert services["postgres"]["networks"] == ["inside"]
    assert int(served["stop_grace_period"].removesuffix("m")) * 60 > Server().shutdown_grace_s + 60
    for service in services.values():
        assert set(service.get("secrets", [])) <= document["secrets"].keys()
    assert "PASSWORD=" not in str(document)


def test_the_unit_runs_what_there_is_and_lets_streams_end() -> None:
    text = (DEPLOY / "systemd/signalbox.service").read_text()
    settings = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    for name in ("ExecStart", "ExecStartPre"):
        assert shlex.split(settings[name])[1] in VERBS
    assert int(settings["TimeoutStopSec"]) > Server().shutdown_grace_s + 60
    assert settings["DynamicUser"] == settings["NoNewPrivileges"] == "yes"
    assert settings["ProtectSystem"] == "strict"


def test_systemd_agrees(tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd is not installed")
    # Verified with a program that exists here: the unit's own is where it is installed.
    unit = tmp_path / "signalbox.service"
    unit.write_text(
        (DEPLOY / "systemd/signalbox.service").read_text().replace("/opt/signalbox/bin/signalbox", "/bin/true")
    )
    done = subprocess.run([analyse, "verify", unit], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "signalbox.service" in line]
    assert said == [], said


def test_versions_are_one_version() -> None:
    chart = yaml.safe_load((DEPLOY / "helm/signalbox/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_both_ways_to_install_bring_the_build_tool() -> None:
    """`make serve` and `make test` build without isolation: a Python whose own build tool is older has to get ours."""
    rules = (ROOT / "Makefile").read_text().split("\n\n")
    for mark in (".installed: pyproject.toml requirements-dev", ".runtime:"):
        (rule,) = [rule for rule in rules if f"$(VENV)/{mark}" in rule]
        assert "--no-build-isolation" in rule
        named = re.findall(r"-r (requirements[\w-]*\.lock)", rule)
        assert any("setuptools==" in (ROOT / lock).read_text() for lock in named), named
