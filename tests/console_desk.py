"""The control plane of one installation, asked as ASGI; its store, journal, keys and configuration are real."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from starlette.routing import Route

from signalbox.bootstrap.compiling import checked
from signalbox.bootstrap.console import ReadersConfigurations
from signalbox.bootstrap.storage import open_store
from signalbox.console.app import Console
from signalbox.console.sessions import COOKIE, FORM_COOKIE
from signalbox.control.keys import NewKey, make
from signalbox.control.links import Link
from signalbox.control.office import KeyOffice
from signalbox.control.playground import Gateway
from signalbox.control.reading_room import ReadingRoom
from signalbox.control.source import FileSource
from signalbox.control.state import StateDir, admin_secret
from signalbox.control.storage import StoreThread
from signalbox.control.supervisor import Supervisor
from signalbox.core.errors import StoreError
from signalbox.core.ports import ShipMark, Store
from signalbox.core.records import Record
from signalbox.ledger.recover import Recovery
from signalbox.ledger.ship import Shipper
from signalbox.telemetry.log import Log

TEXT = """
environments: {e: {kind: on-prem}}
deployments: {d: {environment: e, protocol: openai, base_url: "http://127.0.0.1:9/v1", model: m, price: free}}
"""
NOW_MS = 1_790_000_000_000
SECRET = "an admin secret of some length"


def _then() -> int:
    return NOW_MS


async def _nobody() -> Link:
    raise RuntimeError("nothing is started here")


class _Line:
    """A store as it is, until the line to it is cut: then every question fails, but not that to close."""

    def __init__(self, store: Store, cut: Callable[[], bool]) -> None:
        self._store = store
        self._cut = cut

    def __getattr__(self, name: str) -> Any:
        if self._cut() and name != "close":
            raise StoreError("the disk is gone")
        return getattr(self._store, name)


class Answer:
    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = {name.decode().lower(): value.decode() for name, value in headers}
        self.cookies = [value.decode() for name, value in headers if name.lower() == b"set-cookie"]
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def cookie(self, name: str) -> str:
        return next((one.split(";")[0].partition("=")[2] for one in self.cookies if one.startswith(f"{name}=")), "")


class Desk:
    """workers: none is started unless `spawn` does; the supervisor reads the configuration as it does before it starts
    any. cut: from when the store that everybody got answers nothing any more."""

    def __init__(
        self,
        root: Path,
        text: str = TEXT,
        *,
        workers: int = 1,
        now_ms: Callable[[], int] = _then,
        today: Callable[[], str] = lambda: "2026-11-20",
        metrics_open: bool = False,
        spawn: Callable[[], Awaitable[Link]] = _nobody,
    ) -> None:
        self.state = StateDir(root)
        self.cut = False
        self.file = root / "signalbox.yaml"
        self.file.write_text(text)
        self.store = StoreThread(self._open)
        self.pepper = self.state.pepper()
        secret = self.store.run_now(lambda store: admin_secret(store, {"SIGNALBOX_ADMIN_SECRET": SECRET}))
        self.office = KeyOffice(
            self.store,
            secret,
            self.pepper,
            self.state.journal,
            now_ms,
            lambda: self.supervisor.checked.sign_in,
            lambda: self.supervisor.keys.load(),
        )
        self.supervisor = Supervisor(
            source=FileSource(self.file), store=self.store, pepper=self.pepper, workers=workers,
            spawn=spawn, recover=lambda: Recovery(0, 0, 0, 0, 0, (), 0),
            end_leases=lambda store: 0, check=checked,
            shipping=Shipper(lambda: open_store(self.state), self.state.journal),
            stop_listening=lambda: None, today=today, stopping=asyncio.Event(), log=Log("test"),
        )  # fmt: skip
        self.room = ReadingRoom(self._open)
        self.console = Console(
            self.supervisor,
            self.office,
            metrics_open,
            ReadersConfigurations(self.supervisor),
            self.state,
            Gateway("127.0.0.1", 9),
            self.room,
            Log("console"),
        )
        self.app = self.console.app()
        self.shipped: ShipMark | None = None

    def _open(self) -> Store:
        return cast("Store", _Line(open_store(self.state), lambda: self.cut))

    async def loaded(self) -> Desk:
        """The configuration in force, without a worker."""
        assert await self.supervisor.reload() == ""
        return self

    def close(self) -> None:
        self.room.close()
        self.store.close()

    def key(self, **wanted: Any) -> tuple[str, str]:
        """(id, key) of a key as an operator at the machine makes it."""
        row, key = make(NewKey(**{"name": "k", **wanted}), self.pepper, NOW_MS - 1)
        self.store.run_now(lambda store: store.insert_key(row))
        return row.id, key.reveal()

    def ship(self, *records: Record) -> None:
        """Records in the ledger, as the shipper would bring them."""
        number = 1 if self.shipped is None else self.shipped.seq + 1
        after = ShipMark("c", 1, number, number, f"h{number}")
        before = self.shipped
        assert self.store.run_now(lambda store: store.ship(before, after, records))
        self.shipped = after

    def routes(self) -> list[tuple[str, str]]:
        return [
            (method, route.path)
            for route in self.app.routes
            if isinstance(route, Route)
            for method in sorted((route.methods or set()) - {"HEAD"})
        ]

    async def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        data: bytes = b"",
        scheme: str = "http",
        address: str = "10.1.2.3",
    ) -> Answer:
        sent: list[dict[str, Any]] = []
        given = [data]

        async def receive() -> dict[str, Any]:
            if given:
                return {"type": "http.request", "body": given.pop(), "more_body": False}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        path, _, query = path.partition("?")
        given_lines = list(headers.items()) if isinstance(headers, dict) else headers or []
        lines = [("host", "console.test"), *given_lines] if "host" not in dict(given_lines) else given_lines
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in lines], "root_path": "",
            "http_version": "1.1", "scheme": scheme, "server": ("console.test", 80), "client": (address, 5555),
        }  # fmt: skip
        await self.app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return Answer(sent[0]["status"], sent[0]["headers"], body)

    async def ask(
        self, method: str, path: str, token: str = "", body: Any = None, raw: bytes = b"", address: str = "10.1.2.3"
    ) -> tuple[int, Any]:
        """The JSON API with a bearer token; the answer's JSON, or its text."""
        data = raw or (b"" if body is None else json.dumps(body).encode())
        answer = await self.send(method, path, {"authorization": token} if token else {}, data, address=address)
        return answer.status, answer.json if answer.body[:1] in (b"{", b"[") else answer.body

    async def browser(self, token: str = SECRET) -> Browser:
        """Somebody who has signed in."""
        browser = Browser(self)
        assert (await browser.sign_in(token)).status == 303
        return browser


class Browser:
    """Keeps cookies, and fills forms with the token of the page it saw last."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.cookies: dict[str, str] = {}
        self.csrf = ""

    async def get(self, path: str, **headers: str) -> Answer:
        answer = await self.desk.send("GET", path, {"accept": "text/html", **self._cookies(), **headers})
        self._seen(answer)
        return answer

    async def post(self, path: str, form: dict[str, str], **headers: str) -> Answer:
        lines = {
            "accept": "text/html", "content-type": "application/x-www-form-urlencoded", "origin": "http://console.test",
            "sec-fetch-site": "same-origin", **self._cookies(), **headers,
        }  # fmt: skip
        data = urlencode({"csrf": self.csrf, **form}).encode()
        answer = await self.desk.send("POST", path, lines, data)
        self._seen(answer)
        return answer

    async def sign_in(self, token: str, to: str = "/") -> Answer:
        await self.get("/sign-in")
        answer = await self.post("/sign-in", {"secret": token, "to": to})
        if answer.status == 303:
            await self.get("/requests")
        return answer

    def _cookies(self) -> dict[str, str]:
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    def _seen(self, answer: Answer) -> None:
        for name in (COOKIE, FORM_COOKIE):
            if any(one.startswith(f"{name}=") for one in answer.cookies):
                self.cookies[name] = answer.cookie(name).strip('"')
        found = re.search(r'name="csrf" value="([^"]+)"', answer.body.decode("utf-8", "replace"))
        if found:
            self.csrf = found[1]
