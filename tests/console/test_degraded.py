"""Every route of the router when the store is gone: a designed page or a plain error, at once, and nothing of a
traceback; and names longer than anybody reads are cut short wherever they stand in a list."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_pages import CONFIG, _attempt

from console_desk import SECRET, Desk
from signalbox.console.access import MAY, OPEN
from signalbox.console.words import SHORT, fitted
from signalbox.control.alerts import Alert

FILLED = {"{id}": "req_0001", "{name:path}": "support", "{name}": "console.css"}
# What answers without the store: it shows what the supervisor knows by itself, or only how to begin.
ALONE = {"/healthz", "/static/{name}", "/sign-in"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = await Desk(tmp_path / "state", CONFIG).loaded()
    made.ship(*_attempt(1))
    yield made
    made.close()


def filled(path: str) -> str:
    for name, value in FILLED.items():
        path = path.replace(name, value)
    return path


async def test_every_page_says_it_and_comes_back(desk: Desk) -> None:
    browser = await desk.browser()
    pages = [path for method, path in desk.routes() if method == "GET" and not path.startswith(("/api/", "/metrics"))]
    assert len(pages) > 20
    desk.cut = True
    told: dict[str, int] = {}
    for path in pages:
        answer = await browser.get(filled(path))
        told[path] = answer.status
        assert answer.status in (200, 303, 404, 503), (path, answer.status)
        text = answer.body.decode("utf-8", "replace")
        assert "disk is gone" not in text, path
        assert "Traceback" not in text, path
        if answer.status == 503:
            assert "The ledger does not answer" in text, path
            assert "Try again" in text, path
    assert {"/", "/requests", "/spend", "/compliance"} <= {path for path, status in told.items() if status == 503}
    assert all(told[path] in (200, 404) for path in ALONE & told.keys())
    desk.cut = False
    for path in pages:
        assert (await browser.get(filled(path))).status < 500, path


async def test_no_form_does_half_of_it(desk: Desk) -> None:
    browser = await desk.browser()
    desk.cut = True
    for method, path in MAY:
        if method == "POST" and not path.startswith("/api/") and path != "/sign-out":
            answer = await browser.post(filled(path), {"name": "n", "text": "x: 1", "scope": "all", "for_s": "0"})
            assert answer.status in (200, 303, 400, 403, 404, 409, 503), (path, answer.status)
            assert "disk is gone" not in answer.text, path


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_programs_get_an_error_that_they_can_read(desk: Desk, method: str) -> None:
    desk.cut = True
    for verb, path in desk.routes():
        if verb != method or not path.startswith("/api/") or (verb, path) in OPEN:
            continue
        answer = await desk.send(method, filled(path), {"authorization": f"Bearer {SECRET}"}, b"{}")
        assert answer.status in (200, 202, 400, 404, 409, 503), (path, answer.status)
        assert b"disk is gone" not in answer.body, path
        if answer.status >= 400:
            assert answer.json["error"]["message"], path


async def test_long_names_are_short_in_lists_and_whole_where_they_are_told(desk: Desk) -> None:
    long = "W" * 10_000
    desk.ship(*_attempt(2, workload=long, deployment=long, environment=long, team=long))
    desk.ship(*_attempt(3, workload="a" + "\u0301" * 10_000))
    browser = await desk.browser()
    for path in ("/", "/requests", "/spend", "/spend?by=deployment", "/spend?by=environment", "/spend?by=team"):
        text = re.sub(r'(href|hx-get|value)="[^"]*"', "", (await browser.get(path)).text)
        assert "W" * (SHORT - 1) + "…" in text, path
        assert "W" * (SHORT + 1) not in text, path
        assert "\u0301" * 9 not in text, f"{path}: marks that stack up hide what is above them"
    assert long in (await browser.get("/requests/req_0002")).text


async def test_the_light_of_every_page_and_the_list_of_alerts_say_the_same(tmp_path: Path) -> None:
    desk = await Desk(tmp_path / "state", CONFIG, workers=0).loaded()
    browser = await desk.browser()
    assert "All clear" in (page := (await browser.get("/alerts")).text)
    assert "In service" in page
    desk.supervisor.firing = [(Alert("breaker-open", "d", "1 replica"), 1.0)]
    assert "In service" in (await browser.get("/alerts")).text, "a warning"
    desk.supervisor.firing = [(Alert("chain-broken", "", "a journal is damaged"), 1.0)]
    assert "Needs attention" in (await browser.get("/alerts")).text
    desk.close()


async def test_nothing_is_clear_while_a_worker_is_down(desk: Desk) -> None:
    page = (await (await desk.browser()).get("/alerts")).text
    assert "Needs attention" in page
    assert "All clear" not in page
    assert "not every worker is up" in page


@pytest.mark.parametrize("room", [11.0, 15.5])
@pytest.mark.parametrize("letter", ["W", "x", "i", "\u4e2d", "\u0301", "<"])
def test_names_in_drawings_end_where_their_room_does(letter: str, room: float) -> None:
    assert fitted("support-chat", room) == "support-chat"
    said = fitted(letter * 10_000, room)
    assert said.endswith("…")
    # In the widest bold face a W takes 1.1 em.
    assert said.count("W") * 1.1 + 1 <= room
    assert said.count("\u4e2d") * 1.1 + 1 <= room


async def test_a_call_that_still_runs_is_looked_at_again_until_it_ends(desk: Desk) -> None:
    opened, settled = _attempt(7)
    desk.ship(opened)
    browser = await desk.browser()
    page = (await browser.get("/requests/req_0007")).text
    assert "still running" in page
    assert "unpriced" not in page
    assert f'hx-get="/requests/req_0007?at={opened.time_ms}" hx-trigger="load delay:1s"' in page
    desk.ship(settled)
    page = (await browser.get("/requests/req_0007")).text
    assert "still running" not in page
    assert 'hx-trigger="load' not in page
