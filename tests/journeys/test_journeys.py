"""What people do with the console, from the first sign-in to an auditor's pack, in a real Chromium."""

from __future__ import annotations

import json
import os
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from conftest import SECRET, Installation, Watched, context_of, sign_in

PAGES = ("/", "/requests", "/workloads", "/workloads/support", "/deployments", "/compliance", "/spend",
         "/spend/reconcile", "/keys", "/planner", "/playground", "/drills", "/alerts", "/settings", "/config",
         "/requests?refused=1")  # fmt: skip
WIDTHS = (360, 768, 1440)


def test_a_wrong_secret_stays_at_the_door(chromium: Browser, installation: Installation) -> None:
    page = context_of(chromium).new_page()
    page.goto(f"{installation.url}/compliance")
    expect(page).to_have_url(re.compile(r"/sign-in\?to=/compliance"))
    page.fill("#secret", "not the secret at all")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("neither the admin secret nor a key")
    page.fill("#secret", SECRET)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Compliance")
    page.context.close()


def test_the_first_call_shows_up_by_itself(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/requests")
    expect(page.get_by_text("Live tail")).to_be_visible()
    rows = page.locator("#rows tbody tr").count()
    assert installation.call() == 200
    called = time.monotonic()
    expect(page.locator("#rows tbody tr")).to_have_count(rows + 1, timeout=20_000)
    print(f"\nin Requests {time.monotonic() - called:.2f} s after the answer")
    first = page.locator("#rows tbody tr").first
    expect(first).to_contain_text("support")
    expect(first).to_contain_text("mini")


def test_a_call_is_explained_in_a_drawer_and_escape_closes_it(page: Page, installation: Installation) -> None:
    installation.call("claims")
    page.goto(f"{installation.url}/requests?workload=claims")
    link = page.locator("[data-drawer]").first
    expect(link).to_be_visible(timeout=20_000)
    link.click()
    drawer = page.get_by_role("dialog")
    expect(drawer).to_contain_text("phi-stays")
    expect(drawer).to_contain_text("Booked")
    expect(drawer).to_contain_text("Explained again")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()


def test_a_call_that_is_looked_at_while_it_runs_ends_before_ones_eyes(page: Page, installation: Installation) -> None:
    text = "Talk on [[tokens:45]][[delay_ms:120]]"
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(installation.call, "claims", text, stream=True)
        page.goto(f"{installation.url}/requests?workload=claims&state=open")
        page.locator("[data-drawer]").first.click(timeout=20_000)
        drawer = page.get_by_role("dialog")
        expect(drawer).to_contain_text("still running")
        expect(drawer).to_contain_text("Booked", timeout=20_000)
        expect(drawer).not_to_contain_text("still running")
        assert asked.result() == 200


def test_rows_are_walked_with_the_keyboard(page: Page, installation: Installation) -> None:
    installation.call()
    page.goto(f"{installation.url}/requests")
    expect(page.locator("[data-drawer]").first).to_be_visible(timeout=20_000)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog")
    expect(drawer).to_be_visible()
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('#drawer').contains(document.activeElement)")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("w")
    expect(page.get_by_role("heading", level=1)).to_have_text("Workloads")


def test_requests_are_filtered(page: Page, installation: Installation) -> None:
    installation.call("support")
    installation.call("claims")
    page.goto(f"{installation.url}/requests")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "f-workload"
    page.select_option("#f-workload", "claims")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("workload=claims"))
    expect(page.locator("#rows tbody tr").first).to_contain_text("claims", timeout=20_000)
    assert "support" not in page.locator("#rows").inner_text()
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("#rows tbody tr").first).to_be_visible()


def test_a_refused_call_says_why(page: Page, installation: Installation) -> None:
    assert installation.call("mini", headers={"x-signalbox-data": "phi"}) == 400
    page.goto(f"{installation.url}/requests?refused=1")
    row = page.locator("#rows tbody tr").first
    expect(row).to_contain_text("no_permitted_placement", timeout=20_000)
    row.locator("[data-drawer]").click()
    expect(page.get_by_role("dialog")).to_contain_text("phi-stays")


def test_a_rule_is_changed_refuses_and_is_rolled_back(page: Page, installation: Installation) -> None:
    before = installation.config.read_text()
    assert installation.call("claims") == 200
    page.goto(f"{installation.url}/config")
    text = page.input_value("#text")
    page.fill("#text", text.replace("allow: {kind: [on-prem]}", "allow: {kind: [edge]}"))
    page.get_by_role("button", name="Check and show").click()
    expect(page.locator("main")).to_contain_text("closes claims → house")
    assert installation.config.read_text() == before
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("kept="))
    assert installation.call("claims") == 400
    page.goto(f"{installation.url}/")
    expect(page.locator("svg.track .signal").first).to_be_attached()
    page.goto(f"{installation.url}/config")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Roll back to it").first.click()
    page.wait_for_load_state()
    assert installation.config.read_text() == before
    assert installation.call("claims") == 200


def test_a_route_is_changed_by_its_form(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/workloads/support")
    page.fill("#placements", "house, mini")
    page.get_by_role("button", name="Show the difference").click()
    expect(page.locator(".diff")).to_contain_text("placements: [house, mini]")
    page.get_by_role("link", name="Leave it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("support")


def test_a_text_with_a_mistake_comes_back_with_its_place(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/config")
    page.fill("#text", page.input_value("#text").replace("kind: [on-prem]", "kind: [moon]"))
    # The browser notes the status 400 in its console, which is what it is.
    page.get_by_role("button", name="Check and show").click()
    expect(page.get_by_role("alert")).to_contain_text("moon")


def test_a_budget_runs_out_and_is_seen(page: Page, installation: Installation) -> None:
    statuses = [installation.call("poor", "word " * 40) for _ in range(20)]
    assert statuses[0] == 200, statuses
    assert statuses[-1] == 429, statuses
    page.goto(f"{installation.url}/keys")
    row = page.locator("#budgets tr", has_text="poor")
    expect(row).to_be_visible()
    share = float(re.search(r"([\d.]+) %", row.inner_text()).group(1))  # type: ignore[union-attr]
    assert share > 50


def test_a_deployment_that_fails_is_seen(page: Page, installation: Installation) -> None:
    installation.fault("azure", "500")
    breakers = page.locator("#breakers")
    # It rests longer after each failure, until one too many; the same body again would say nothing new.
    for number in range(60):
        assert installation.call("fragile", f"Hello {number}") == 200, "the next placement answers"
        page.goto(f"{installation.url}/deployments")
        if breakers.get_by_text("frontier").count():
            break
    expect(breakers.locator("tbody")).to_contain_text("frontier")
    expect(breakers.locator("tbody")).to_contain_text("open")
    time.sleep(2)
    page.goto(f"{installation.url}/deployments")
    expect(page.locator("tr", has_text="frontier").first).to_contain_text("100.0 % failed")
    installation.heal()


def test_a_drill_is_run_and_watched(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/drills")
    page.fill("#calls", "60")
    page.get_by_role("button", name="Run it").click()
    expect(page.locator("#drill")).to_contain_text("Running")
    expect(page.locator("#drill")).to_contain_text("Nothing escaped", timeout=180_000)
    page.goto(f"{installation.url}/drills")
    expect(page.locator(".lines")).to_contain_text("good")


def test_breakers_open_and_close_before_ones_eyes(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/drills")
    page.select_option("#kind", "outages")
    page.fill("#calls", "300")
    page.get_by_role("button", name="Run it").click()
    expect(page.locator("#drill")).to_contain_text("Running")
    breakers = page.locator("#breakers")
    opened = breakers.locator("li", has_text="mini")
    expect(opened.locator(".signal-name .tag-bad")).to_have_text("open", timeout=120_000)
    assert "Running" in page.locator("#drill").inner_text(), "it is seen while it happens"
    expect(opened.locator("svg .run-failed").first).to_be_attached()
    expect(page.locator("#drill")).to_contain_text("Whatever went down was left alone", timeout=180_000)
    expect(opened).to_contain_text("closed again")
    history = opened.locator(".signal-history")
    if history.get_attribute("open") is None:
        history.locator("summary").click()
    expect(history).to_contain_text("opened")
    expect(page.locator("table")).to_contain_text("mini")


def test_an_auditor_checks_the_pack_offline(page: Page, installation: Installation, tmp_path: Path) -> None:
    installation.call("claims")
    time.sleep(2)
    page.goto(f"{installation.url}/compliance")
    page.get_by_role("button", name="Verify every chain").click()
    expect(page.get_by_role("status")).to_contain_text("Whole.")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Evidence pack").click()
    pack = tmp_path / "pack.zip"
    waiting.value.save_as(pack)
    folder = tmp_path / "pack"
    with zipfile.ZipFile(pack) as opened:
        opened.extractall(folder)
    key = json.loads((folder / "manifest.json").read_text())["public_key"]
    checked = installation.command("ledger", "verify", "--public-key", key, "--state-dir", str(folder))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_key_is_made_used_and_revoked(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/keys")
    page.fill("#name", "journey key")
    page.fill("#key-workloads", "support")
    page.get_by_role("button", name="Make it").click()
    key = page.locator(".made-key").inner_text()
    _until(installation, key, 200)  # workers have it within a second
    page.goto(f"{installation.url}/keys")
    assert key not in page.content()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke journey key").click()
    expect(page.locator("tr", has_text="journey key")).to_contain_text("revoked")
    _until(installation, key, 401)


def _until(installation: Installation, key: str, status: int) -> None:
    deadline = time.monotonic() + 20
    while installation.call(key=key) != status:
        assert time.monotonic() < deadline
        time.sleep(0.2)


CANARIES = (
    "<script>window.canary=1</script>",
    "\"><img src=x onerror='window.canary=1'>",
    "<svg onload=window.canary=1>",
)


@pytest.mark.parametrize("text", CANARIES)
def test_nothing_that_is_typed_anywhere_runs(page: Page, installation: Installation, text: str) -> None:
    installation.call(user=text, headers={"x-signalbox-session": text[:60]})
    page.goto(f"{installation.url}/keys")
    for field in ("#name", "#tenant", "#team"):
        page.fill(field, text)
    page.get_by_role("button", name="Make it").click()
    page.goto(f"{installation.url}/settings")
    page.fill("#stop-name", text)
    page.fill("#for_s", "0")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop them").click()
    for path in (*PAGES, "/spend?by=tenant"):
        page.goto(f"{installation.url}{path}")
        assert page.evaluate("window.canary") is None, path
    page.goto(f"{installation.url}/requests")
    page.fill("#f-team", text)
    page.get_by_role("button", name="Filter").click()
    assert page.evaluate("window.canary") is None


def test_spend_leads_to_its_rows_and_to_a_file(page: Page, installation: Installation) -> None:
    installation.call()
    page.goto(f"{installation.url}/spend")
    expect(page.locator("table")).to_contain_text("support", timeout=20_000)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    assert Path(waiting.value.path()).read_text().startswith("day,workload,cost_usd")
    page.get_by_role("link", name="support", exact=True).click()
    expect(page).to_have_url(re.compile("workload=support"))
    expect(page.locator("#rows tbody tr").first).to_be_visible()


def test_a_bill_is_held_against_the_ledger(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/spend")
    page.get_by_role("link", name="Reconcile a bill").click()
    text = f"date,model,cost\n{time.strftime('%Y-%m-%d', time.gmtime())},a-model-nobody-asked,5.00\n"
    page.set_input_files("#bill", {"name": "bill.csv", "mimeType": "text/csv", "buffer": text.encode()})
    page.get_by_role("button", name="Hold it against the ledger").click()
    expect(page.locator("main")).to_contain_text("Less than 99.5 %")
    expect(page.locator("main")).to_contain_text("no call in the ledger had this model")


def test_a_question_is_tried_in_two_places(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/playground")
    page.fill("#models", "support, house")
    page.fill("#key", installation.key)
    page.fill("#text", "Which platform?")
    page.get_by_role("button", name="Ask", exact=True).click()
    answers = page.locator("#answers section")
    expect(answers).to_have_count(2)
    expect(answers.nth(0)).to_contain_text("tokens", timeout=20_000)
    expect(answers.nth(1)).to_contain_text("house@clinic", timeout=20_000)
    page.fill("#key", installation.key)
    page.get_by_role("button", name="Ask and explain").click()
    expect(page.locator("main")).to_contain_text("The decision for the first")


# What words and panels look like; the page's own background counts as the canvas's, and some browsers say so.
LOOK = """() => [".panel", "h1"].map((one) => getComputedStyle(document.querySelector(one)))
  .map((style) => style.backgroundColor + style.color).join()"""


def test_light_and_dark_are_a_choice_that_lasts(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/")
    light = page.evaluate(LOOK)
    page.get_by_role("button", name="Light or dark").click()
    assert (dark := page.evaluate(LOOK)) != light
    page.goto(f"{installation.url}/spend")
    assert page.evaluate(LOOK) == dark


def test_everything_can_be_read_without_scripts(chromium: Browser, installation: Installation) -> None:
    installation.call()
    context = context_of(chromium, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, installation.url)
    for path in PAGES:
        page.goto(f"{installation.url}{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(f"{installation.url}/requests")
    page.locator("#rows tbody a").first.click()
    expect(page.locator("main")).to_contain_text("Explained again")
    context.close()


def test_after_signing_out_nothing_is_left(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/requests")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_narrow_role_gets_a_narrow_menu(chromium: Browser, installation: Installation) -> None:
    made = installation.command("keys", "create", "--name", "dev", "--role", "developer", "--json")
    context = context_of(chromium)
    page = context.new_page()
    sign_in(page, installation.url, json.loads(made.stdout)["key"])
    menu = page.locator(".menu").inner_text()
    assert "Requests" in menu
    assert "Compliance" not in menu
    page.goto(f"{installation.url}/compliance")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not for this role")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_is_accessible(chromium: Browser, installation: Installation, scheme: str) -> None:
    """At three widths nothing scrolls sideways but tables within their frame; axe finds nothing serious; the browser
    refuses nothing. With SCREENSHOTS, a picture of each."""
    context = context_of(chromium, color_scheme=scheme, reduced_motion="reduce")
    watched = Watched(context.new_page())
    page = watched.page
    sign_in(page, installation.url)
    pictures = os.environ.get("SCREENSHOTS")
    found: list[str] = []
    for path in PAGES:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{installation.url}{path}")
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if over > 0:
                found.append(f"{path} at {width}: {over} px too wide")
            if pictures:
                name = re.sub(r"\W+", "-", path).strip("-") or "overview"
                page.screenshot(path=f"{pictures}/{name}-{width}-{scheme}.png", full_page=True)
        result = Axe().run(page)
        for violation in result.response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                where = violation["nodes"][0]["target"]
                found.append(f"{path} ({scheme}): {violation['id']}: {violation['help']} at {where}")
    assert found == []
    watched.check()
    context.close()
