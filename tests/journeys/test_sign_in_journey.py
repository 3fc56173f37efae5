"""Signing in through an identity provider at another site, in a real Chromium."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from conftest import PYTHON, WAIT_S, Installation, Watched, context_of, free_port


def _until_it_listens(port: int) -> None:
    """Its certificate is there by then: a configuration that names one that is not is refused."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def with_provider(installation: Installation, tmp_path: Path) -> Iterator[Installation]:
    """The installation, whose people come from a provider for as long as this lasts."""
    port = free_port()
    script = Path(__file__).parents[1] / "identity_provider.py"
    process = subprocess.Popen([PYTHON, str(script), str(tmp_path), str(port)])
    _until_it_listens(port)
    before = installation.config.read_text()
    oidc = {
        "issuer": f"https://localhost:{port}", "client_id": "console", "client_secret": "a client's secret: 100%",
        "console_url": installation.url, "ca_file": str(tmp_path / "ca.pem"), "label": "Corporate login",
        "grants": [{"value": "box-operators", "role": "operator", "tenant": "*"}],
    }  # fmt: skip
    installation.config.write_text(f"{before}\nsign_in: {json.dumps({'oidc': oidc})}\n")
    yield installation
    installation.config.write_text(before)
    process.terminate()
    process.wait(30)


def test_somebody_comes_from_a_provider_and_goes(chromium: Browser, with_provider: Installation) -> None:
    context = context_of(chromium, ignore_https_errors=True)
    context.set_default_timeout(30_000)
    page = context.new_page()
    watched = Watched(page)
    button = page.get_by_role("link", name="Sign in with Corporate login")
    deadline = time.monotonic() + WAIT_S
    page.goto(f"{with_provider.url}/compliance")
    while not button.is_visible():
        assert time.monotonic() < deadline
        time.sleep(0.2)
        page.reload()
    button.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compliance")
    expect(page.locator(".who")).to_have_text("alice (operator)")
    cookies = {one["name"]: one for one in context.cookies()}
    assert cookies["signalbox_session"]["sameSite"] == "Strict"
    assert cookies["signalbox_session"]["httpOnly"]
    assert "signalbox_flow" not in cookies
    page.goto(f"{with_provider.url}/requests")
    expect(page.get_by_role("heading", level=1)).to_have_text("Requests")
    page.get_by_role("button", name="Sign out").click()
    there = page.get_by_role("link", name="Sign out there too")
    expect(there).to_have_attribute("href", re.compile(r"^https://localhost:\d+/logout\?client_id=console"))
    page.goto(f"{with_provider.url}/requests")
    expect(page).to_have_url(re.compile(r"/sign-in\?to=/requests"))
    watched.check()
    context.close()
