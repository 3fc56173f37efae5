"""A provider's bill sent to the console: the command line's sums, within bounds, from our own pages only."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from console_desk import SECRET, Answer, Browser, Desk
from signalbox.console import bill_pages
from signalbox.console.forms import UPLOAD_BYTES_MAX
from signalbox.core.records import Opened, Settled
from signalbox.core.usage import Usage

BEARER = {"authorization": f"Bearer {SECRET}"}
COST_PICO = 1_230_000_000_000


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = await Desk(tmp_path / "state").loaded()
    now_ms = time.time_ns() // 1_000_000
    for number in range(4):
        # Two days, in each of which every attempt lies well within.
        at = now_ms // 86_400_000 * 86_400_000 - (number % 2 + 1) * 86_400_000 + 43_200_000 + number
        made.ship(
            Opened(f"a{number}", f"c{number}", at, "acme", "blue", "k1", "w", "d", "e", "gpt-4o", "chat", ("public",),
                   "r", "v"),
            Settled(f"a{number}", at + 5, "settled", Usage(tokens_in=1), "provider", COST_PICO, 200),
        )  # fmt: skip
    yield made
    made.close()


def _day(back: int) -> str:
    return datetime.fromtimestamp(time.time_ns() // 10**9 // 86_400 * 86_400 - back * 86_400, UTC).date().isoformat()


def _bill(second: str = "2.46") -> str:
    return f"date,model,cost\n{_day(1)},gpt-4o,2.46\n{_day(2)},gpt-4o,{second}\n"


async def _send(browser: Browser, text: bytes, csrf: str | None = None, **fields: str) -> Answer:
    edge = "----edge0123"
    parts = [("csrf", browser.csrf if csrf is None else csrf), *fields.items()]
    body = b"".join(
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in parts
    )
    head = f'--{edge}\r\nContent-Disposition: form-data; name="bill"; filename="b.csv"\r\n\r\n'
    lines = {
        "accept": "text/html", "content-type": f"multipart/form-data; boundary={edge}", "origin": "http://console.test",
        "cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()),
    }  # fmt: skip
    data = body + head.encode() + text + f"\r\n--{edge}--\r\n".encode()
    return await browser.desk.send("POST", "/spend/reconcile", lines, data)


async def test_a_bill_is_held_against_the_ledger_on_the_page_and_by_the_api(desk: Desk) -> None:
    browser = await desk.browser()
    assert "multipart/form-data" in (await browser.get("/spend/reconcile")).text
    page = (await _send(browser, ("\ufeff" + _bill()).encode())).text
    assert "100.000 % of the bill is explained" in page
    assert "$4.92" in page
    page = (await _send(browser, _bill("12.46").encode())).text
    assert "Less than 99.5 %" in page
    assert "more was billed than the calls in the ledger cost" in page
    status, found = await desk.ask("POST", "/api/spend/reconcile", BEARER["authorization"], raw=_bill("12.46").encode())
    assert (status, found["good"], found["billed_usd"], found["explained_usd"]) == (200, False, "14.92", "4.92")
    assert found["groups"]["team"] == {"blue": "4.92"}
    assert [(one["day"], one["difference_usd"]) for one in found["unexplained"]] == [(_day(2), "10")]


async def test_days_that_the_bill_does_not_cover_are_no_difference(desk: Desk) -> None:
    text = f"date,model,cost\n{_day(1)},gpt-4o,2.46\n"
    _, found = await desk.ask("POST", "/api/spend/reconcile", BEARER["authorization"], raw=text.encode())
    assert (found["explained_share"], found["ledger_usd"], found["unexplained"]) == ("1", "2.46", [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is empty"),
        (b"date,model\n", "no column for cost"),
        (b"date,model,cost\n0001-01-01T00:00:00+14:00,m,1\n", "is no date"),
        (b"date,model,cost\n2026-09-01,m,NaN\n", "no ordinary amount"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"date,model,cost\n" + b'"' + b"x" * 70_000, "no CSV"),
        (b"a" * (UPLOAD_BYTES_MAX + 1), "bytes are read here"),
    ],
)
async def test_what_is_no_bill_is_refused_in_words(desk: Desk, text: bytes, said: str) -> None:
    browser = await desk.browser()
    answer = await _send(browser, text)
    assert answer.status in (200, 400)
    assert said in answer.text
    status, told = await desk.ask("POST", "/api/spend/reconcile", BEARER["authorization"], raw=text)
    assert status == 400
    assert said in told["error"]["message"]


async def test_what_would_take_too_long_is_left_to_the_command_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bill_pages, "ATTEMPTS_MAX", 3)
    monkeypatch.setattr(bill_pages, "LINES_MAX", 5)
    browser = await desk.browser()
    assert "signalbox ledger reconcile" in (await _send(browser, _bill().encode())).text
    assert "Split the file" in (await _send(browser, (_bill() + f"{_day(1)},m,1\n" * 4).encode())).text


async def test_a_bill_from_elsewhere_or_of_strange_form_is_not_read(desk: Desk) -> None:
    browser = await desk.browser()
    assert (await _send(browser, _bill().encode(), csrf="stale")).status == 403
    assert "100.000 %" in (await browser.post("/spend/reconcile", {"bill": _bill()})).text
    for body in (b"", b"--x", b"--x\r\n\r\n--x--", b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--"):
        lines = {"content-type": "multipart/form-data; boundary=x", "origin": "http://console.test"}
        lines["cookie"] = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        assert (await desk.send("POST", "/spend/reconcile", lines, body)).status in (400, 403)
    assert (await desk.ask("POST", "/api/spend/reconcile?workload=w", BEARER["authorization"], raw=b"x"))[0] == 400


async def test_hostile_names_in_a_bill_are_inert(desk: Desk) -> None:
    text = f'date,model,cost\n{_day(1)},"<script>canary()</script>",5\n'
    page = (await _send(await desk.browser(), text.encode(), deployment="<img src=x>")).text
    assert "<script>canary" not in page
    assert "<img src=x>" not in page


async def test_a_key_of_one_tenant_reconciles_its_own_rows(desk: Desk) -> None:
    _, key = desk.key(tenant="other", role="auditor")
    _, found = await desk.ask("POST", "/api/spend/reconcile", f"Bearer {key}", raw=_bill().encode())
    assert (found["explained_usd"], found["ledger_usd"]) == ("0", "0")


async def test_spend_leaves_as_parquet_with_exact_costs(desk: Desk) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    answer = await (await desk.browser()).get("/spend.parquet?by=team")
    assert answer.headers["content-disposition"].endswith('.parquet"')
    rows = parquet.read_table(io.BytesIO(answer.body)).to_pylist()
    assert [(row["team"], row["cost_usd"]) for row in rows] == [("blue", Decimal("2.46"))] * 2
    assert {row["day"].isoformat() for row in rows} == {_day(1), _day(2)}
    by_api = await desk.send("GET", "/api/spend.parquet?by=team", BEARER)
    assert parquet.read_table(io.BytesIO(by_api.body)).to_pylist() == rows
    empty = await desk.send("GET", "/api/spend.parquet?since=2020-01-01&until=2020-01-02", BEARER)
    assert parquet.read_table(io.BytesIO(empty.body)).num_rows == 0
