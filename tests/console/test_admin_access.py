"""Roles on the control plane: a matrix of every route and every role, and keys that never grow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from signalbox.bootstrap.compiling import checked, explainer_for
from signalbox.bootstrap.storage import open_store
from signalbox.config.load import load_text
from signalbox.console.access import MAY
from signalbox.console.app import Console
from signalbox.control.keys import NewKey, make
from signalbox.control.office import KeyOffice
from signalbox.control.source import FixedSource, Text
from signalbox.control.state import StateDir, admin_secret
from signalbox.control.storage import StoreThread
from signalbox.control.supervisor import Supervisor
from signalbox.core.keys import ROLES
from signalbox.ledger import actions
from signalbox.ledger.ship import Shipper
from signalbox.ledger.verify import verify
from signalbox.telemetry.log import Log

TEXT = b"""
environments: {e: {kind: on-prem}}
deployments: {d: {environment: e, protocol: openai, base_url: "http://127.0.0.1:9/v1", model: m, price: free}}
"""
NOW_MS = 1_790_000_000_000
SECRET = "an admin secret of some length"


class Desk:
    """The control plane of one installation, asked as ASGI; its store, journal and keys are real."""

    def __init__(self, root: Path) -> None:
        self.state = StateDir(root)
        self.store = StoreThread(lambda: open_store(self.state))
        self.pepper = self.state.pepper()
        secret = self.store.run_now(lambda store: admin_secret(store, {"SIGNALBOX_ADMIN_SECRET": SECRET}))
        self.office = KeyOffice(self.store, secret, self.pepper, self.state.journal, lambda: NOW_MS)
        declared = load_text(TEXT, "f")
        supervisor = Supervisor(
            source=FixedSource(Text(TEXT, "f")), store=self.store, pepper=self.pepper, workers=1,
            spawn=lambda: (_ for _ in ()).throw(RuntimeError("nothing is started here")), recover=lambda: 0,
            end_leases=lambda store: 0, check=checked,
            shipping=Shipper(lambda: open_store(self.state), self.state.journal),
            stop_listening=lambda: None, today=lambda: "2026-11-20", stopping=asyncio.Event(), log=Log("test"),
        )  # fmt: skip
        self.app = Console(supervisor, self.office, False, lambda: explainer_for(declared)).app()

    def key(self, **wanted: Any) -> tuple[str, str]:
        """(id, key) of a key as an operator at the machine makes it."""
        row, key = make(NewKey(**{"name": "k", **wanted}), self.pepper, NOW_MS - 1)
        self.store.run_now(lambda store: store.insert_key(row))
        return row.id, key.reveal()

    async def ask(self, method: str, path: str, token: str = "", body: Any = None, raw: bytes = b"") -> tuple[int, Any]:
        sent: list[dict[str, Any]] = []
        data = raw or (b"" if body is None else json.dumps(body).encode())

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", token.encode())] if token else []
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": headers, "root_path": "", "http_version": "1.1", "scheme": "http", "server": ("t", 1),
        }  # fmt: skip
        await self.app(scope, receive, send)
        text = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(text) if text[:1] in (b"{", b"[") else text


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "state")
    yield made
    made.store.close()


def routes(desk: Desk) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for route in desk.app.routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def test_the_table_and_the_router_name_the_same_routes(desk: Desk) -> None:
    assert set(routes(desk)) == {*MAY, ("GET", "/healthz")}


async def test_every_route_with_every_role(desk: Desk) -> None:
    """A wrong role is a 403 and does nothing; no credential, a wrong one and a key that calls models are a 401."""
    tokens = {role: desk.key(role=role, tenant="*" if role == "admin" else "default")[1] for role in ROLES}
    calling = desk.key()[1]
    forged = tokens["admin"][:-1] + ("0" if tokens["admin"][-1] != "0" else "1")
    for method, path in routes(desk):
        if path == "/healthz":
            continue
        target = path.replace("{id}", "nobody")
        for token in ("", "Bearer ", "Basic x", f"Bearer {calling}", f"Bearer {forged}", "Bearer sb-' OR 1=1 --"):
            assert (await desk.ask(method, target, token))[0] == 401, (path, token)
        for role, token in tokens.items():
            before = desk.store.run_now(lambda store: len(store.list_keys()))
            status, _ = await desk.ask(
                method, target, f"Bearer {token}", {"name": "x"} if path == "/api/keys" else None
            )
            if role in MAY[(method, path)]:
                assert status not in (401, 403), (method, path, role)
            else:
                assert status == 403, (method, path, role)
                assert desk.store.run_now(lambda store: len(store.list_keys())) == before


@pytest.mark.parametrize(
    "path", ["/api/keys/", "//api/keys", "/API/keys", "/api/%6beys", "/api/keys;a=b", "/api/x", "/api"]
)
async def test_no_other_spelling_is_a_route(desk: Desk, path: str) -> None:
    status, _ = await desk.ask("GET", path, f"Bearer {SECRET}")
    assert status in (307, 404)
    assert (await desk.ask("DELETE", "/api/keys", f"Bearer {SECRET}"))[0] == 405


BROADER: list[dict[str, Any]] = [
    {"workloads": ["w1", "w3"]},
    {"deployments": ["d2"]},
    {"deployments": ["*"]},
    {"apis": ["embeddings"]},
    {"models": ["m9"]},
    {"networks": ["0.0.0.0/0"]},
    {"networks": ["10.0.0.0/7"]},
    {"networks": ["::/0"]},
    {"budget_usd": "101"},
    {"expires_ms": NOW_MS + 10_000_000},
    {"tenant": "other"},
    {"tenant": "*"},
    {"team": "finance"},
    {"role": "admin"},
    {"role": "developer"},
]
SCOPE: dict[str, Any] = {
    "tenant": "acme", "team": "support", "workloads": ("w1", "w2"), "deployments": ("d1",), "data": ("phi",),
    "apis": ("chat", "messages"), "models": ("m1",), "networks": ("10.0.0.0/8",), "budget_usd": Decimal(100),
    "expires_ms": NOW_MS + 1_000_000, "role": "developer",
}  # fmt: skip


@pytest.mark.parametrize("more", BROADER, ids=str)
async def test_a_child_is_never_broader_than_its_creator(desk: Desk, more: dict[str, Any]) -> None:
    creator, token = desk.key(**SCOPE)
    status, answer = await desk.ask("POST", "/api/keys", f"Bearer {token}", {"name": "child", **more})
    assert (status, answer["error"]["code"]) == (403, "too_broad")
    assert [row.id for row in desk.store.run_now(lambda store: store.list_keys())] == [creator]
    (refusal,) = actions.read(desk.state.journal)
    assert (refusal.actor, refusal.action, refusal.refused) == (creator, "key.create", True)


async def test_what_a_child_leaves_open_is_its_creators(desk: Desk) -> None:
    creator, token = desk.key(**SCOPE)
    narrow = {"name": "child", "networks": ["10.1.0.0/16"], "workloads": ["w2"], "data": ["pci"]}
    status, answer = await desk.ask("POST", "/api/keys", f"Bearer {token}", narrow)
    assert status == 201
    row = next(row for row in desk.store.run_now(lambda store: store.list_keys()) if row.id == answer["id"])
    assert (row.tenant, row.team, row.workloads, row.apis, row.models) == (
        "acme", "support", ("w2",), ("chat", "messages"), ("m1",)
    )  # fmt: skip
    assert (row.networks, row.labels, row.creator, row.role) == (("10.1.0.0/16",), ("phi", "pci"), creator, "")
    assert (row.budget_usd, row.expires_ms, row.deployments_granted) == (100, NOW_MS + 1_000_000, ())


@pytest.mark.parametrize("extra", ["id", "secret_hmac", "created_ms", "revoked_ms", "is_admin", "allowed_routes"])
async def test_unknown_fields_are_refused_and_never_stored(desk: Desk, extra: str) -> None:
    status, _ = await desk.ask("POST", "/api/keys", f"Bearer {SECRET}", {"name": "x", extra: 1})
    assert status == 400
    assert desk.store.run_now(lambda store: store.list_keys()) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"name": 5}', b'{"name": "x", "role": "root"}', b'{"name": "x", "networks": ["10.0.0.1/8"]}',
     b'{"name": "x", "apis": ["all"]}', b'{"name": "\\u0000"}', b'{"name": "x", "expires_ms": 5}', b"\xff"],
)  # fmt: skip
async def test_bad_bodies_are_a_400(desk: Desk, body: bytes) -> None:
    assert (await desk.ask("POST", "/api/keys", f"Bearer {SECRET}", raw=body))[0] == 400


async def test_other_tenants_and_other_peoples_keys_do_not_exist(desk: Desk) -> None:
    theirs, _ = desk.key(tenant="other")
    ours, _ = desk.key(tenant="acme")
    _, operator = desk.key(tenant="acme", role="operator")
    mine, developer = desk.key(tenant="acme", role="developer")
    for token, ids in ((operator, (theirs, "nobody", "'; DROP TABLE virtual_keys")), (developer, (theirs, ours))):
        for key_id in ids:
            assert (await desk.ask("POST", f"/api/keys/{key_id}/revoke", f"Bearer {token}"))[0] == 404
    _, listed = await desk.ask("GET", "/api/keys", f"Bearer {developer}")
    assert [row["id"] for row in listed["keys"]] == [mine]
    _, listed = await desk.ask("GET", "/api/keys", f"Bearer {operator}")
    assert theirs not in {row["id"] for row in listed["keys"]}
    assert "secret_hmac" not in json.dumps(listed)


async def test_a_rotated_key_keeps_its_scope_and_the_old_one_its_grace(desk: Desk) -> None:
    old, _ = desk.key(**{**SCOPE, "role": ""})
    status, answer = await desk.ask("POST", f"/api/keys/{old}/rotate", f"Bearer {SECRET}", {"grace_s": 60})
    assert status == 201
    before, after = desk.store.run_now(lambda store: store.list_keys())
    assert before.expires_ms == NOW_MS + 60_000
    assert (after.id, after.workloads, after.models, after.networks, after.budget_usd, after.expires_ms) == (
        answer["id"], before.workloads, before.models, before.networks, 100, NOW_MS + 1_000_000
    )  # fmt: skip
    assert after.secret_hmac != before.secret_hmac
    assert (await desk.ask("POST", f"/api/keys/{old}/rotate", f"Bearer {SECRET}", {"grace_s": -1}))[0] == 400


async def test_a_revoked_or_expired_role_key_ends_at_once(desk: Desk) -> None:
    mine, token = desk.key(role="operator")
    assert (await desk.ask("GET", "/api/status", f"Bearer {token}"))[0] == 200
    assert (await desk.ask("POST", f"/api/keys/{mine}/revoke", f"Bearer {token}"))[0] == 200
    assert (await desk.ask("GET", "/api/status", f"Bearer {token}"))[0] == 401
    gone, late = desk.key(role="operator", expires_ms=NOW_MS)
    assert (await desk.ask("GET", "/api/status", f"Bearer {late}"))[0] == 401
    assert gone


async def test_every_change_is_in_the_ledger_and_the_ledger_is_whole(desk: Desk) -> None:
    _, answer = await desk.ask("POST", "/api/keys", f"Bearer {SECRET}", {"name": "x", "tenant": "acme"})
    await desk.ask("POST", f"/api/keys/{answer['id']}/rotate", f"Bearer {SECRET}", {})
    await desk.ask("POST", f"/api/keys/{answer['id']}/revoke", f"Bearer {SECRET}")
    await desk.ask("POST", "/api/reload", f"Bearer {SECRET}")
    _, told = await desk.ask("GET", "/api/actions", f"Bearer {SECRET}")
    assert [one["action"] for one in told["actions"]] == ["key.create", "key.rotate", "key.revoke", "config.reload"]
    assert {one["actor"] for one in told["actions"]} == {"admin-secret"}
    assert answer["key"] not in json.dumps(told)
    assert verify(desk.state.journal).ok
