"""The documents are true: references match the code, links lead somewhere, and what they show runs as shown.

A page is run like a script, block by block, in a folder of its own. Comments before a block say what is special:
`<!-- file: NAME -->` writes it, `<!-- exit: N -->` expects that exit code, `<!-- output of: COMMAND -->` names the
command whose output a text block shows (otherwise the one before it). `…` in such a block stands for anything within
a line, and alone on a line for any lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from signalbox.config.discover import discover
from signalbox.control.alerts import SEVERITIES
from signalbox.core import errors
from signalbox.telemetry.metric_table import METRICS

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
WRITTEN = [page for page in PAGES if "reference" not in page.parts]

_BLOCK = re.compile(r"((?:^<!-- [^\n]* -->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_KEY = re.compile(r"sb-[0-9a-z]{12}-[0-9a-z]{46}")
_SERVER = re.compile(r"^(make serve|signalbox (serve|simulate)\b.*)$", re.MULTILINE)
START_S = 60.0


class Block(NamedTuple):
    """A fenced block. said: its directives, such as {"file": "signalbox.yaml"}."""

    kind: str
    text: str
    said: dict[str, str]
    line: int


def blocks(page: Path) -> Iterator[Block]:
    content = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(content):
        said = dict(re.findall(r"<!-- ([a-z ]+): (.*?) -->", match[1]))
        yield Block(match[2], match[3], said, content.count("\n", 0, match.start(2)) + 1)


# --- what needs no process ---


def test_references_are_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/reference.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_references_are_complete_and_hold_no_marks_of_a_template() -> None:
    told = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CallError)]
    assert [kind.__name__ for kind in kinds if f"`{kind.code}`" not in told and kind is not errors.CallError] == []
    pages = [page for page in PAGES if "reference" in page.parts]
    marked = [page.name for page in pages if re.search(r"%\(|%%", page.read_text("utf-8"))]
    assert marked == []


def test_every_metric_in_the_reference_is_set_somewhere() -> None:
    code = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert [metric.name for metric in METRICS if code.count(f'"{metric.name}"') < 2] == []


def test_every_alert_is_in_the_table_with_its_severity() -> None:
    page = (ROOT / "docs/operate.md").read_text()
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| (critical|warning)", page, re.MULTILINE)
    told = {name: severity for names, severity in rows for name in re.findall(r"[a-z-]+", names)}
    assert told == SEVERITIES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    dead: list[str] = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def anchors(page: Path) -> set[str]:
    """The anchors that headings get on the usual hosts: lower case, spaces to dashes, punctuation gone."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_configurations_pass_the_check(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.kind == "yaml":
            expected = 1 if block.text.startswith("# check: 1\n") else 0
            (tmp_path / "signalbox.yaml").write_text(block.text)
            done = subprocess.run(
                [BIN / "signalbox", "check"], cwd=tmp_path, env=clean_environ(tmp_path), capture_output=True, text=True
            )
            assert done.returncode == expected, f"{page.name}:{block.line}\n{done.stdout}{done.stderr}"


def test_what_ci_runs_is_what_the_readme_says() -> None:
    text = (ROOT / ".ci/run").read_text()
    assert "make test" in text
    assert os.access(ROOT / ".ci/run", os.X_OK)


# --- what is run ---


def clean_environ(home: Path) -> dict[str, str]:
    """An operator's environment without what this machine happens to have, keys of providers above all."""
    return {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "OPENAI_API_KEY": "not-used",
        "ANTHROPIC_API_KEY": "not-used",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Terminal:
    """Runs a page's blocks in order. Ports that the page names are swapped for free ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {k: v for k, v in clean_environ(folder).items() if not k.endswith("_API_KEY")}
        self.ports = {name: str(free_port()) for name in ("8700", "8701", "8790")}
        self.key = ""
        self.outputs: dict[str, str] = {}
        self.last = ""
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self._here(text))

    def run(self, text: str, exit_code: int) -> None:
        server = _SERVER.search(text)
        if server is None:
            self._shell(text, exit_code)
            return
        exports = text[: server.start()]
        if exports:
            self._shell(exports, 0)
        self._serve(server[1])

    def python(self, text: str) -> None:
        self._keep([sys.executable, "-c", self._here(text)], 0)

    def shows(self, expected: str, command: str | None) -> None:
        actual = self.outputs[command] if command is not None else self.last
        pattern = "".join(
            "(?:.*\n)*" if line == "…\n" else re.escape(line).replace("…", ".*?")
            for line in self._here(expected).splitlines(keepends=True)
        )
        assert re.fullmatch(pattern, actual), f"shown:\n{expected}\nprinted:\n{actual}"

    def close(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()

    def _here(self, text: str) -> str:
        for name, port in self.ports.items():
            text = re.sub(rf"\b{name}\b", port, text)
        return text

    def _shell(self, text: str, exit_code: int) -> None:
        script = self._here(text).replace("sb-…", self.key)
        # Exports last beyond the block, as in a terminal.
        self._keep(["bash", "-euo", "pipefail", "-c", f"{script}\nexport -p > .exports"], exit_code)
        exported = self.folder / ".exports"
        if exported.exists():
            for name, value in re.findall(r'^declare -x (\w+)="(.*)"$', exported.read_text(), re.MULTILINE):
                self.environ[name] = value

    def _keep(self, command: list[str], exit_code: int) -> None:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        # curl ends the lines of a head in CR LF.
        self.last = done.stdout.decode().replace("\r\n", "\n")
        self.last += "" if not self.last or self.last.endswith("\n") else "\n"
        self._note_key()
        assert done.returncode == exit_code, f"{command[-1]}\n{self.last}{done.stderr.decode()}"

    def _serve(self, command: str) -> None:
        name = "simulate" if "simulate" in command else "serve"
        if name in self.running:
            self._stop(name)
        program = "signalbox serve" if command == "make serve" else command
        ports = {"serve": " --port 8700 --admin-port 8701", "simulate": " --port 8790"}[name]
        told = self.folder / f".{name}.out"
        with told.open("wb") as out:
            arguments = self._here(program + ports).split()
            self.running[name] = subprocess.Popen(
                arguments, cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        until = time.monotonic() + START_S
        # Log lines may come first: on a busy machine workers take a while to start.
        greeting = b"signalbox serves" if name == "serve" else b""
        while greeting not in (said := told.read_bytes()) or not said.endswith(b"\n"):
            assert self.running[name].poll() is None, told.read_text()
            assert time.monotonic() < until, f"{command} prints nothing"
            time.sleep(0.05)
        self.last = self.outputs[command] = told.read_text()
        self._note_key()

    def _note_key(self) -> None:
        found = _KEY.search(self.last)
        self.key = found[0] if found else self.key

    def _stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages call curl")
@pytest.mark.parametrize("name", ["README.md", "docs/start.md"])
def test_what_a_page_shows_is_what_happens(name: str, tmp_path: Path) -> None:
    if asyncio.run(discover({})) is not None:
        pytest.skip("a model server runs on this machine, and the pages show a start without one")
    terminal = Terminal(tmp_path)
    try:
        for block in blocks(ROOT / name):
            try:
                step(terminal, block)
            except AssertionError as error:
                raise AssertionError(f"{name}:{block.line}: {error}") from None
    finally:
        terminal.close()


def step(terminal: Terminal, block: Block) -> None:
    if "file" in block.said:
        terminal.write(block.said["file"], block.text)
    elif block.text.startswith("make "):
        makes(block.text.strip())
        if block.text.strip() == "make serve":
            terminal.run(block.text, 0)
    elif block.kind == "sh":
        terminal.run(block.text, int(block.said.get("exit", "0")))
    elif block.kind == "python":
        terminal.python(block.text)
    elif block.kind == "text":
        terminal.shows(block.text, block.said.get("output of"))


def makes(command: str) -> None:
    """The target exists, and `make serve` is `signalbox serve`; what it installs is what runs this test."""
    # Not as a part of the make that may run this test: that one would have its own words printed as well.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    done = subprocess.run([*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr
    verb = "signalbox serve" if command == "make serve" else "pytest"
    assert verb in done.stdout.splitlines()[-1]
