"""Every page that the router has, in every condition (scenes.py), as a real Chromium shows it: at three widths, light
and dark, nothing scrolls sideways, runs that should not, is hard to read or breaks the console's own policy.

SCREENSHOTS: a directory for pictures of all of them (`make pictures`), none when left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from conftest import PYTHON, ROOT, Watched, context_of, sign_in

SECRET = "an admin secret of some length"  # of tests/console_desk.py
WIDTHS = (360, 768, 1440)
PICTURES = os.environ.get("SCREENSHOTS")
# Of what is taller a picture shows the top.
TALL_PX = 5000
# What is of another width than its frame, and may be: it scrolls within, or is drawn for screen readers only.
TOO_WIDE = """() => {
  const over = document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth;
  if (over <= 0) return "";
  const edge = document.documentElement.clientWidth;
  const worst = [...document.querySelectorAll("body *")].filter((one) => {
    for (let up = one.parentElement; up; up = up.parentElement) {
      if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(up).overflowX)) return false;
    }
    return one.getBoundingClientRect().right > edge + 1;
  }).slice(-1)[0];
  return `${over} px too wide, by ${worst ? worst.outerHTML.slice(0, 120) : "something"}`;
}"""


class Scenes:
    """The process of scenes.py. told: by scene, the url of its console and every page of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self.told: dict[str, dict[str, Any]] = json.loads(self._out.readline())

    def say(self, word: str) -> None:
        """cut or mend: what happens to the store of the scene `down`."""
        self._in.write(f"{word}\n")
        self._in.flush()
        assert self._out.readline() == "done\n"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    log = (tmp_path_factory.mktemp("scenes") / "scenes.log").open("w")
    command = [PYTHON, str(ROOT / "tests/journeys/scenes.py")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests")))}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environ) as process:
        yield Scenes(process)
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        process.wait(30)


def _picture(page: Page, scene: str, path: str, width: int, scheme: str) -> None:
    if PICTURES:
        name = re.sub(r"\W+", "-", re.sub(r"[a-z]{3}_[0-9a-f]+|x{9,}", "x", path)).strip("-") or "overview"
        whole = page.evaluate("document.scrollingElement.scrollHeight") < TALL_PX
        page.screenshot(path=Path(PICTURES) / f"{scene}-{name[:60]}-{width}-{scheme}.png", full_page=whole)


def _look(page: Page, where: str, found: list[str]) -> None:
    too_wide = page.evaluate(TOO_WIDE)
    if too_wide:
        found.append(f"{where}: {too_wide}")
    if page.evaluate("window.canary") is not None:
        found.append(f"{where}: a canary ran")


def _axe(page: Page, where: str, found: list[str]) -> None:
    for violation in Axe().run(page).response["violations"]:
        if violation["impact"] in ("serious", "critical"):
            found.append(f"{where}: {violation['id']}: {violation['help']} at {violation['nodes'][0]['target']}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scene", ["empty", "busy", "hostile", "down"])
def test_every_page_in_every_condition(chromium: Browser, scenes: Scenes, scene: str, scheme: str) -> None:
    told, found = scenes.told[scene], list[str]()
    context = context_of(chromium, color_scheme=scheme, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    watched = Watched(context.new_page())
    watched.expected = ("status of 404", *(("status of 503",) if scene == "down" else ()))
    page = watched.page
    page.goto(f"{told['url']}/sign-in")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        _look(page, f"sign-in at {width}", found)
        _picture(page, scene, "sign-in", width, scheme)
    _axe(page, "sign-in", found)
    sign_in(page, told["url"], SECRET)
    if scene == "down":
        scenes.say("cut")
    for path in told["pages"]:
        page.goto(f"{told['url']}{path}")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            _look(page, f"{path} at {width}", found)
            _picture(page, scene, path, width, scheme)
        _axe(page, path, found)
    if scene in ("busy", "hostile"):
        _drawer(page, told["url"], scene, scheme, found)
    if scene == "down":
        scenes.say("mend")
        page.goto(told["url"])
        assert page.locator("h1").inner_text() == "Overview", "it is back as soon as the store is"
    context.close()
    assert found == []
    watched.check()


def _drawer(page: Page, url: str, scene: str, scheme: str, found: list[str]) -> None:
    page.goto(f"{url}/requests")
    page.locator("[data-drawer]").nth(1).click()
    page.locator(".drawer:not([hidden]) h1").wait_for()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        over = page.locator("#drawer").evaluate("(one) => one.scrollWidth - one.clientWidth")
        if over > 0:
            found.append(f"drawer at {width}: {over} px too wide")
        _look(page, f"drawer at {width}", found)
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{scene}-drawer-{width}-{scheme}.png")
    _axe(page, "drawer", found)


CANARY = "'\"></textarea></option></title><script>window.canary=1</script><img src=x onerror='window.canary=1'>"
FORMS = """(canary) => [...document.querySelectorAll("main form")].map((form) => {
  for (const one of form.elements) {
    if (one.type === "hidden" || one.type === "file" || one.type === "submit" || one.tagName === "SELECT") continue;
    one.removeAttribute("maxlength");
    if (one.tagName === "TEXTAREA" || one.tagName === "INPUT") one.value = canary;
  }
  form.noValidate = true;
  return form.method + " " + form.getAttribute("action");
})"""


def test_what_is_typed_into_any_form_stays_text(chromium: Browser, scenes: Scenes) -> None:
    """Every form of every page, with a canary in each of its fields."""
    told = scenes.told["busy"]
    context = context_of(chromium)
    watched = Watched(context.new_page())
    watched.expected = ("status of 4",)
    page = watched.page
    page.on("dialog", lambda dialog: dialog.accept())
    sign_in(page, told["url"], SECRET)
    found: list[str] = []
    tried: dict[str, None] = {}
    pages = [path for path in told["pages"] if "?" not in path]
    for path in pages:
        page.goto(f"{told['url']}{path}")
        for number, form in enumerate(page.evaluate(FORMS, CANARY)):
            kind = re.sub(r"[0-9a-z]{12}", "ID", form)
            if kind in tried:
                continue
            if page.url != f"{told['url']}{path}":
                page.goto(f"{told['url']}{path}")
                page.evaluate(FORMS, CANARY)
            tried[kind] = None
            with page.expect_navigation(wait_until="load"):
                page.locator("main form").nth(number).evaluate("(form) => HTMLFormElement.prototype.submit.call(form)")
            _look(page, f"{form} from {path}", found)
    for path in pages:
        if path.count("/") == 1:
            page.goto(f"{told['url']}{path}")
            _look(page, path, found)
    assert found == []
    assert len(tried) >= 10, tried
    watched.check()
    context.close()
