"""What the command line makes of mistyped words: it says so, with exit code 2, and never answers for something else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from installation import COMMAND

from signalbox.cli.main import VERBS, main
from signalbox.control.state import StateDir
from signalbox.core.records import Opened, Settled
from signalbox.core.usage import Usage
from signalbox.ledger import apart
from signalbox.ledger.query import STATES

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
    [
        ["ledger", "query"], ["ledger", "query", "--refused"], ["ledger", "verify"], ["ledger", "actions"],
        ["ledger", "verify", "--public-key", "n+00000000+AAAA"], ["ledger", "erase", "--user", "ann"],
        ["keys", "list"], ["keys", "revoke", "k"], ["keys", "rotate", "k"],
        ["cache", "stats"], ["cache", "invalidate", "--all"], ["apply", "--list"], ["apply", "--rollback", "v"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_installation_that_is_not_there_is_not_an_empty_one(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--state-dir", str(tmp_path / "mistyped")]) == 2
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


def test_a_reader_that_leaves_early_ends_the_query_quietly(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    records: list[Opened | Settled] = []
    for number in range(2000):
        name = f"a-{number}"
        records.append(Opened(name, "a", 1, "acme", "", "k", "w", "d", "dc", "m", "chat", (), "first", "v"))
        records.append(Settled(name, 2, "settled", Usage(7), "provider", 5))
    apart.write(state.journal, "w0", records)
    command = [*COMMAND, "ledger", "query", "--state-dir", str(state.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
        assert asked.stdout is not None
        assert asked.stderr is not None
        assert asked.stdout.readline().startswith(b"time=")
        asked.stdout.close()
        assert (asked.wait(60), asked.stderr.read()) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("verb", ["ledger verify", "ledger query", "schema"])
def test_an_output_that_cannot_be_written_is_neither_a_finding_nor_a_traceback(
    verb: str, unbuffered: str, tmp_path: Path
) -> None:
    state = StateDir(tmp_path / "state")
    opened = Opened("a-1", "a", 1, "acme", "", "k", "w", "d", "dc", "m", "chat", (), "first", "v")
    apart.write(state.journal, "w0", [opened, Settled("a-1", 2, "settled", Usage(7), "provider", 5)])
    words = verb.split() + (["--state-dir", str(state.root)] if verb != "schema" else [])
    with Path("/dev/full").open("wb") as full:
        asked = subprocess.run(
            [*COMMAND, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            timeout=60,
            check=False,
        )
    assert asked.stderr == b"The output cannot be written: No space left on device.\n"
    assert asked.returncode == 2


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
    assert "public, internal, confidential" in told
    assert "header" not in told
    assert "x-signalbox-data" not in told


def test_a_start_that_fails_uses_up_nothing_that_is_shown_once(tmp_path: Path) -> None:
    """Whoever finds a port taken starts again with another one, and is shown the secret and the first key then."""
    state = tmp_path / "state"
    (tmp_path / "signalbox.yaml").write_text(CONFIG)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
    command = [*COMMAND, "serve", "--config", str(tmp_path / "signalbox.yaml"), "--state-dir", str(state), "--json"]
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = str(holder.getsockname()[1])
        for option, other in (("--port", "--admin-port"), ("--admin-port", "--port")):
            done = subprocess.run(
                [*command, option, taken, other, "0"], capture_output=True, check=False, env=environ, timeout=60
            )
            assert done.returncode == 2
            assert f"Choose another {option}, or stop what holds it." in done.stderr.decode()
        with subprocess.Popen(
            [*command, "--port", "0", "--admin-port", "0"], stdout=subprocess.PIPE, env=environ
        ) as it:
            assert it.stdout is not None
            shown = json.loads(it.stdout.readline())
            key = Request(f"{shown['url']}/v1/models", headers={"authorization": f"Bearer {shown['first_key']}"})
            with urlopen(key, timeout=30) as answer:
                assert answer.status == 200
            opened = Request(
                f"{shown['admin_url']}/api/status", headers={"authorization": f"Bearer {shown['admin_secret']}"}
            )
            with urlopen(opened, timeout=30) as answer:
                assert answer.status == 200
            it.send_signal(signal.SIGTERM)
            assert it.wait(30) == 0


def test_a_simulator_that_cannot_start_says_what_to_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "settings.json"
    wrong.write_text('{"seed": "x"}')
    with socket.create_server(("127.0.0.1", 0)) as holder:
        for words, said in (
            (["--port", str(holder.getsockname()[1])], "Choose another --port"),
            (["--host", "256.1.1.1", "--port", "0"], "Check --host."),
            (["--settings", str(tmp_path / "none")], "No such file"),
            (["--settings", str(wrong)], "$.seed"),
        ):
            assert main(["simulate", *words]) == 2
            told = capsys.readouterr().err
            assert said in told
            assert "Errno" not in told


# A verb that is interrupted while it loads: by a terminal's Ctrl-C, or with all processes of a service.
INTERRUPTED = """
import os, signal
os.kill(os.getpid(), signal.{number})
def arguments(parser): ...
def run(options): return 7
"""


@pytest.mark.parametrize(
    ("verb", "number", "code"),
    [("check", "SIGINT", 130), ("serve", "SIGINT", 130), ("_ship", "SIGINT", 7), ("_worker", "SIGTERM", 7)],
)
def test_an_interruption_while_a_verb_loads_ends_it_quietly(verb: str, number: str, code: int, tmp_path: Path) -> None:
    """The gateway's own processes go on: they end when the supervisor, which was told as well, says so."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED.format(number=number))
    lines = f"from signalbox.cli.main import VERBS, main; VERBS[{verb!r}] = ('interrupted', ''); exit(main([{verb!r}]))"
    done = subprocess.run(
        [sys.executable, "-c", lines],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (code, b"")


# As `make serve` installs it: what the extras bring cannot be imported.
WITHOUT_EXTRAS = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "scipy", "highspy", "psycopg", "pyarrow", "onnxruntime"]))
from signalbox.cli.main import main
from signalbox.ledger.query import STATES
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        *(([verb, "--help"], 0, "usage: signalbox") for verb in VERBS if verb not in ("plan", "router")),
        (["apply", "--list"], 0, ""),
        (["apply", "--rollback", "nope"], 2, "there is no version"),
        (["apply", "plan.json"], 2, "pip install 'signalbox[plan]'"),
        (["bench", "deployment", "local", "--plan", "plan.json"], 2, "pip install 'signalbox[plan]'"),
        (["bench", "deployment", "local", "--url", "http://127.0.0.1:9", "--calls", "1"], 1, "failed"),
        (["plan", "signalbox.yaml"], 2, "pip install 'signalbox[plan]'"),
        (["router", "fit", "rows"], 2, "pip install 'signalbox[plan]'"),
        (["ledger", "export", "--parquet", "rows"], 2, "signalbox[parquet]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_verb_runs_without_the_extras_or_names_the_one_it_needs(
    words: list[str], code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "signalbox.yaml").write_text(CONFIG)
    StateDir(tmp_path / ".signalbox")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *words],
        cwd=tmp_path,
        env={**os.environ, "SIGNALBOX_KEY": "sb-none", "COLUMNS": "80"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr.decode()
    assert said in (done.stdout + done.stderr).decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "more", [[], ["--json"], ["--refused"], ["--group-by", "user"], ["--workload", "caht"]], ids=str
)
def test_a_query_that_finds_nothing_says_so_beside_its_output(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    StateDir(tmp_path / "state")
    assert main(["ledger", "query", *more, "--state-dir", str(tmp_path / "state")]) == 0
    assert capsys.readouterr() == ("", "no rows\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [(["keys", "list"], "no keys\n"), (["ledger", "gpus"], "no rows\n"), (["apply", "--list"], "no versions are kept")],
    ids=["keys", "gpus", "versions"],
)
def test_a_list_of_nothing_says_so_beside_its_output(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    StateDir(tmp_path / "state")
    assert main([*words, "--state-dir", str(tmp_path / "state")]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err.startswith(said)) == ("", True)


def test_an_option_that_is_none_is_answered_with_those_of_its_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["drill", "--seconds", "1"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "usage: signalbox drill" in told
    assert "unrecognized arguments: --seconds 1" in told


def test_a_key_that_is_none_cannot_be_revoked_and_nothing_is_on_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state-dir", str(tmp_path / "state")]
    assert main(["keys", "create", "--name", "k", "--json", *state]) == 0
    made = json.loads(capsys.readouterr().out)["id"]
    assert main(["keys", "revoke", "nobody", *state]) == 1
    told = capsys.readouterr()
    assert (told.out, "There is no key 'nobody'" in told.err) == ("", True)
    for _ in range(2):  # one that has ended is no mistake
        assert main(["keys", "revoke", made, *state]) == 0
        assert "state=revoked" in capsys.readouterr().out
    assert main(["ledger", "actions", "--json", *state]) == 0
    actions = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["action"], one["target"]) for one in actions] == [
        ("key.create", made),
        ("key.revoke", made),
        ("key.revoke", made),
    ]


def test_the_help_names_every_state_of_an_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ledger", "query", "--help"])
    told = " ".join(capsys.readouterr().out.split()).replace("true- up", "true-up")
    assert f"only attempts of this state: {', '.join(STATES)} " in told
