"""Every page over a real installation: what it shows, what it keeps inert, and whom it tells what."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import zipfile
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console_desk import SECRET, Browser, Desk
from signalbox.cli.main import main as command_line
from signalbox.console.access import MAY
from signalbox.console.sessions import IDLE_S, LIFETIME_S, SESSIONS_MAX, Sessions
from signalbox.core.errors import StoreError
from signalbox.core.records import Opened, Refused, Settled
from signalbox.core.usage import Usage
from signalbox.ledger.checkpoint import CheckpointLog
from signalbox.ledger.journal import Journal
from signalbox.ledger.ship import Shipping

CONFIG = """
packs: [gdpr]
environments:
  cloud-us: {kind: cloud, region: us, operator: OpenAI, attests: [dpa]}
  clinic: {kind: on-prem, region: eu/de}  # ours
vendors:
  OpenAI: {attests: [{name: soc2, until: 2027-01-01, evidence: "<script>canary()</script>"}], subprocessors: ["<img src=x onerror=canary()>"]}
deployments:
  mini: {environment: cloud-us, protocol: openai, base_url: "https://example.com/v1", model: m-1, api_key: sk-canary-provider-secret, price: {input_mtok: 1, output_mtok: 2}}
  house: {environment: clinic, protocol: openai, base_url: "http://10.0.0.1/v1", model: "<script>canary()</script>", price: {input_mtok: 3, output_mtok: 6}}
workloads:
  support: {placements: [mini, house], budget: {usd_per_month: 5}}
  claims: {data: [phi], placements: [house, mini]}
teams:
  blue: {workloads: [support]}
rules:
  - id: phi-stays
    when: {data: [phi]}
    allow: {kind: [on-prem]}
    source: "<script>canary()</script>"
"""  # noqa: E501
NAMED = ("tenant", "team", "key_id", "workload", "deployment", "environment", "model", "reason")
HOSTILE = (
    "<script>canary()</script>",
    '"><img src=x onerror=canary()>',
    "' onmouseover='canary()",
    "javascript:canary()",
    "=cmd|' /C calc'!A0",
    "\u202etxt.exe\u200b",
    "\x1b[31mred",
    "[x](javascript:canary())",
    "{{ 7*7 }}",
)


def _attempt(number: int, text: str = "plain", **changes: Any) -> list[Any]:
    now_ms = time.time_ns() // 1_000_000 - number * 1000
    opened = Opened(
        f"req_{number:04d}-1", f"req_{number:04d}", now_ms, "acme", "blue", "k1", "support", "mini", "cloud-us", "m-1",
        "chat", ("public",), "fixed:support", "v1", stream=True, user=text, session=text, tags=(text,),
    )  # fmt: skip
    opened = msgspec.structs.replace(opened, **changes)
    settled = Settled(
        opened.attempt_id, now_ms + 400, "settled", Usage(tokens_in=1000, tokens_out=100), "provider", 1_200_000_000,
        200, ttft_ms=100, duration_ms=400,
    )  # fmt: skip
    return [opened, settled]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = await Desk(tmp_path / "state", CONFIG).loaded()
    yield made
    made.close()


PAGES = [
    path for method, path in MAY if method == "GET" and not path.startswith("/api/") and "{" not in path
    and path not in ("/metrics", "/compliance/evidence.zip", "/spend.parquet")
]  # fmt: skip


class Reader(HTMLParser):
    """What a browser would find active in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.text: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on") or name == "style" or (value or "").strip().lower().startswith("javascript:"):
                self.active.append(f"{tag} {name}={value}")
            if name == "id":
                self.ids.append(value or "")
        if tag in ("script", "img", "iframe", "object", "embed", "link"):
            source = dict(attrs).get("src") or dict(attrs).get("href") or ""
            if not source.startswith("/static/"):
                self.active.append(f"{tag} {source}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


@pytest.mark.parametrize("path", PAGES)
async def test_an_empty_installation_shows_designed_pages(desk: Desk, path: str) -> None:
    answer = await (await desk.browser()).get(path)
    assert answer.status == 200
    if path != "/spend.csv":
        reader = _read(answer.text)
        assert reader.active == []
        assert len(reader.ids) == len(set(reader.ids))
        assert "Traceback" not in answer.text


async def test_what_callers_and_models_name_is_inert_everywhere(desk: Desk) -> None:
    for number, text in enumerate(HOSTILE):
        named = dict.fromkeys(NAMED, text)
        opened, settled = _attempt(number, text, **named)
        desk.ship(opened, msgspec.structs.replace(settled, error=text, usage=msgspec.structs.replace(
            settled.usage, unknown=(text,), tier=text)))  # fmt: skip
        desk.ship(Refused(f"no_{number}", opened.time_ms, text, text, text, text, ("public",), text, "v1", {text: 1}))
        desk.key(name="".join(one for one in text if one.isprintable()) or "x", team="<script>canary()</script>")
    own = [f"/requests/{call}{number}" for number in range(len(HOSTILE)) for call in ("req_000", "no_")]
    browser = await desk.browser()
    paths = [*PAGES, "/requests?refused=1", *own, "/workloads/claims",
             "/spend?by=model", "/spend?by=team", "/requests?workload=%3Cscript%3Ecanary()%3C/script%3E",
             "/requests/%3Cscript%3Ecanary()", "/workloads/%3Cscript%3Ecanary()"]  # fmt: skip
    for path in paths:
        if path == "/spend.csv":
            continue
        answer = await browser.get(path)
        assert answer.status in (200, 404), (path, answer.text)
        reader = _read(answer.text)
        assert reader.active == [], path
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u200b\u202a-\u202e]", answer.text), path
        assert "49" not in [one.strip() for one in reader.text if "*" in one], path
    shown = "".join(_read((await browser.get("/requests/req_0000")).text).text)
    assert "<script>canary()</script>" in shown


async def test_a_spreadsheet_gets_no_formula(desk: Desk) -> None:
    for number, text in enumerate((*HOSTILE, "+1", "-1", "@SUM(A1)", "\t=1")):
        desk.ship(*_attempt(number, workload=text))
    answer = await (await desk.browser()).get("/spend.csv?by=workload")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["day", "workload", "cost_usd"]
    assert len(rows) == len(HOSTILE) + 5
    for _, name, cost in rows[1:]:
        assert not name.startswith(("=", "+", "-", "@", "\t", "\r")), name
        assert cost == "0.0012"


async def test_every_answer_keeps_browsers_in(desk: Desk) -> None:
    browser = await desk.browser()
    for path in ("/", "/nowhere", "/sign-in", "/static/console.js", "/requests?rows=x", "/healthz"):
        answer = await browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers
        if not path.startswith("/static/"):
            assert answer.headers["cache-control"] == "no-store"


# --- sessions


async def test_a_session_is_fresh_at_every_sign_in_and_ends(desk: Desk) -> None:
    browser = Browser(desk)
    browser.cookies["signalbox_session"] = "planted"
    answer = await browser.sign_in(SECRET)
    (cookie,) = [one for one in answer.cookies if one.startswith("signalbox_session=")]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    first = browser.cookies["signalbox_session"]
    assert first != "planted"
    assert SECRET not in cookie
    await browser.sign_in(SECRET)
    assert browser.cookies["signalbox_session"] != first
    old = Browser(desk)
    old.cookies["signalbox_session"] = first
    assert (await old.get("/")).status == 303, "the session before a new sign-in has ended"
    kept = browser.cookies["signalbox_session"]
    assert (await browser.post("/sign-out", {})).status == 303
    browser.cookies["signalbox_session"] = kept
    assert (await browser.get("/")).status == 303


async def test_a_session_ends_by_itself() -> None:
    now_s = 0.0
    sessions = Sessions(lambda: now_s)
    token, _ = sessions.begin("admin-secret")
    for _ in range(int(LIFETIME_S // IDLE_S)):
        now_s += IDLE_S
        assert sessions.find(token), "it is in use"
    now_s = LIFETIME_S + 1
    assert sessions.find(token) is None, "however much it is used"
    token, _ = sessions.begin("admin-secret")
    now_s += IDLE_S + 1
    assert sessions.find(token) is None
    tokens = [sessions.begin("admin-secret")[0] for _ in range(SESSIONS_MAX + 1)]
    assert [sessions.find(one) is None for one in tokens] == [True] + [False] * SESSIONS_MAX


async def test_nobody_is_signed_in_from_elsewhere(desk: Desk) -> None:
    """Or a page of others could have somebody work under a name that is not theirs."""
    for form, headers in FORGED:
        browser = Browser(desk)
        await browser.get("/sign-in")
        answer = await browser.post("/sign-in", {"secret": SECRET, "to": "/", **form}, **headers)
        assert answer.status in (400, 403), (form, headers)
        assert not any(one.startswith("signalbox_session") for one in answer.cookies)


async def test_over_tls_cookies_stay_on_tls(desk: Desk) -> None:
    answer = await desk.send("GET", "/sign-in", {}, scheme="https")
    assert "Secure" in answer.cookies[0]


async def test_a_revoked_key_ends_its_session_at_once(desk: Desk) -> None:
    key_id, token = desk.key(role="operator")
    browser = await desk.browser(token)
    assert (await browser.get("/requests")).status == 200
    desk.store.run_now(lambda store: store.revoke_key(key_id, 1))
    assert (await browser.get("/requests")).status == 303


FORGED: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"csrf": ""}, {}),
    ({"csrf": "x"}, {}),
    ({}, {"origin": "https://evil.example"}),
    ({}, {"origin": "null"}),
    ({}, {"sec-fetch-site": "cross-site"}),
    ({}, {"sec-fetch-site": "same-site"}),
    ({}, {"content-type": "text/plain"}),
    ({}, {"content-type": "application/json"}),
]


@pytest.mark.parametrize(("form", "headers"), FORGED, ids=str)
@pytest.mark.parametrize("path", [path for method, path in MAY if method == "POST" and not path.startswith("/api/")])
async def test_no_form_works_from_elsewhere(
    desk: Desk, path: str, form: dict[str, str], headers: dict[str, str]
) -> None:
    browser = await desk.browser()
    before = desk.file.read_text(), desk.store.run_now(lambda store: len(store.list_keys()))
    whole = {"name": "x", "text": "{}", "scope": "all", "for_s": "1", "kind": "escapes", "calls": "1", **form}
    answer = await browser.post(path.replace("{id}", "x"), whole, **headers)
    assert answer.status in (400, 403)
    assert (desk.file.read_text(), desk.store.run_now(lambda store: len(store.list_keys()))) == before
    assert (await browser.get("/")).status == 200, "and its session goes on"


async def test_guessing_the_secret_is_slowed_down(desk: Desk) -> None:
    browser = Browser(desk)
    statuses = [(await browser.sign_in(f"wrong {number}")).status for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert (await browser.sign_in(SECRET)).status == 429


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/a?b", ""]
)
async def test_signing_in_leads_nowhere_else(desk: Desk, to: str) -> None:
    answer = await Browser(desk).sign_in(SECRET, to)
    assert (answer.status, answer.headers["location"]) == (303, "/")


# --- who sees what


async def test_other_tenants_rows_are_nowhere(desk: Desk) -> None:
    """Tenant B's canary is on no page and in no JSON of tenant A's people; asking for it is a 400."""
    mine, _ = desk.key(tenant="acme")
    desk.ship(*_attempt(1, key_id=mine))
    desk.ship(*_attempt(2, "canary-user-b", tenant="canary-b", team="canary-b", key_id="canary-b", workload="canary-b"))
    now_ms = time.time_ns() // 1_000_000
    desk.ship(Refused("no_b", now_ms, "canary-b", "", "canary-b", "canary-b", ("restricted",), "x", "v1"))
    for role in ("operator", "auditor", "developer"):
        _, token = desk.key(tenant="acme", role=role)
        browser = await desk.browser(token)
        for path in [*PAGES, "/requests?refused=1", "/requests/req_0002", "/requests/no_b", "/spend?by=tenant"]:
            answer = await browser.get(path)
            assert "canary" not in answer.text.replace("canary()", ""), (role, path)
        for query in ("/requests?tenant=canary-b", "/spend?tenant=canary-b"):
            assert (await browser.get(query)).status == 400
        for method, path in MAY:
            if method == "GET" and path.startswith("/api/"):
                answer = await desk.send("GET", path.replace("{id}", "req_0002").replace("{name:path}", "canary-b"), {
                    "authorization": f"Bearer {token}"})  # fmt: skip
                assert b"canary-b" not in answer.body, (role, path)


async def test_a_developer_sees_calls_of_the_keys_it_made(desk: Desk) -> None:
    developer, token = desk.key(tenant="acme", role="developer")
    mine, _ = desk.key(tenant="acme", creator=developer)
    desk.ship(*_attempt(1, key_id=mine), *_attempt(2, key_id="somebody"))
    browser = await desk.browser(token)
    listed = (await browser.get("/requests")).text
    assert "req_0001" in listed
    assert "req_0002" not in listed
    assert (await browser.get("/requests/req_0001")).status == 200
    assert (await browser.get("/requests/req_0002")).status == 404


# --- requests


async def test_pages_of_requests_follow_each_other_and_the_tail_is_quiet(desk: Desk) -> None:
    for number in range(120):
        desk.ship(*_attempt(number))
    browser = await desk.browser()
    seen: list[str] = []
    path: str | None = "/requests"
    while path:
        html = (await browser.get(path)).text
        seen += re.findall(r'<td><a href="/requests/(req_\d+)"', html)
        found = re.search(r'rel="next" href="([^"]+)"', html)
        path = found[1].replace("&amp;", "&") if found else None
    assert seen == [f"req_{number:04d}" for number in range(120)]
    html = (await browser.get("/requests")).text
    live = re.search(r'hx-get="([^"]+live=rows[^"]*)"', html)
    assert live
    tail = live[1].replace("&amp;", "&")
    assert (await browser.get(tail)).status == 204
    desk.ship(*_attempt(-1, call_id="req_new", attempt_id="req_new-1"))
    fresh = await browser.get(tail)
    assert fresh.status == 200
    assert "req_new" in fresh.text
    assert "<html" not in fresh.text


async def test_a_call_is_told_with_its_price_and_what_would_become_of_it_now(desk: Desk) -> None:
    first = _attempt(1, labels=("restricted", "phi"), workload="claims")
    first[1] = msgspec.structs.replace(first[1], state="failed", cost_pico=0, usage=Usage(), status=503)
    second = _attempt(1, labels=("restricted", "phi"), workload="claims", attempt_id="req_0001-2", attempt=2,
                      deployment="house", environment="clinic")  # fmt: skip
    second[1] = msgspec.structs.replace(second[1], attempt_id="req_0001-2", cost_pico=3_600_000_000)
    desk.ship(*first, *second)
    answer = await (await desk.browser()).get("/requests/req_0001")
    text = " ".join(" ".join(_read(answer.text).text).split())
    assert "$0.000003" in text, "the price of one token"
    assert "Booked $0.0036" in text
    assert "phi-stays" in text, "the rule that closes the cloud today"
    _, told = await desk.ask("GET", "/api/requests/req_0001", f"Bearer {SECRET}")
    assert [one["row"]["state"] for one in told["attempts"]] == ["failed", "settled"]
    assert told["attempts"][1]["arithmetic"]["agrees"] is True
    assert told["attempts"][1]["arithmetic"]["total"] == 3_600_000_000
    closed = {one["deployment"]: [why["rule"] for why in one["reasons"]] for one in told["again"]["placements"]}
    assert "phi-stays" in closed["mini"]
    assert closed["house"] == []


@pytest.mark.parametrize(
    "query", ["rows=0", "rows=x", "rows=501", "before=x", "before=1", "label=none", "state=x", "since=never", "bogus=1",
              "refused=2", "since=2026-11-20&until=2026-11-19"],
)  # fmt: skip
async def test_a_filter_that_makes_no_sense_is_a_400(desk: Desk, query: str) -> None:
    assert (await (await desk.browser()).get(f"/requests?{query}")).status == 400
    assert (await desk.ask("GET", f"/api/requests?{query}", f"Bearer {SECRET}"))[0] == 400


# --- the routing table


async def test_a_rule_is_changed_seen_and_taken_back(desk: Desk) -> None:
    browser = await desk.browser()
    page = await browser.get("/config")
    assert "sk-canary-provider-secret" not in page.text
    assert "(hidden 1)" in page.text
    base = re.search(r'name="base" value="([^"]+)"', page.text)
    assert base
    covered = CONFIG.replace("sk-canary-provider-secret", "(hidden 1)")
    wanted = covered.replace("allow: {kind: [on-prem]}", "allow: {kind: [cloud]}").replace("\n", "\r\n")
    shown = await browser.post("/config/preview", {"text": wanted, "base": base[1]})
    assert shown.status == 200
    text = " ".join(" ".join(_read(shown.text).text).split())
    assert "closes claims → house" in text
    assert "sk-canary-provider-secret" not in shown.text
    assert desk.file.read_text() == CONFIG, "nothing is written before it is applied"
    applied = await browser.post("/config/apply", {"text": wanted, "base": base[1]})
    assert applied.status == 303
    assert "kind: [cloud]" in desk.file.read_text()
    assert "api_key: sk-canary-provider-secret" in desk.file.read_text()
    assert desk.supervisor.generation == 2
    stale = await browser.post("/config/apply", {"text": wanted, "base": base[1]})
    assert stale.status == 400
    assert "changed meanwhile" in stale.text
    kept = re.search(r'name="id" value="([^"]+)"', (await browser.get("/config")).text)
    assert kept
    assert (await browser.post("/config/rollback", {"id": kept[1]})).status == 303
    assert desk.file.read_text() == CONFIG
    assert desk.supervisor.generation == 3


@pytest.mark.parametrize(
    "text",
    ["", "{", "workloads: 5", "bogus: 1", "rules: [{id: x, allow: {kind: [moon]}}]", "api_key: [", "\x00", "- 1"],
)
async def test_a_text_that_cannot_hold_is_refused_with_its_findings(desk: Desk, text: str) -> None:
    browser = await desk.browser()
    answer = await browser.post("/config/preview", {"text": text})
    assert answer.status == 400
    assert desk.file.read_text() == CONFIG


async def test_a_workload_is_changed_by_its_form(desk: Desk) -> None:
    browser = await desk.browser()
    await browser.get("/workloads/support")
    form = {"workload": "support", "placements": "house mini", "strategy": "overflow"}
    shown = await browser.post("/config/preview", form)
    assert "+  support: {placements: [house, mini]" in shown.text
    for wrong in ({"strategy": "none"}, {"placements": "nowhere"}, {"workload": "nobody"}):
        assert (await browser.post("/config/preview", {**form, **wrong})).status == 400


async def test_the_api_changes_the_configuration_the_same_way(desk: Desk) -> None:
    who = f"Bearer {SECRET}"
    _, draft = await desk.ask("GET", "/api/config", who)
    assert "sk-canary" not in json.dumps(draft)
    text = draft["text"].replace("usd_per_month: 5", "usd_per_month: 6")
    status, shown = await desk.ask("POST", "/api/config/preview", who, {"text": text})
    assert (status, shown["base"]) == (200, draft["base"])
    status, done = await desk.ask("POST", "/api/config/apply", who, {"text": text, "base": draft["base"]})
    assert (status, done["generation"]) == (200, 2)
    assert (await desk.ask("POST", "/api/config/apply", who, {"text": text, "base": draft["base"]}))[0] == 400
    status, done = await desk.ask("POST", "/api/config/rollback", who, {"id": done["kept"]})
    assert (status, desk.file.read_text()) == (200, CONFIG)
    assert (await desk.ask("POST", "/api/config/rollback", who, {"id": "../../pepper"}))[0] == 400


# --- money, keys


async def test_spend_adds_up_by_every_dimension(desk: Desk) -> None:
    for number in range(12):
        desk.ship(*_attempt(number, workload=f"w{number % 3}"))
    browser = await desk.browser()
    for by in ("workload", "deployment", "environment", "team", "tenant", "key_id", "model", "api", "state"):
        _, told = await desk.ask("GET", f"/api/spend?by={by}", f"Bearer {SECRET}")
        assert told["total_pico"] == 12 * 1_200_000_000
        assert (await browser.get(f"/spend?by={by}")).status == 200
    for query in ("by=label", "since=x", "since=2026-01-02&until=2026-01-01", "until=9999-12-31", "bogus=1"):
        assert (await browser.get(f"/spend?{query}")).status == 400


async def test_a_key_is_made_shown_once_and_revoked(desk: Desk) -> None:
    browser = await desk.browser()
    made = await browser.post("/keys", {"name": "shop", "workloads": "support", "budget_usd": "3.50"})
    found = re.search(r"sb-[a-z0-9]+-[a-z0-9]+", made.text)
    assert found
    listed = await browser.get("/keys")
    assert found[0] not in listed.text
    assert "shop" in listed.text
    (row,) = desk.store.run_now(lambda store: store.list_keys())
    rotated = await browser.post(f"/keys/{row.id}/rotate", {"grace_s": "60"})
    assert re.search(r"sb-[a-z0-9]+-[a-z0-9]+", rotated.text)
    assert (await browser.post(f"/keys/{row.id}/revoke", {})).status == 303
    assert (await browser.post("/keys/nobody/revoke", {})).status == 404
    for wrong in ({"budget_usd": "much"}, {"budget_usd": "-1"}, {"expires": "soon"}, {"role": "root"}, {"name": ""}):
        answer = await browser.post("/keys", {"name": "x", **wrong})
        assert "The key was not made" in answer.text, wrong


# --- proof


async def test_the_evidence_pack_is_checked_offline(desk: Desk, tmp_path: Path, capsys: Any) -> None:
    journal = Journal(desk.state.journal, "test-1")
    records = [_attempt(number, workload="claims", labels=("restricted", "phi")) for number in range(20)]
    for opened, settled in records:
        journal.append(opened)
        journal.append(settled)
    await journal.close()
    desk.store.run_now(lambda store: Shipping(store, desk.state.journal).ship_once())
    log = CheckpointLog(desk.state.checkpoints)
    log.write(desk.store.run_now(lambda store: store.shipped_all()), 1)
    browser = await desk.browser()
    page = await browser.post("/compliance", {})
    assert "Whole." in page.text
    answer = await browser.get("/compliance/evidence.zip?label=phi")
    assert answer.headers["content-type"] == "application/zip"
    folder = tmp_path / "pack"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as pack:
        pack.extractall(folder)
        assert "sk-canary" not in "".join(pack.read(name).decode("utf-8", "replace") for name in pack.namelist())
    told = json.loads((folder / "evidence.json").read_text())
    assert [(one["place"], one["attempts"]) for one in told["compliance"]["went"]] == [("cloud-us", 20)]
    assert told["verification"]["ok"] is True
    assert _read((folder / "evidence.html").read_text()).active == []
    key = json.loads((folder / "manifest.json").read_text())["public_key"]
    assert key == str(log.public)
    assert command_line(["ledger", "verify", "--state-dir", str(folder), "--public-key", key]) == 0
    segment = next((folder / "journal" / "test-1").glob("*.log"))
    segment.write_bytes(segment.read_bytes().replace(b"cloud-us", b"clinic-x", 1))
    assert command_line(["ledger", "verify", "--state-dir", str(folder), "--public-key", key]) == 1
    capsys.readouterr()


async def test_a_damaged_journal_is_told(desk: Desk) -> None:
    journal = Journal(desk.state.journal, "test-1")
    for record in _attempt(1):
        journal.append(record)
    await journal.close()
    segment = next((desk.state.journal / "test-1").glob("*.log"))
    segment.write_bytes(segment.read_bytes().replace(b"acme", b"emca", 1))
    page = await (await desk.browser()).post("/compliance", {})
    assert "Whole." not in page.text
    assert "findings" in page.text


async def test_only_who_may_read_everything_gets_the_pack(desk: Desk) -> None:
    _, token = desk.key(tenant="acme", role="auditor")
    assert (await (await desk.browser(token)).get("/compliance/evidence.zip")).status == 400


# --- degraded


async def test_a_store_that_fails_is_an_excuse_and_no_traceback(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await desk.browser()
    await browser.get("/requests")

    def broken(*_: object, **__: object) -> None:
        raise StoreError("the disk is gone")

    opened = desk.room._store  # pyright: ignore[reportPrivateUsage]
    assert opened is not None
    for name in ("attempts_page", "sum_grid", "sum_attempts", "sum_labels", "refused_page"):
        monkeypatch.setattr(opened, name, broken)
    for path in ("/", "/requests", "/workloads", "/deployments", "/spend", "/compliance"):
        answer = await browser.get(path)
        assert answer.status == 503
        assert "The ledger does not answer" in answer.text
        assert "the disk is gone" not in answer.text
    for path in ("/settings", "/alerts", "/config", "/keys"):
        assert (await browser.get(path)).status == 200
