"""A whole installation with simulated providers, and a real Chromium that looks at its console.

SIGNALBOX_PYTHON: the interpreter that has Signalbox. CHROMIUM: the browser, where it is not on the path.
SCREENSHOTS: a directory for pictures of every page, none when left out.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("SIGNALBOX_PYTHON", str(ROOT / ".venv/bin/python"))
SECRET = "a secret for the journeys"
WAIT_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """Simulator and gateway as processes of their own. key: may use everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sim_port, self.port, self.admin_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.admin_port}"
        self.config = folder / "signalbox.yaml"
        template = (Path(__file__).with_name("signalbox.yaml")).read_text()
        self.config.write_text(template.replace("SIMULATOR", f"http://127.0.0.1:{self.sim_port}"))
        self.state = folder / "state"
        environ = {**os.environ, "SIGNALBOX_ADMIN_SECRET": SECRET}
        self._processes = [self._start(["simulate", "--port", str(self.sim_port)], environ)]
        self._processes.append(
            self._start(
                ["serve", "--config", str(self.config), "--port", str(self.port), "--admin-port",
                 str(self.admin_port), "--state-dir", str(self.state)],
                environ,
            )
        )  # fmt: skip
        self._await(f"http://127.0.0.1:{self.port}/healthz")
        self._await(f"{self.url}/healthz")
        made = self.command("keys", "create", "--name", "journeys", "--deployment", "*", "--json")
        self.key = json.loads(made.stdout)["key"]

    def _start(self, arguments: list[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{arguments[0]}.log").open("wb")
        return subprocess.Popen([PYTHON, "-m", "signalbox", *arguments], stdout=log, stderr=log, env=environ)

    def _await(self, url: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        state = ["--state-dir", str(self.state)] if arguments[0] in ("keys", "ledger") else []
        return subprocess.run([PYTHON, "-m", "signalbox", *arguments, *state], capture_output=True, text=True)

    def call(self, model: str = "support", text: str = "Hello", key: str = "", **more: Any) -> int:
        """The status of one call."""
        headers = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        headers |= more.pop("headers", {})
        body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def fault(self, provider: str, fault: str) -> None:
        body = json.dumps({"fault": fault, "provider": provider}).encode()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.sim_port}/sim/faults", body, {"content-type": "application/json"}
        )
        urllib.request.urlopen(asked, timeout=10).read()

    def heal(self) -> None:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.sim_port}/sim/faults", method="DELETE")
        urllib.request.urlopen(asked, timeout=10).read()

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("installation"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    path = path or shutil.which("google-chrome")
    if path is None:
        pytest.fail("no Chromium here: install one, or name it in CHROMIUM")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Watched:
    """A page whose every complaint is kept: errors, refused scripts and styles, dialogs."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def check(self) -> None:
        wrong = [one for one in self.complaints if not any(part in one for part in self.expected)]
        assert wrong == []


def context_of(chromium: Browser, **options: Any) -> BrowserContext:
    return chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, "accept_downloads": True, **options})


def sign_in(page: Page, url: str, secret: str = SECRET) -> None:
    page.goto(f"{url}/sign-in")
    page.fill("#secret", secret)
    page.click("button[type=submit]")
    page.wait_for_selector(".rail")


@pytest.fixture
def page(chromium: Browser, installation: Installation) -> Iterator[Page]:
    """Signed in as admin. Fails when the browser complained of anything."""
    context = context_of(chromium)
    context.set_default_timeout(30_000)
    watched = Watched(context.new_page())
    sign_in(watched.page, installation.url)
    # A 4xx that a journey is about is noted by the browser as an error.
    watched.expected = ("status of 4",)
    yield watched.page
    watched.check()
    context.close()
