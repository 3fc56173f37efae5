"""What is shipped: the wheel's files, the bill of materials, the locks; and an audit that claims what it did."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))

import audit  # noqa: E402
import build_wheel  # noqa: E402
import locks  # noqa: E402
import sbom  # noqa: E402


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: there is nothing to compare with")
    return build_wheel.build(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_what_git_holds_and_nothing_that_runs_by_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert not [name for name in names if name.endswith((".pth", ".pyc", ".so")) or "sitecustomize" in name]
        own = {name for name in names if ".dist-info/" not in name}
        described = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert own == {name.removeprefix("src/") for name in build_wheel.tracked()}
    assert any(name.endswith(".html") for name in own), "the console's pages"
    assert any(name.startswith("signalbox/policy/packs/") for name in own), "the rule packs"
    assert "Provides-Extra: postgres" in described


def test_a_wheel_with_something_more_is_refused(wheel: Path, tmp_path: Path) -> None:
    for name in ("signalbox/extra.py", "evil.pth"):
        changed = tmp_path / wheel.name
        changed.write_bytes(wheel.read_bytes())
        with zipfile.ZipFile(changed, "a") as archive:
            archive.writestr(name, "import os")
        with pytest.raises(build_wheel.WheelProblem, match=name):
            build_wheel.inspect(changed)


def test_what_was_built_runs_where_there_is_no_source(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    script = "import signalbox, sys; from signalbox.cli.main import main; print(signalbox.__file__); main(['check'])"
    (tmp_path / "signalbox.yaml").write_text(
        "packs: [gdpr]\nenvironments: {e: {kind: on-prem, region: eu/de}}\n"
        "deployments:\n"
        "  d: {environment: e, protocol: openai, base_url: 'http://127.0.0.1:9/v1', model: m, price: free}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(str(tmp_path / "installed")), done.stderr
    assert "1 deployments" in done.stdout, done.stderr


def test_what_serves_needs_no_extra() -> None:
    """The core install has neither numpy nor a database driver, and must not need them to start."""
    script = (
        "import importlib.abc, sys\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('numpy', 'scipy', 'highspy', 'pyarrow', 'psycopg', 'hyperscan'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import signalbox.bootstrap.serve, signalbox.bootstrap.exporting, signalbox.bootstrap.drills\n"
        "print('good')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert done.stdout == "good\n", done.stderr


def test_importing_it_opens_nothing(wheel: Path, tmp_path: Path) -> None:
    """No connection and no process at import: an audit hook sees every one."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = (
        "import sys\n"
        "bad = []\n"
        "sys.addaudithook(lambda event, _: event in ('socket.connect', 'subprocess.Popen', 'os.system') "
        "and bad.append(event))\n"
        "import signalbox.bootstrap.serve, signalbox.cli.main\n"
        "print(bad)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr


# --- locks, bill of materials, audit ---


def test_what_runs_is_pinned_as_it_is_tested() -> None:
    tested = {(pin.name, pin.version): set(pin.hashes) for pin in locks.pins("requirements-dev.lock")}
    for pin in locks.all_pins((*locks.RUNTIME, "requirements-build.lock")):
        assert set(pin.hashes) <= tested[pin.name, pin.version], pin.name


def test_the_bill_of_materials_names_every_pin_once() -> None:
    bill = sbom.bill()
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(references) == len(set(references))
    for pin in locks.all_pins(locks.RUNTIME):
        assert f"pkg:pypi/{pin.name}@{pin.version}" in references
    known = {*references, bill["metadata"]["component"]["bom-ref"]}
    for edge in bill["dependencies"]:
        assert {edge["ref"], *edge["dependsOn"]} <= known
    for component in bill["components"]:
        assert component["hashes"]
        assert all(len(each["content"]) == 64 for each in component["hashes"])
    assert json.dumps(sbom.bill()) == json.dumps(bill), "the same locks, the same file"
    for file, _, version, _ in sbom.CARRIED:
        assert version in (ROOT / file).read_text()[:20_000], "the version that is carried is another one"


def audited(*words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, SCRIPTS / "audit.py", *words], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_an_audit_without_data_says_that_it_is_none(tmp_path: Path) -> None:
    for words in ((), ("--osv", str(tmp_path))):
        code, said = audited(*words)
        assert code == 2
        assert "NOT AUDITED" in said


def advisory(name: str, **affected: Any) -> dict[str, Any]:
    return {"id": "X-1", "summary": "bad", "affected": [{"package": {"ecosystem": "PyPI", "name": name}, **affected}]}


def test_an_audit_finds_what_is_affected(tmp_path: Path) -> None:
    pin = next(pin for pin in locks.pins("requirements.lock") if pin.name == "starlette")
    (tmp_path / "a.json").write_text(json.dumps(advisory("Starlette", versions=[pin.version])))
    assert audited("--osv", str(tmp_path))[0] == 1
    (tmp_path / "a.json").write_text(json.dumps(advisory("starlette", versions=["0.1"])))
    code, said = audited("--osv", str(tmp_path))
    assert (code, "0 hits" in said) == (0, True)


@pytest.mark.parametrize(
    ("version", "events", "hit"),
    [
        ("1.0", [{"introduced": "0"}, {"fixed": "1.1"}], True),
        ("1.1", [{"introduced": "0"}, {"fixed": "1.1"}], False),
        ("1.10", [{"introduced": "0"}, {"fixed": "1.9"}], False),
        ("2.0", [{"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "2.0"}], True),
        ("1.5", [{"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "2.0"}], False),
        ("1.1", [{"introduced": "1.0"}, {"last_affected": "1.1"}], True),
        ("1.1.1", [{"introduced": "1.0"}, {"last_affected": "1.1"}], False),
        ("0.9", [{"introduced": "1.0"}], False),
    ],
)
def test_ranges_are_read_as_osv_defines_them(version: str, events: list[dict[str, str]], hit: bool) -> None:
    pin = locks.Pin("p", version, "", (), ())
    assert audit.affected(pin, advisory("P", ranges=[{"type": "ECOSYSTEM", "events": events}])) is hit
    assert not audit.affected(pin, advisory("q", ranges=[{"type": "ECOSYSTEM", "events": events}]))
