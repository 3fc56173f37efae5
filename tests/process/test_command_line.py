"""What the command line makes of mistyped words: it says so, with exit code 2, and never answers for something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.cli.main import main
from signalbox.control.state import StateDir
from signalbox.core.records import Opened, Settled
from signalbox.core.usage import Usage
from signalbox.ledger import apart

CONFIG = """
environments: {here: {kind: on-prem}}
deployments: {local: {environment: here, preset: vllm, model: m, price: free}}
workloads: {chat: {placements: [local]}}
teams: {writers: {workloads: [chat]}}
"""


@pytest.mark.parametrize("verb", ["serve", "simulate"])
@pytest.mark.parametrize("port", ["99999", "-1", "x", "٣"])
def test_a_port_that_is_none_is_refused(verb: str, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, f"--port={port}"])
    assert ended.value.code == 2
    assert "0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["query"], ["query", "--refused"], ["verify"], ["actions"], ["verify", "--public-key", "n+00000000+AAAA"]],
    ids=" ".join,
)
def test_a_ledger_that_is_not_there_is_not_an_empty_one(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["ledger", *words, "--state-dir", str(tmp_path / "mistyped")]) == 2
    told = capsys.readouterr()
    assert "holds no journal" in told.err
    assert told.out == ""
    assert not (tmp_path / "mistyped").exists()


def test_verify_names_the_record_and_sums_name_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = StateDir(tmp_path / "state")
    opened = Opened("a-1", "a", 1, "acme", "", "k", "w", "d", "dc", "m", "chat", (), "first", "v")
    apart.write(state.journal, "w0", [opened, Settled("a-1", 2, "settled", Usage(7), "provider", 5)])
    words = ["--state-dir", str(tmp_path / "state")]
    assert main(["ledger", "query", "--group-by", "user", *words]) == 0
    assert "user=(unattributed)  attempts=1" in capsys.readouterr().out
    (journal,) = (state.journal / "w0").glob("*.log")
    lines = journal.read_bytes().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b'"settled"' in line)
    lines[place] = lines[place].replace(b'"provider"', b'"estimated"')
    journal.write_bytes(b"".join(lines))
    assert main(["ledger", "verify", *words]) == 1
    assert f"w0 segment 1 line {place + 1} attempt a-1: altered" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_public_key_that_cannot_be_read_is_named(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    StateDir(tmp_path / "state")
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    words = ["ledger", "verify", "--public-key", str(tmp_path / "key"), "--state-dir", str(tmp_path / "state")]
    assert main(words) == 2
    assert "--public-key" in capsys.readouterr().err


def test_a_key_for_what_is_not_declared_is_made_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "signalbox.yaml").write_text(CONFIG, encoding="utf-8")
    base = ["keys", "create", "--name", "k", "--config", str(tmp_path / "signalbox.yaml")]
    base += ["--state-dir", str(tmp_path / "state")]
    assert main([*base, "--workload", "chat", "--team", "writers", "--deployment", "*"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*base, "--workload", "caht", "--team", "writres", "--deployment", "locla"]) == 0
    told = capsys.readouterr().err
    assert all(name in told for name in ("'caht'", "'writres'", "'locla'"))


@pytest.mark.parametrize(("model", "warns"), [("nope", True), ("local", False), ("m", False)])
def test_a_key_for_models_that_nobody_serves_is_made_with_a_warning(
    model: str, warns: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "signalbox.yaml"
    config.write_text(CONFIG)
    words = ["keys", "create", "--name", "x", "--model", model]
    assert main([*words, "--config", str(config), "--state-dir", str(tmp_path / "state")]) == 0
    assert (f"no deployment or model {model!r}" in capsys.readouterr().err) == warns


def test_explain_names_the_option_that_was_mistyped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "signalbox.yaml"
    config.write_text(CONFIG)
    assert main(["explain", "--data", "phi,nonsense", "--config", str(config)]) == 2
    told = capsys.readouterr().err
    assert "--data names an unknown data class 'nonsense'" in told
    assert "header" not in told
    assert "x-signalbox-data" not in told
